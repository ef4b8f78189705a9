"""The model: losses against naive formulas, pooling, rectangular input, attention kinds, saving and starting points."""

import logging
import math

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    DeiTConfig,
    DeiTModel,
    ViTConfig,
    ViTModel,
)

from modeling_unipt import (
    UniPTConfig,
    UniPTForPreTraining,
    UniPTModel,
    contrastive_loss,
    masked_language_modeling_loss,
)
from modeling_unipt.modeling_unipt import pairs_of_one_id, pool_tokens, pretraining_loss, sigmoid_loss

FAMILIES = ["vit", "deit", "clip"]


def make_inputs(height=96, width=32, texts=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, 60, (texts, 9), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 6:] = 0
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "pixel_values": torch.randn(texts, 3, height, width, generator=generator),
    }


def add_masking(inputs):
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, 2], labels[1, 4], labels[2, 7] = 11, 12, 13
    masked_ids = inputs["input_ids"].masked_fill(labels != -100, 4)
    return {**inputs, "mlm_input_ids": masked_ids, "mlm_labels": labels}


@pytest.fixture
def make_model(tiny_config):
    def make(model_class=UniPTModel, **options):
        torch.manual_seed(1)
        return model_class(tiny_config(**options)).eval()

    return make


def naive_contrastive(texts, images, scale):
    """Equation 1, one similarity at a time."""
    count = len(texts)
    similarity = [
        [torch.dot(v, t) / (v.dot(v).sqrt() * t.dot(t).sqrt()) * scale for t in texts] for v in images
    ]  # image row, text column
    image_to_text = text_to_image = 0
    for n in range(count):
        image_to_text -= torch.log(similarity[n][n].exp() / sum(similarity[n][i].exp() for i in range(count)))
        text_to_image -= torch.log(similarity[n][n].exp() / sum(similarity[i][n].exp() for i in range(count)))
    return (image_to_text + text_to_image) / (2 * count)


@pytest.mark.parametrize("scale", [1.0, 14.0])
def test_contrastive_loss_and_gradient_equal_the_formula(scale):
    torch.manual_seed(0)
    embeds = [torch.randn(5, 7, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    scale = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    loss, naive = contrastive_loss(*embeds, scale), naive_contrastive(*embeds, scale)
    torch.testing.assert_close(loss, naive)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [*embeds, scale]), torch.autograd.grad(naive, [*embeds, scale])
    )


def test_contrastive_loss_of_indistinct_embeddings_is_log_n():
    assert contrastive_loss(torch.ones(8, 4), torch.ones(8, 4)).item() == pytest.approx(math.log(8), abs=1e-6)


def test_pairs_of_one_image_are_not_negatives():
    torch.manual_seed(0)
    texts, images = torch.randn(3, 4), torch.randn(3, 4)
    images[1] = images[0]
    similarity = torch.nn.functional.cosine_similarity(texts[:, None], images[None], dim=-1)
    allowed = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    weights = similarity.exp() * allowed
    probabilities = torch.cat([(weights / weights.sum(axis, keepdim=True)).diagonal() for axis in (0, 1)])
    loss = contrastive_loss(texts, images, image_ids=torch.tensor([7, 7, 9]))
    torch.testing.assert_close(loss, -probabilities.log().mean())


def test_mlm_loss_and_gradient_equal_the_formula():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[-100, 3, -100, 0], [5, -100, -100, -100]])
    probabilities = logits.exp() / logits.exp().sum(-1, keepdim=True)
    naive = -(probabilities[0, 1, 3].log() + probabilities[0, 3, 0].log() + probabilities[1, 0, 5].log()) / 3
    loss = masked_language_modeling_loss(logits, labels)
    torch.testing.assert_close(loss.double(), naive, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits)[0], torch.autograd.grad(naive, logits)[0], rtol=1e-5, atol=1e-7
    )


