"""Which optimizer trains which parameter, and the sine-cosine start of position embeddings."""

import pytest
import torch

from unipt_train.engine.optimizers import build_optimizers, parameter_groups
from unipt_train.engine.precision import convolve_in_float32, pick_precision
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
    groups = parameter_groups(module.named_parameters(), {"encoder": 1e-5}, 1e-3, 0.1)
    found = {(group["lr"], group["weight_decay"]): [tuple(p.shape) for p in group["params"]] for group in groups}
    assert found == {(1e-5, 0.1): [(4, 3)], (1e-5, 0.0): [(4,)], (1e-3, 0.1): [(2, 4)], (1e-3, 0.0): [(2,)]}


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
    assert pick_precision("no") == "no" and pick_precision("bf16") == "bf16"


@pytest.mark.parametrize("gpu, native, wanted", [(True, True, "bf16"), (True, False, "fp16"), (False, False, "no")])
def test_bfloat16_is_chosen_where_it_is_native(gpu, native, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    assert pick_precision("auto") == wanted
    assert pick_precision("auto", cpu=True) == ("bf16" if native else "no")


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
