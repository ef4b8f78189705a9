"""The part `training` of `make bench` on tiny models: what it compares is the same, and what it counts is right."""

import pytest
import torch
from transformers import BertConfig, ViTConfig

from modeling_unipt import UniPTConfig
from tests.helpers.small_encoders import write_small_encoders
from unipt_train.speed import loading as bench_loading
from unipt_train.speed import training as bench_training
from unipt_train.speed.figures import Figure

SIZE = ["--image_height", "64", "--image_width", "32", "--projection_dim", "24"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory, tiny_tokenizer):
    return write_small_encoders(tmp_path_factory.mktemp("encoders"), tiny_tokenizer)


def build(encoders, vision):
    objective = bench_training.build_objective([*bench_training.paper_options(encoders, vision), *SIZE])
    return objective, bench_training.ready_batch(objective.model.config, 4, 64, 32, 20)


def test_the_encoders_are_those_of_the_hub(tmp_path):
    from transformers import AutoConfig

    bench_training.write_encoders(tmp_path)
    deit, vit, bert = (AutoConfig.from_pretrained(tmp_path / name) for name in ("deit-s", "vit-b16", "bert-base"))
    assert (deit.hidden_size, deit.num_hidden_layers, deit.num_attention_heads) == (384, 12, 6)
    assert (vit.hidden_size, vit.num_hidden_layers, vit.image_size, vit.patch_size) == (768, 12, 384, 16)
    assert (bert.hidden_size, bert.num_hidden_layers, bert.vocab_size) == (768, 12, 30522)


def test_both_graphs_have_one_loss_and_one_gradient(encoders):
    objective, batch = build(encoders, "deit-s")
    objective, batch["pixel_values"] = objective.double(), batch["pixel_values"].double()
    found = []
    for step in (bench_training.project_step, bench_training.straightforward_step):
        objective.zero_grad()
        loss = step(objective, batch)
        found.append((loss, {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}))
    (loss, gradients), (same_loss, same_gradients) = found
    torch.testing.assert_close(loss, same_loss, rtol=1e-6, atol=0)
    assert set(gradients) == set(same_gradients) and len(gradients) > 50
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, same_gradients[name], rtol=1e-4, atol=1e-6)


def test_the_straightforward_graph_does_what_the_released_code_does(encoders):
    """Two image passes, text passes of 100 tokens, MLM's head over all of them."""
    objective, batch = build(encoders, "vit-b16")
    seen = []
    unipt = objective.model.unipt
    unipt.vision_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(("image", tuple(kwargs["pixel_values"].shape))), with_kwargs=True
    )
    unipt.text_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(("text", tuple(kwargs["input_ids"].shape))), with_kwargs=True
    )
    objective.model.mlm_head.register_forward_pre_hook(
        lambda module, args: seen.append(("head", tuple(args[0].shape[:-1])))
    )
    bench_training.straightforward_step(objective, batch)
    image = ("image", (4, 3, 64, 32))
    assert seen == [("text", (4, 100)), image, ("text", (4, 100)), image, ("head", (4, 100))]
    seen.clear()
    bench_training.project_step(objective, batch)
    assert sorted(seen) == [("head", (12,)), image, ("text", (8, 20))]


def test_the_steps_figures_have_their_aims(encoders):
    objective, batch = build(encoders, "deit-s")
    figures = {figure.name: figure for figure in bench_training.measure_step(objective, batch, "X", repetitions=1)}
    ratio = figures["X: step / straightforward"]
    assert ratio.at_least == 2.2 and ratio.value == pytest.approx(
        figures["X: step"].value / figures["X: straightforward graph"].value
    )
    difference = figures["X: difference of the two losses"]
    assert difference.at_most == 1e-3 and difference.met