def test_mlm_losses_of_single_tokens_add_up_to_the_mean():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 6), torch.tensor([[-100, 3, -100, 0], [5, -100, -100, -100]])
    losses = masked_language_modeling_loss(logits, labels, reduction="none")
    assert losses.shape == labels.shape and (losses[labels == -100] == 0).all() and (losses[labels != -100] > 0).all()
    torch.testing.assert_close(losses.sum() / 3, masked_language_modeling_loss(logits, labels))
    assert masked_language_modeling_loss(logits.bfloat16(), labels).dtype == torch.float32


def test_different_pairs_of_one_id_are_found_and_no_pair_is_its_own():
    expected = [[False, False, True], [False, False, False], [True, False, False]]
    assert pairs_of_one_id(torch.tensor([4, 5, 4])).tolist() == expected


def test_the_pretraining_loss_weighs_the_masked_words():
    assert pretraining_loss(torch.tensor(2.0), torch.tensor(3.0), 0.5).item() == 3.5


def test_mlm_loss_of_nothing_masked_is_zero():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = masked_language_modeling_loss(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0


def test_pooling_takes_only_what_the_mask_keeps():
    tokens = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool_tokens(tokens, mask, "max").tolist() == [[3.0, -5.0]]
    assert pool_tokens(tokens, mask, "mean").tolist() == [[2.0, -6.0]]
    assert pool_tokens(tokens).tolist() == [[9.0, 9.0]]


def assert_padding_does_not_change_embeddings(model):
    ids = make_inputs()["input_ids"][:1, :6]
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    mask = torch.tensor([[1] * 6 + [0] * 5])
    alone = model.get_text_features(ids).pooler_output
    torch.testing.assert_close(model.get_text_features(padded, mask).pooler_output, alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(model.get_text_features(padded).pooler_output, alone, atol=1e-3)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_padding_does_not_change_embeddings(make_model, pooling):
    assert_padding_does_not_change_embeddings(make_model(pooling=pooling))


def test_features_are_the_pooled_projected_tokens(make_model):
    model, inputs = make_model(), make_inputs()
    features = model.get_image_features(inputs["pixel_values"])
    torch.testing.assert_close(features.pooler_output, model.visual_projection(features.last_hidden_state).amax(dim=1))
    rows, columns = model.patch_grid(96, 32)
    assert (rows, columns) == (6, 2)
    assert features.last_hidden_state.shape == (3, 1 + rows * columns, 32)
    outputs = model(**inputs)
    torch.testing.assert_close(outputs.image_embeds, torch.nn.functional.normalize(features.pooler_output, dim=-1))
    torch.testing.assert_close(outputs.logits_per_text, outputs.logits_per_image.T)
    torch.testing.assert_close(
        outputs.logits_per_text, outputs.text_embeds @ outputs.image_embeds.T / 0.07, rtol=1e-4, atol=1e-4
    )
    assert outputs.loss is None


def test_either_modality_may_be_left_out(make_model):
    model, inputs = make_model(), make_inputs()
    both = model(**inputs)
    images = model(pixel_values=inputs["pixel_values"])
    texts = model(inputs["input_ids"], attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(images.image_embeds, both.image_embeds)
    torch.testing.assert_close(texts.text_embeds, both.text_embeds)
    assert images.text_embeds is None and texts.logits_per_text is None
    with pytest.raises(ValueError, match="give input_ids"):
        model()
    with pytest.raises(ValueError, match="needs input_ids and pixel_values"):
        model(pixel_values=inputs["pixel_values"], return_loss=True)


def test_tuples_on_request(make_model):
    model, inputs = make_model(), make_inputs()
    named = model(**inputs)
    assert torch.equal(model(**inputs, return_dict=False)[0], named.logits_per_image)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(384, 128), (192, 64)])
def test_rectangular_images(make_model, family, size):
    model, inputs = make_model(vision=family), make_inputs(*size)
    outputs = model(**inputs, return_loss=True)
    tokens = 24 * 8 if size == (384, 128) else 12 * 4
    special = 2 if family == "deit" else 1
    assert outputs.vision_model_output.last_hidden_state.shape[1] == tokens + special
    outputs.loss.backward()
    without_gradient = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without_gradient


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_natively_rectangular_encoder_uses_its_own_positions(make_model, family):
    model = make_model(vision=family, image_size=[192, 64])
    tokens = model.get_image_features(make_inputs(192, 64)["pixel_values"]).last_hidden_state
    assert tokens.shape[1] == 12 * 4 + (2 if family == "deit" else 1)
    with pytest.raises(ValueError, match="interpolated from square grids only"):
        model.get_image_features(make_inputs(384, 128)["pixel_values"])


def test_native_square_size_needs_no_interpolation(make_model):
    model, pixels = make_model(vision="vit"), make_inputs(64, 64)["pixel_values"]
    torch.testing.assert_close(
        model.get_image_features(pixels).last_hidden_state, model.vision_model(pixels).last_hidden_state
    )


def test_clip_tokens_are_taken_after_its_last_norm(make_model):
    model, pixels = make_model(vision="clip"), make_inputs(64, 64)["pixel_values"]
    tokens = model.get_image_features(pixels).last_hidden_state
    torch.testing.assert_close(tokens[:, 0], model.vision_model(pixels).pooler_output)


@pytest.mark.parametrize("size", [(100, 32), (96, 30)])
def test_size_that_patches_do_not_divide(make_model, size):
    with pytest.raises(ValueError, match=rf"{size[0]} x {size[1]} pixels cannot be cut into patches of 16 x 16"):
        make_model().get_image_features(make_inputs(*size)["pixel_values"])


def test_pretraining_loss_is_contrastive_plus_weighted_mlm(make_model):
    inputs = add_masking(make_inputs())
    model = make_model(UniPTForPreTraining, mlm_loss_weight=0.5)
    outputs = model(**inputs)
    embeds = model.unipt(**make_inputs())
    expected = contrastive_loss(embeds.text_embeds, embeds.image_embeds, 1 / 0.07)
    tokens = model.unipt.text_model(
        input_ids=inputs["mlm_input_ids"], attention_mask=inputs["attention_mask"]
    ).last_hidden_state
    all_positions = masked_language_modeling_loss(model.mlm_head(tokens), inputs["mlm_labels"])
    torch.testing.assert_close(outputs.contrastive_loss, expected)
    torch.testing.assert_close(outputs.mlm_loss, all_positions)
    torch.testing.assert_close(outputs.loss, expected + 0.5 * all_positions)
    assert outputs.mlm_logits.shape == (3, model.config.text_config.vocab_size)
    without_mlm = model(**make_inputs())
    assert without_mlm.mlm_loss is None
    torch.testing.assert_close(without_mlm.loss, expected)
    composable = model(**inputs, return_loss=False)
    assert composable.loss is None and composable.mlm_logits is not None
    with pytest.raises(ValueError, match="both mlm_input_ids and mlm_labels"):
        model(**make_inputs(), mlm_labels=inputs["mlm_labels"])


def test_images_are_encoded_once_a_step(make_model):
    model, passes = make_model(UniPTForPreTraining), []
    model.unipt.vision_model.register_forward_hook(lambda *_: passes.append(1))
    model(**add_masking(make_inputs()))
    assert len(passes) == 1


def test_every_parameter_gets_a_gradient(make_model):
    model = make_model(UniPTForPreTraining)
    model(**add_masking(make_inputs())).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_the_papers_scale_is_fixed_at_one(make_model):
    model, inputs = make_model(logit_scale_init_value=0.0, learnable_logit_scale=False), make_inputs()
    outputs = model(**inputs, return_loss=True)
    assert "logit_scale" not in dict(model.named_parameters())
    torch.testing.assert_close(outputs.logits_per_text, outputs.text_embeds @ outputs.image_embeds.T)


def test_scale_is_capped(make_model):
    model = make_model(logit_scale_init_value=9.0)
    assert model.similarity_scale().item() == pytest.approx(100)


@pytest.mark.parametrize("family", FAMILIES)
def test_sdpa_equals_eager(make_model, family, tmp_path):
    make_model(vision=family).save_pretrained(tmp_path)
    inputs, outputs = make_inputs(), {}
    for kind in ("sdpa", "eager"):
        model = UniPTModel.from_pretrained(tmp_path, attn_implementation=kind)
        assert model.text_model.config._attn_implementation == kind
        assert model.vision_model.config._attn_implementation == kind
        outputs[kind] = model(**inputs)
    torch.testing.assert_close(outputs["sdpa"].logits_per_text, outputs["eager"].logits_per_text, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_gives_equal_gradients(make_model, family):
    gradients = []
    for checkpointing in (False, True):
        model = make_model(UniPTForPreTraining, vision=family).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for config in (model.config.text_config, model.config.vision_config):
            config.attention_probs_dropout_prob = 0.0
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        model(**add_masking(make_inputs())).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_models_reload_to_equal_outputs(make_model, family, tmp_path):
    model, inputs = make_model(UniPTForPreTraining, vision=family), add_masking(make_inputs())
    with torch.no_grad():
        model.unipt.logit_scale.fill_(1.5)
    model.save_pretrained(tmp_path)
    whole = AutoModelForPreTraining.from_pretrained(tmp_path)
    encoders = AutoModel.from_pretrained(tmp_path)
    assert type(whole) is UniPTForPreTraining and type(encoders) is UniPTModel
    expected, outputs = model(**inputs), whole(**inputs)
    assert torch.equal(outputs.loss, expected.loss)
    assert torch.equal(outputs.mlm_logits, expected.mlm_logits)
    assert torch.equal(encoders(**make_inputs()).logits_per_text, expected.logits_per_text)
    assert whole.mlm_head.decoder.weight is whole.unipt.text_model.embeddings.word_embeddings.weight
    encoders.save_pretrained(tmp_path / "encoders")
    again = AutoModel.from_pretrained(tmp_path / "encoders")
    assert torch.equal(again(**make_inputs()).logits_per_text, expected.logits_per_text)


def test_configuration_survives_saving(make_model, tmp_path):
    model = make_model(pooling="mean", logit_scale_init_value=0.0, learnable_logit_scale=False)
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is UniPTConfig
    assert (config.vision_pooling, config.projection_dim, config.learnable_logit_scale) == ("mean", 24, False)
    assert config.vision_config.model_type == "vit" and config.text_config.hidden_size == 32
    assert not AutoModel.from_pretrained(tmp_path).logit_scale.requires_grad


def test_wrong_configurations_are_named():
    with pytest.raises(ValueError, match="pooling is 'cls'"):
        UniPTConfig(pooling="cls")
    with pytest.raises(ValueError, match="needs its 'model_type'"):
        UniPTConfig(text_config={"hidden_size": 32})


def test_vocabulary_can_grow(make_model):
    model = make_model(UniPTForPreTraining)
    size = model.config.text_config.vocab_size + 3
    model.resize_token_embeddings(size)
    assert model.mlm_head.decoder.weight is model.get_input_embeddings().weight
    assert model.mlm_head.decoder.bias.shape == (size,)
    assert torch.isfinite(model(**add_masking(make_inputs())).loss)


VISION_CLASSES = {"vit": ViTModel, "deit": DeiTModel, "clip": CLIPVisionModel}


@pytest.mark.parametrize("family", FAMILIES)
def test_starts_from_two_encoders(tiny_config, tiny_clip_folder, family, tmp_path, caplog):
    text_config = tiny_config().text_config
    torch.manual_seed(3)
    text = BertForMaskedLM(text_config).eval()
    with torch.no_grad():
        text.cls.predictions.bias.normal_()
    text.save_pretrained(tmp_path / "bert")
    vision_folder = tiny_clip_folder
    if family != "clip":
        vision_folder = tmp_path / family
        VISION_CLASSES[family](tiny_config(vision=family).vision_config).save_pretrained(vision_folder)
    vision = VISION_CLASSES[family].from_pretrained(vision_folder).eval()
    with caplog.at_level(logging.WARNING):
        logging.getLogger("transformers").propagate = True
        model = UniPTForPreTraining.from_vision_text_pretrained(
            vision_folder, tmp_path / "bert", projection_dim=16, learnable_logit_scale=False
        )
    message = next(record.getMessage() for record in caplog.records if "newly initialised" in record.getMessage())
    assert message.endswith(
        ": unipt.visual_projection.weight, unipt.visual_projection.bias, "
        "unipt.text_projection.weight, unipt.text_projection.bias"
    )
    assert model.config.projection_dim == 16
    inputs = add_masking(make_inputs())
    masked = text(input_ids=inputs["mlm_input_ids"], attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(model(**inputs).mlm_logits, masked.logits[inputs["mlm_labels"] != -100])
    pixels = make_inputs()["pixel_values"]
    torch.testing.assert_close(
        model.unipt.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state,
        vision(pixels, interpolate_pos_encoding=True).last_hidden_state,
    )


def test_half_precision_encoders_start_in_full_precision(tiny_config, tmp_path):
    BertModel(tiny_config().text_config).to(torch.float16).save_pretrained(tmp_path / "bert")
    ViTModel(tiny_config().vision_config).to(torch.bfloat16).save_pretrained(tmp_path / "vit")
    model = UniPTModel.from_vision_text_pretrained(tmp_path / "vit", tmp_path / "bert")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    model.to(torch.bfloat16).save_pretrained(tmp_path / "unipt")
    assert {parameter.dtype for parameter in AutoModel.from_pretrained(tmp_path / "unipt").parameters()} == {
        torch.bfloat16
    }


def test_encoder_without_mlm_head_is_reported(tiny_config, tmp_path, caplog):
    BertModel(tiny_config().text_config).save_pretrained(tmp_path / "bert")
    ViTModel(tiny_config().vision_config).save_pretrained(tmp_path / "vit")
    with caplog.at_level(logging.WARNING):
        logging.getLogger("transformers").propagate = True
        UniPTForPreTraining.from_vision_text_pretrained(tmp_path / "vit", tmp_path / "bert")
    assert any("mlm_head.dense.weight" in record.getMessage() for record in caplog.records)


FULL_SIZE = {
    "deit": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "image_size": 224},
    "vit": {"image_size": 384},
    "clip": {"image_size": 224},
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_full_size_encoders_take_a_step_at_384_by_128(family, tmp_path):
    classes = {"vit": ViTConfig, "deit": DeiTConfig, "clip": CLIPVisionConfig}
    VISION_CLASSES[family](classes[family](patch_size=16, **FULL_SIZE[family])).save_pretrained(tmp_path / family)
    BertForMaskedLM(BertConfig()).save_pretrained(tmp_path / "bert-base")
    model = UniPTForPreTraining.from_vision_text_pretrained(
        tmp_path / family, tmp_path / "bert-base", logit_scale_init_value=0.0, learnable_logit_scale=False
    ).train()
    outputs = model(**{k: v[:2] for k, v in add_masking(make_inputs(384, 128)).items()})
    outputs.loss.backward()
    assert torch.isfinite(outputs.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_sigmoid_loss_and_gradient_equal_the_formula():
    """SigLIP's equation, one judgement at a time; pairs of one id are left out, and negatives have weights."""
    generator = torch.Generator().manual_seed(0)
    texts, images = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64).unbind()
    texts.requires_grad_()
    ids = torch.tensor([0, 1, 0, 2])
    log_weights = torch.log(torch.rand(4, 4, generator=generator, dtype=torch.float64)).fill_diagonal_(0)
    found = sigmoid_loss(texts, images, 3.0, -1.5, ids, log_weights)
    (gradient,) = torch.autograd.grad(found, texts)
    total = 0
    for n, text in enumerate(texts):
        for m, image in enumerate(images):
            if n != m and ids[n] == ids[m]:
                continue
            logit = 3.0 * text.dot(image) / (text.norm() * image.norm()) - 1.5
            sign = 1 if n == m else -1
            total = total - log_weights[n, m].exp() * torch.log(1 / (1 + torch.exp(-sign * logit)))
    torch.testing.assert_close(found, total / 4)
    torch.testing.assert_close(gradient, torch.autograd.grad(total / 4, texts)[0])


def test_the_model_has_the_sigmoid_loss_if_it_has_a_bias(make_model):
    inputs = make_inputs()
    model = make_model(logit_bias_init_value=-2.0)
    outputs = model(**inputs, return_loss=True)
    cosines = outputs.text_embeds @ outputs.image_embeds.T
    torch.testing.assert_close(outputs.logits_per_text, cosines * model.similarity_scale() - 2)
    wanted = sigmoid_loss(outputs.text_embeds, outputs.image_embeds, model.similarity_scale(), model.logit_bias)
    torch.testing.assert_close(outputs.loss, wanted)


@pytest.mark.parametrize("pooling", ["max", "mean", "first", "last"])
def test_a_text_without_any_token_gives_zeros(pooling, make_model):
    model = make_model(text_pooling=pooling)
    inputs = make_inputs()
    inputs["attention_mask"][0] = 0
    outputs = model(**inputs)
    assert torch.equal(outputs.text_embeds[0], torch.zeros(24))
    assert outputs.text_embeds.isfinite().all() and outputs.logits_per_text.isfinite().all()


def test_pooling_of_first_and_last_follows_the_mask():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]])
    assert torch.equal(pool_tokens(tokens, mask, "first"), torch.stack([tokens[0, 1], tokens[1, 0]]))
    assert torch.equal(pool_tokens(tokens, mask, "last"), torch.stack([tokens[0, 2], tokens[1, 3]]))


