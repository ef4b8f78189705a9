"""Prototypes in the saved model: against attention written out with loops, padding, saving, and all that embeds."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

from modeling_unipt import PersonGallery, UniPTConfig, UniPTForPreTraining, UniPTModel, load_unipt
from modeling_unipt.heat_map import word_maps
from modeling_unipt.modeling_unipt import UniPTGranularityUnification
from tests.helpers.people import draw_person
from tests.modeling_unipt.test_modeling_unipt import assert_padding_does_not_change_embeddings, make_inputs
from tests.modeling_unipt.test_remote_code import USE, request, run_without_the_package

SIZES = {"num_prototypes": 3, "prototype_dim": 5, "prototype_layers": 2, "prototype_heads": 2}
SIZES |= {"prototype_head_dim": 4, "prototype_mlp_dim": 7}


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(1)
    return UniPTModel(tiny_config(**SIZES)).eval()


@pytest.fixture
def model_folder(model, tiny_processor, tmp_path):
    model.save_pretrained(tmp_path / "with-prototypes")
    tiny_processor.save_pretrained(tmp_path / "with-prototypes")
    return tmp_path / "with-prototypes"


def normed(vector, norm):
    centred = vector - vector.mean()
    return centred / (centred.square().mean() + norm.eps).sqrt() * norm.weight + norm.bias


def naive_unification(module, tokens, kept):
    """One prototype, one head and one token at a time; ``kept`` are the lists of tokens that are not padding."""
    width, rows = SIZES["prototype_head_dim"], []
    for sample, places in zip(tokens, kept, strict=True):
        prototypes = list(module.prototypes)
        for layer in module.layers:
            changed = []
            for prototype in prototypes:
                query = layer.query.weight @ normed(prototype, layer.attention_norm)
                gathered = []
                for head in range(layer.heads):
                    part = slice(head * width, (head + 1) * width)
                    scores, values = [], []
                    for place in places:
                        token = normed(sample[place], layer.attention_norm)
                        key = (layer.key.weight @ token)[part]
                        scores.append(torch.dot(query[part], key) / math.sqrt(width))
                        values.append((layer.value.weight @ token)[part])
                    total = sum(score.exp() for score in scores)
                    gathered.append(sum(s.exp() / total * v for s, v in zip(scores, values, strict=True)))
                after = prototype + layer.output.weight @ torch.cat(gathered) + layer.output.bias
                inside = layer.mlp_in.weight @ normed(after, layer.mlp_norm) + layer.mlp_in.bias
                inside = inside * (1 + torch.erf(inside / math.sqrt(2))) / 2
                changed.append(after + layer.mlp_out.weight @ inside + layer.mlp_out.bias)
            prototypes = changed
        parts = [project.weight @ p for project, p in zip(module.projections, prototypes, strict=True)]
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def test_unification_and_its_gradients_equal_attention_written_out(tiny_config):
    torch.manual_seed(0)
    module = UniPTGranularityUnification(tiny_config(projection_dim=6, **SIZES)).double()
    for parameter in module.parameters():  # norms and biases, too, must matter
        torch.nn.init.normal_(parameter, std=0.5)
    tokens = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    mask, kept = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0]]), [[0, 1, 2, 3], [0, 2]]
    found, naive = module(tokens, mask), naive_unification(module, tokens, kept)
    assert found.shape == (2, 15)
    torch.testing.assert_close(found, naive, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(found)
    inputs = [tokens, *module.parameters()]
    gradients = [torch.autograd.grad((values * direction).sum(), inputs) for values in (found, naive)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)
    assert all(gradient.abs().max() > 0 for gradient in gradients[0])
    assert gradients[0][0][1, 1].abs().max() == 0, "padding has no gradient"


def test_the_embedding_is_of_the_projected_tokens_and_the_pooled_one_stays(model):
    inputs = make_inputs()
    images = model.get_image_features(inputs["pixel_values"])
    texts = model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
    unify = model.granularity_unification
    image_tokens = model.visual_projection(images.last_hidden_state)
    text_tokens = model.text_projection(texts.last_hidden_state)
    torch.testing.assert_close(images.pooler_output, unify(image_tokens))
    torch.testing.assert_close(texts.pooler_output, unify(text_tokens, inputs["attention_mask"]))
    torch.testing.assert_close(images.global_output, image_tokens.amax(dim=1))
    torch.testing.assert_close(texts.global_output[0], text_tokens[0].amax(dim=0))
    torch.testing.assert_close(texts.global_output[1], text_tokens[1, :6].amax(dim=0))
    outputs = model(**inputs)
    assert outputs.text_embeds.shape == outputs.image_embeds.shape == (3, 15)
    assert model.config.embedding_dim == 15
    torch.testing.assert_close(outputs.image_embeds, torch.nn.functional.normalize(images.pooler_output, dim=-1))
    assert model.get_image_features(inputs["pixel_values"], return_dict=False)[1].shape == (3, 15)


def test_padding_does_not_change_the_embedding(model):
    assert_padding_does_not_change_embeddings(model)


def test_prototypes_differ_from_the_start(model):
    """Equal ones would get equal gradients, and six would be worth one."""
    features = model.get_image_features(make_inputs()["pixel_values"]).pooler_output.unflatten(-1, (3, 5))
    module = model.granularity_unification
    tokens = model.visual_projection(model.get_image_features(make_inputs()["pixel_values"]).last_hidden_state)
    prototypes = module.prototypes.expand(3, -1, -1)
    gathered = module.layers[0](prototypes, tokens, None) - prototypes
    apart = torch.nn.functional.cosine_similarity(gathered[:, 0], gathered[:, 1], dim=-1)
    assert apart.max() < 0.99 and features.std(dim=1).min() > 0


def test_every_parameter_gets_a_gradient(model):
    inputs = make_inputs()
    outputs = model(**inputs, return_loss=True)
    pooled = outputs.text_model_output.global_output.sum() + outputs.vision_model_output.global_output.sum()
    (outputs.loss + pooled).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_saved_model_reloads_to_equal_outputs(model, model_folder):
    again = AutoModel.from_pretrained(model_folder)
    assert type(again) is UniPTModel
    assert torch.equal(again(**make_inputs()).logits_per_text, model(**make_inputs()).logits_per_text)
    config = AutoConfig.from_pretrained(model_folder)
    assert {name: getattr(config, name) for name in SIZES} == SIZES
    stored = json.loads((model_folder / "config.json").read_text())
    assert "embedding_dim" not in stored, "it follows from the others"


def test_a_pretraining_model_may_have_prototypes(tiny_config, tmp_path):
    torch.manual_seed(2)
    model = UniPTForPreTraining(tiny_config(**SIZES)).eval()
    model.save_pretrained(tmp_path)
    expected = model(**make_inputs()).logits_per_text
    assert torch.equal(AutoModelForPreTraining.from_pretrained(tmp_path)(**make_inputs()).logits_per_text, expected)
    assert torch.equal(AutoModel.from_pretrained(tmp_path)(**make_inputs()).logits_per_text, expected)


def test_a_model_with_prototypes_is_used_by_a_process_without_the_package(model, model_folder, tmp_path):
    run_without_the_package(USE, model_folder, tmp_path / "logits.pt", tmp_path)
    _, processor = load_unipt(model_folder)
    with torch.no_grad():
        expected = model(**processor(**request())).logits_per_text
    assert torch.equal(torch.load(tmp_path / "logits.pt", weights_only=True), expected)


def test_a_model_without_prototypes_is_as_before(tiny_unipt_folder):
    assert not any("granularity" in name for name in load_file(tiny_unipt_folder / "model.safetensors"))
    model = AutoModel.from_pretrained(tiny_unipt_folder)
    features = model.get_image_features(make_inputs()["pixel_values"])
    assert model.granularity_unification is None and model.config.embedding_dim == model.config.projection_dim
    assert features.global_output is features.pooler_output


def test_a_checkpoint_without_prototypes_starts_new_ones_the_same_way(tiny_unipt_folder):
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        model, info = UniPTModel.from_pretrained(tiny_unipt_folder, **SIZES, output_loading_info=True)
        assert all(name.startswith("granularity_unification.") for name in info["missing_keys"])
        models.append(model.granularity_unification)
    layer = models[0].layers[0]
    assert layer.query.weight.std().item() == pytest.approx(24**-0.5, rel=0.2)
    assert models[0].prototypes.std().item() == pytest.approx(0.02, rel=0.4)
    assert torch.equal(models[0].prototypes, models[1].prototypes)


@pytest.mark.parametrize(
    "sizes, message",
    [({"num_prototypes": -1}, "num_prototypes is -1"), ({"prototype_heads": 0}, "prototype_heads is 0; it must be at")],
)
def test_wrong_sizes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        UniPTConfig(**sizes)


def test_galleries_and_heat_maps_work_with_prototypes(model_folder, image_folder, tmp_path):
    model, processor = load_unipt(model_folder)
    gallery = PersonGallery.from_folder(image_folder, (model, processor), batch_size=4)
    assert gallery.embedding_of(0).shape == (15,)
    inputs = processor(text=["a man in red"], return_tensors="pt")
    with torch.no_grad():
        query = model(**inputs).text_embeds[0].numpy()
    best = gallery.search("a man in red", top_k=1)[0]
    scores = [float(query @ gallery.embedding_of(index)) for index in range(len(gallery))]
    assert best.index == int(np.argmax(scores)) and best.score == pytest.approx(max(scores), abs=1e-5)
    gallery = PersonGallery.from_folder(image_folder, str(model_folder), batch_size=4)
    gallery.save(tmp_path / "gallery")
    assert PersonGallery.load(tmp_path / "gallery").search(query, top_k=1)[0].index == best.index
    assert PersonGallery(model, processor).search(query) == []
    maps = word_maps(model, processor, draw_person(0), "a man in a red coat", ["red coat"])
    assert maps.shape == (1, 6, 2) and np.isfinite(maps).all()
