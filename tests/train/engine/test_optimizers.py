"""Which optimizer trains which parameter, and the sine-cosine start of position embeddings."""

import math

import pytest
import torch
import transformers

from tests.helpers.people import ENCODER
from unipt_train import pretrain
from unipt_train.engine.arguments import parse_arguments
from unipt_train.engine.optimizers import build_optimizers, make_schedulers, matrix_names, parameter_groups
from unipt_train.engine.precision import convolve_in_float32, precision_to_start_with
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.objectives.initialisation import centre_embeddings, start_from_sine_cosine_positions


def names_of(model, optimizer):
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in held}


@pytest.fixture(scope="module")
def model(tiny_config):
    from modeling_unipt import UniPTForPreTraining

    return UniPTForPreTraining(tiny_config())


def test_adamw_alone_trains_everything(model):
    (adamw,) = build_optimizers(model, {}, 1e-3, 0.1, (0.9, 0.98))
    assert names_of(model, adamw) == {name for name, p in model.named_parameters() if p.requires_grad}


def test_muon_trains_exactly_the_matrices_inside_layers(model):
    adamw, muon = build_optimizers(model, {}, 1e-3, 0.1, (0.9, 0.98), muon_learning_rate=0.02)
    by_muon, by_adamw = names_of(model, muon), names_of(model, adamw)
    assert not by_muon & by_adamw
    assert by_muon | by_adamw == {name for name, p in model.named_parameters() if p.requires_grad}
    assert any(".vision_model." in name for name in by_muon) and any(".text_model." in name for name in by_muon)
    assert not any("embeddings" in name or "projection" in name or "bias" in name for name in by_muon)
    assert any("word_embeddings" in name for name in by_adamw)


def test_rates_follow_the_prefix_and_vectors_do_not_decay():
    module = torch.nn.ModuleDict({"encoder": torch.nn.Linear(3, 4), "head": torch.nn.Linear(4, 2)})
    groups = parameter_groups(module.named_parameters(), {"encoder": 1e-5}, 1e-3, 0.1, matrix_names(module))
    found = {(group["lr"], group["weight_decay"]): [tuple(p.shape) for p in group["params"]] for group in groups}
    assert found == {(1e-5, 0.1): [(4, 3)], (1e-5, 0.0): [(4,)], (1e-3, 0.1): [(2, 4)], (1e-3, 0.0): [(2,)]}


# Kind of encoder -> those of its parameters of two and more dimensions that are no matrices of a layer.
NO_MATRICES = {
    "ViT": ["cls_token", "position_embeddings"],
    "DeiT": ["cls_token", "distillation_token", "position_embeddings"],
    "CLIPVision": ["position_embedding.weight"],
    "SiglipVision": ["position_embedding.weight", "probe"],
    "Dinov2": ["cls_token", "mask_token", "position_embeddings"],
    "Dinov2WithRegisters": ["cls_token", "mask_token", "position_embeddings", "register_tokens"],
    "DINOv3ViT": ["cls_token", "mask_token", "register_tokens"],
    "Beit": ["cls_token", "position_embeddings", "relative_position_bias_table"],
    "Bert": ["position_embeddings.weight"],
    "Roberta": ["position_embeddings.weight"],
    "XLMRoberta": ["position_embeddings.weight"],
    "DistilBert": ["position_embeddings.weight"],
    "MPNet": ["position_embeddings.weight", "relative_attention_bias.weight"],
    "ModernBert": [],
    "CLIPText": ["position_embedding.weight"],
    "SiglipText": ["position_embedding.weight"],
    "Qwen3": [],
}
OF_BEIT = {"use_relative_position_bias": True, "use_absolute_position_embeddings": True}


@pytest.mark.parametrize("kind", NO_MATRICES)
def test_neither_tokens_nor_positions_decay_and_all_matrices_do(kind):
    options = dict(ENCODER) | {"num_hidden_layers": 1}
    if kind == "Beit":
        options |= OF_BEIT
    if kind == "Qwen3":
        options |= {"head_dim": 8, "num_key_value_heads": 1}
    config = getattr(transformers, f"{kind}Config")(**options)
    if "vocab_size" in config.to_dict():
        config.vocab_size = 99
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, 1)
    encoder = getattr(transformers, f"{kind}Model")(config)
    (adamw,) = build_optimizers(encoder, {}, 1e-3, 0.1, (0.9, 0.98))
    decaying, others = adamw.param_groups if len(adamw.param_groups) == 2 else (adamw.param_groups[0], None)
    if decaying["weight_decay"] == 0:
        decaying, others = others, decaying
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    name_of = {id(parameter): name for name, parameter in encoder.named_parameters()}
    large = [name_of[id(parameter)] for parameter in others["params"] if parameter.ndim >= 2]
    assert len(large) == len(NO_MATRICES[kind])
    for name in NO_MATRICES[kind]:
        assert sum(found.endswith(name) for found in large) == 1
    assert all(parameter.ndim >= 2 for parameter in decaying["params"])