@pytest.mark.parametrize(("both", "wanted"), [("max", ("max", "max")), ("class", ("first", "last"))])
def test_configurations_with_one_pooling_are_still_read(both, wanted, tiny_config, tmp_path):
    config = tiny_config()
    fields = {name: value for name, value in config.to_dict().items() if not name.endswith("_pooling")}
    old = UniPTConfig.from_dict(fields | {"pooling": both})
    assert (old.vision_pooling, old.text_pooling) == wanted
    assert "pooling" not in old.to_dict()


@pytest.mark.parametrize("options", [{"vision_pooling": "attention"}, {"text_pooling": "padded_last"}])
def test_siglips_pooling_needs_siglips_encoders(options, tiny_config):
    with pytest.raises(ValueError, match="needs an encoder of SigLIP"):
        tiny_config(**options)


@pytest.mark.parametrize("model_class", [UniPTModel, UniPTForPreTraining])
@pytest.mark.parametrize("where", ["call", "config"])
def test_a_model_can_return_tuples(model_class, where, make_model):
    model = make_model(model_class)
    inputs = make_inputs()
    wanted = model(**inputs, return_loss=True)
    features = model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
    asked = {"return_dict": False} if where == "call" else {}
    if where == "config":
        model.config.return_dict = False
    found = model(**inputs, return_loss=True, **asked)
    assert isinstance(found, tuple) and torch.equal(found[0], wanted.loss)
    given = model.get_text_features(inputs["input_ids"], inputs["attention_mask"], **asked)
    assert isinstance(given, tuple) and torch.equal(given[1], features.pooler_output)


def test_pretraining_models_give_features_too(make_model):
    model = make_model(UniPTForPreTraining)
    inputs = make_inputs()
    texts = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
    assert torch.equal(
        texts, model.unipt.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
    )
    images = model.get_image_features(inputs["pixel_values"]).pooler_output
    assert torch.equal(images, model.unipt.get_image_features(inputs["pixel_values"]).pooler_output)