@pytest.mark.parametrize("vision", ["deit-s", "vit-b16"])
def test_operations_are_those_that_torch_counts(encoders, vision):
    from torch.utils.flop_counter import FlopCounterMode

    objective, batch = build(encoders, vision)
    objective.model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        bench_training.project_step(objective, batch)
    config = objective.model.config
    counted = bench_training.flops_of_a_pair(config, 64, 32, text_tokens=20, masked_tokens=3)
    # The masked text shares the whole one's pass, so that its tokens are projected for nothing.
    counted += 3 * 2 * config.projection_dim * 20 * config.text_config.hidden_size
    assert counter.get_total_flops() == pytest.approx(4 * counted, rel=5e-4)  # similarities of 4 x 4 pairs are not in


def test_whole_steps_are_timed_and_change_the_weights(encoders):
    objective, batch = build(encoders, "vit-b16")
    before = objective.model.unipt.visual_projection.weight.clone()
    assert bench_training.steps_a_second(objective, batch, torch.bfloat16, 2) > 0
    assert not torch.equal(before, objective.model.unipt.visual_projection.weight)


def test_a_loop_on_ready_samples_trains_on_the_same_ones(encoders, tmp_path):
    """Else :func:`unipt_train.speed.loading.measure_loading` raises."""
    options = [*bench_training.paper_options(encoders, "deit-s"), *SIZE, "--max_text_tokens", "64"]
    case = bench_loading.LoadingCase("deit", options, batch=4, steps=3, least=0.9)
    ready, loaded, making, ratio = bench_loading.measure_loading(case, tmp_path)
    assert 0 < making.value < 1000
    assert ratio.at_least == 0.9 and ratio.value == pytest.approx(loaded.value / ready.value)


def test_passes_by_length_are_measured_against_one_and_put_back(encoders, monkeypatch):
    from unipt_train.objectives import text_passes
    from unipt_train.speed import text_passes as bench_text_passes

    seen, usual = [], text_passes.PASSES
    monkeypatch.setattr(bench_text_passes, "REPETITIONS", 1)
    grouped = text_passes.passes_by_length
    monkeypatch.setattr(text_passes, "passes_by_length", lambda mask: seen.append(text_passes.PASSES) or grouped(mask))
    options = [*bench_training.paper_options(encoders, "deit-s"), *SIZE, "--cpu", "true", "--precision", "no"]
    ratio, difference = bench_text_passes.measure_text_passes([*options, "--report_to", "none"], 16, "deit")
    assert [*seen, text_passes.PASSES] == [usual, 1, usual, 1, usual]
    assert ratio.value > 0 and difference.value < 1e-4


def test_ready_samples_are_made_beforehand():
    class Pairs(dict):
        def __getitems__(self, keys):
            return [self[key] for key in keys]

    pairs = Pairs({(0, 1): "one", (0, 2): "two", (1, 1): "three"})
    samples = bench_loading.ReadySamples(pairs, [[(0, 1)], [(1, 1)]])
    pairs.clear()
    assert samples[0, 1] == "one" and samples[1, 1] == "three" and len(samples) == 3


def test_the_gpus_part_gives_rate_utilisation_and_hours(encoders, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setattr(bench_training, "GPU_BATCH", 2)
    monkeypatch.setattr(bench_training, "steps_a_second", lambda objective, batch, dtype, steps: 100.0)
    rate, used, hours = bench_training.measure_gpu(encoders)
    assert rate == Figure("ViT-B/16, NVIDIA H100 80GB HBM3, bf16: step", 200.0, "samples/s")
    assert used.at_least == 40 and used.unit == "%"
    assert hours.value == pytest.approx(1_300_000 * 15 / 200 / 3600)


def test_a_vit_b_16_pair_needs_some_140_gflop():
    """193 image tokens and twice 40 text tokens, each through 12 layers of 7.09 M weights, 6 operations a weight."""
    config = UniPTConfig(vision_config=ViTConfig(image_size=384), text_config=BertConfig(), projection_dim=768)
    dense = 6 * (193 + 80) * 12 * 7.09e6
    assert bench_training.flops_of_a_pair(config, 384, 128, 40, 6) == pytest.approx(dense, rel=0.05)