def test_prototypes_do_not_decay_and_what_they_are_multiplied_by_does(tiny_config):
    from modeling_unipt import UniPTModel

    names = matrix_names(UniPTModel(tiny_config(num_prototypes=2)))
    assert "granularity_unification.prototypes" not in names
    assert {"granularity_unification.layers.0.query.weight", "granularity_unification.projections.1.weight"} <= names
    assert {"visual_projection.weight", "text_projection.weight"} <= names


def test_tables_of_relative_positions_are_not_orthogonalised():
    beit = torch.nn.ModuleDict({"beit": transformers.BeitModel(transformers.BeitConfig(**ENCODER, **OF_BEIT))})
    adamw, muon = build_optimizers(beit, {}, 1e-3, 0.1, (0.9, 0.98), muon_learning_rate=0.02)
    assert any("relative_position_bias_table" in name for name in names_of(beit, adamw))
    assert not any("relative_position_bias_table" in name for name in names_of(beit, muon))


def groups_of_version_0_2(named_parameters, learning_rates, default_rate, weight_decay):
    """What version 0.2 made; in this order its checkpoints hold the state of AdamW."""
    groups = {}
    for name, parameter in named_parameters:
        rate = next((rate for prefix, rate in learning_rates.items() if name.startswith(prefix)), default_rate)
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(name)
    return list(groups.values())


@pytest.mark.parametrize("weight_decay, decay_positions", [(0.1, True), (0.0, False)])
@pytest.mark.parametrize("rates", [{}, {"unipt.vision_model": 1e-4, "unipt.text_model": 1e-5}])
def test_with_positions_decayed_or_no_decay_the_groups_are_those_of_version_0_2(
    model, rates, weight_decay, decay_positions
):
    (adamw,) = build_optimizers(model, rates, 1e-3, weight_decay, (0.9, 0.98), decay_positions=decay_positions)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [[name_of[id(parameter)] for parameter in group["params"]] for group in adamw.param_groups]
    assert found == groups_of_version_0_2(model.named_parameters(), rates, 1e-3, weight_decay)


@pytest.mark.parametrize("text_kind", ["BertForMaskedLM", "BertModel"])
def test_rates_of_heads_and_scale_reach_their_parameters_alone(text_kind, tmp_path):
    from modeling_unipt import UniPTForPreTraining
    from unipt_train.objectives.pretraining import PretrainingObjective

    arguments = PretrainArguments(learning_rate=1e-5, head_learning_rate=1e-4, logit_scale_learning_rate=1e-3)
    transformers.ViTModel(transformers.ViTConfig(**ENCODER)).save_pretrained(tmp_path / "vit")
    text_config = transformers.BertConfig(vocab_size=99, **ENCODER)
    getattr(transformers, text_kind)(text_config).save_pretrained(tmp_path / "bert")
    model = UniPTForPreTraining.from_vision_text_pretrained(tmp_path / "vit", tmp_path / "bert", projection_dim=8)
    objective = PretrainingObjective(model, attribute_loss_weight=1.0, fact_sizes=[2, 3])
    rates = pretrain.learning_rates(arguments, objective.model.newly_initialised)
    (adamw,) = build_optimizers(objective, rates, arguments.learning_rate, 0.01, (0.9, 0.98))
    name_of = {id(parameter): name for name, parameter in objective.named_parameters()}
    names = {}
    for group in adamw.param_groups:
        names.setdefault(group["lr"], set()).update(name_of[id(parameter)] for parameter in group["params"])
    # BertModel has no head that predicts words; the decoder's weight is that of the word embeddings.
    is_new = text_kind == "BertModel"
    new_mlm_head = ["model.mlm_head.dense", "model.mlm_head.layer_norm"] if is_new else []
    new_mlm_bias = {"model.mlm_head.decoder.bias"} if is_new else set()
    assert names[1e-3] == {"model.unipt.logit_scale"}
    assert (
        names[1e-4]
        == {
            f"{head}.{part}"
            for head in (
                "attribute_head",
                "model.unipt.visual_projection",
                "model.unipt.text_projection",
                *new_mlm_head,
            )
            for part in ("weight", "bias")
        }
        | new_mlm_bias
    )
    assert names[1e-5] == set(name_of.values()) - names[1e-3] - names[1e-4]
    assert pretrain.learning_rates(PretrainArguments(), objective.model.newly_initialised) == {}


def test_of_random_encoders_all_heads_are_new_and_of_a_whole_model_the_attribute_head_alone():
    arguments = PretrainArguments(head_learning_rate=1e-4)
    heads = {"attribute_head.", "model.unipt.visual_projection.", "model.unipt.text_projection.", "model.mlm_head."}
    assert pretrain.learning_rates(arguments, None) == dict.fromkeys(heads, 1e-4)
    assert pretrain.learning_rates(arguments, frozenset()) == {"attribute_head.": 1e-4}


@pytest.mark.parametrize("rate, steps", [(1e-3, 400), (0.01, 70)])
def test_the_scale_can_move_by_half_of_rate_times_steps(rate, steps):
    """Adam moves a number by its rate at most if all gradients are alike; the schedule's factors sum to steps / 2."""
    module = torch.nn.Module()
    module.logit_scale = torch.nn.Parameter(torch.tensor(math.log(14.3), dtype=torch.float64))
    optimizers = build_optimizers(module, {"logit_scale": rate}, 1e-5, 0.01, (0.9, 0.98))
    schedulers = make_schedulers(optimizers, "linear", 0.1, steps)
    for _ in range(steps):
        module.logit_scale.grad = torch.tensor(-0.3, dtype=torch.float64)
        for part in (*optimizers, *schedulers):
            part.step()
    assert float(module.logit_scale.detach()) - math.log(14.3) == pytest.approx(rate * steps / 2, rel=1e-6)


def test_the_recipe_best_lets_the_scale_go_where_it_wants():
    best = parse_arguments(PretrainArguments, "Doc.", ["--config", "pretrain_best.yaml"])
    steps = 38085  # 15 epochs of 1.3 million pairs
    assert best.scheduler == "linear" and best.warmup_ratio == 0.1
    # With the rate of the encoders it came no further than this.
    assert best.logit_scale * math.exp(best.learning_rate * steps / 2) == pytest.approx(17.3, abs=0.05)
    assert best.logit_scale * math.exp(best.logit_scale_learning_rate * steps / 2) > 100
    assert best.head_learning_rate > best.learning_rate


def test_sine_cosine_positions_tell_neighbours_from_far_patches_and_leave_class_tokens():
    embeddings = torch.full((1, 1 + 12, 32), 7.0)
    start_from_sine_cosine_positions(embeddings, rows=4, columns=3)
    assert (embeddings[0, 0] == 7).all()
    patches = embeddings[0, 1:].reshape(4, 3, 32)
    assert patches.abs().max() <= 1
    here = patches[1, 1]
    near, far = (here - patches[1, 2]).norm(), (here - patches[3, 0]).norm()
    assert 0 < near < far
    # The first quarter of the dimensions is the sine of the column, whatever the row.
    assert torch.equal(patches[0, 2, :8], patches[3, 2, :8])
    assert torch.allclose(patches[0, 2, 0], torch.sin(torch.tensor(2.0)))


def test_a_named_precision_is_taken_as_it_is():
    assert precision_to_start_with("no") == "no" and precision_to_start_with("bf16") == "bf16"


@pytest.mark.parametrize("gpu, native, wanted", [(True, True, "bf16"), (True, False, "fp16"), (False, False, "no")])
def test_bfloat16_is_chosen_where_a_gpu_has_it_natively(gpu, native, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    assert precision_to_start_with("auto") == wanted
    assert precision_to_start_with("auto", cpu=True) == "no"


def test_patches_are_cut_in_float32_on_a_cpu(tiny_config):
    from modeling_unipt import UniPTModel

    model, images, seen = UniPTModel(tiny_config()), torch.randn(2, 3, 64, 64), {}
    projection = model.vision_model.embeddings.patch_embeddings.projection
    projection.register_forward_hook(lambda module, given, found: seen.update(patches=found))
    convolve_in_float32(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeds = model.get_image_features(images).pooler_output
    assert seen["patches"].dtype == torch.float32 and embeds.dtype == torch.bfloat16
    embeds.float().sum().backward()
    assert projection.weight.grad.abs().sum() > 0


def test_centring_makes_the_mean_embedding_zero_and_changes_no_difference(tiny_config):
    from modeling_unipt import UniPTModel

    model = UniPTModel(tiny_config()).eval()
    batch = {
        "pixel_values": torch.randn(5, 3, 64, 64),
        "input_ids": torch.randint(5, 50, (5, 9)),
        "attention_mask": torch.tensor([[1] * n + [0] * (9 - n) for n in (9, 4, 7, 2, 9)]),
    }

    def embeds():
        images = model.get_image_features(pixel_values=batch["pixel_values"]).pooler_output
        texts = model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
        return images.detach(), texts.detach()

    before = embeds()
    centre_embeddings(model, batch)
    for old, new in zip(before, embeds(), strict=True):
        assert new.mean(dim=0).abs().max() < 1e-5
        assert torch.allclose(new - new[0], old - old[0], atol=1e-5)
