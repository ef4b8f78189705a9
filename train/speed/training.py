"""A pre-training step against the straightforward graph, and a GPU's use; the part `training` of `make bench`.

The straightforward graph is that of the code which the paper's authors released: text padded to 100 tokens, both
encoders run once for each objective, MLM's head over every position. Same weights, same batch, no dropout, forward and
backward; DeiT-S + BERT-base in fp32 on the CPU.

With a GPU: ViT-B/16 + BERT-base, forward, backward and AdamW under autocast, the share of the GPU's dense peak that the
model's own arithmetic makes up (:func:`flops_of_a_pair`), and the paper's pre-training projected from it.
"""

import time
from functools import partial

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import contrastive_loss
from unipt_train import pretrain
from unipt_train.engine.arguments import parse_arguments
from unipt_train.engine.optimizers import build_optimizers
from unipt_train.engine.precision import has_native_bfloat16
from unipt_train.objectives.pretraining import PretrainingObjective
from unipt_train.speed.figures import Figure
from unipt_train.speed.in_turn import in_turn
from unipt_train.speed.loading import LoadingCase, measure_loading
from unipt_train.speed.text_passes import measure_text_passes
from unipt_train.studies.commands import ROOT

CAPTION_TOKENS, PADDED_TOKENS, MASKED_SHARE = 40, 100, 0.15
CPU_BATCH, GPU_BATCH = 8, 128
REPETITIONS, GPU_STEPS = 3, 20
PAPER_PAIRS = 1_300_000 * 15
# Dense peak of matrix products in 16 bits, by part of the device's name; the first that fits.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "V100": 125e12,
}


def write_encoders(folder):
    """Below ``folder`` the configurations of DeiT-S, ViT-B/16 and BERT-base, dropout off, and a tokenizer."""
    from transformers import AutoTokenizer, BertConfig, DeiTConfig, ViTConfig

    DeiTConfig(hidden_size=384, num_attention_heads=6, intermediate_size=1536).save_pretrained(folder / "deit-s")
    ViTConfig(image_size=384).save_pretrained(folder / "vit-b16")
    BertConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0).save_pretrained(folder / "bert-base")
    AutoTokenizer.from_pretrained(ROOT / "train" / "configs" / "bert-tiny").save_pretrained(folder / "bert-base")
    return folder


def paper_options(encoders, vision):
    """Command line of the paper's recipe with random weights."""
    return ["--config", "pretrain_paper.yaml", "--random_init", "true"] + [
        "--vision_model", str(encoders / vision), "--text_model", str(encoders / "bert-base"),
    ]  # fmt: skip


def build_objective(options):
    """The objective of train/pretrain.py, its model in training mode."""
    arguments = parse_arguments(pretrain.PretrainArguments, pretrain.__doc__, options)
    torch.manual_seed(arguments.seed)
    model, _ = pretrain.build_model(arguments)
    return PretrainingObjective(model.train(), arguments)


def ready_batch(config, size, height=384, width=128, tokens=CAPTION_TOKENS):
    """A batch as the collator makes it, of random pixels and words; all captions have ``tokens`` tokens."""
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(config.text_config.vocab_size, (size, tokens), generator=generator)
    ranks = torch.rand(size, tokens, generator=generator).argsort(dim=1).argsort(dim=1)
    masked = ranks < round(MASKED_SHARE * tokens)
    return {
        "pixel_values": torch.randn(size, 3, height, width, generator=generator),
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "mlm_input_ids": input_ids.masked_fill(masked, 1),
        "mlm_labels": input_ids.masked_fill(~masked, -100),
    }


def project_step(objective, batch, dtype=None):
    """The loss of ``batch``, its gradients added to those of ``objective``; under autocast if ``dtype`` is given.

    What :func:`unipt_train.engine.joint_batch.joint_backward` does in a single process with a single chunk.
    """
    device = batch["input_ids"].device.type
    with torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        features = objective(**objective.inputs(batch))
    features = {name: rows.to(torch.promote_types(rows.dtype, torch.float32)) for name, rows in features.items()}
    loss = objective.losses(features, objective.targets(batch))["loss"]
    loss.backward()
    return loss.detach()


def straightforward_step(objective, batch, padded_tokens=PADDED_TOKENS):
    """As :func:`project_step`, by the straightforward graph."""
    model = objective.model
    fill = {"input_ids": 0, "attention_mask": 0, "mlm_input_ids": 0, "mlm_labels": -100}
    more = padded_tokens - batch["input_ids"].shape[1]
    padded = {name: F.pad(batch[name], (0, more), value=value) for name, value in fill.items()}
    images, mask = batch["pixel_values"], padded["attention_mask"]
    outputs = model.unipt(padded["input_ids"], images, mask)
    contrastive = contrastive_loss(outputs.text_embeds, outputs.image_embeds, model.unipt.similarity_scale())
    of_masked = model.unipt(padded["mlm_input_ids"], images, mask)
    logits = model.mlm_head(of_masked.text_model_output.last_hidden_state)
    mlm = F.cross_entropy(logits.flatten(0, 1), padded["mlm_labels"].flatten())
    loss = contrastive + model.config.mlm_loss_weight * mlm
    loss.backward()
    return loss.detach()


def measure_step(objective, batch, name, repetitions=REPETITIONS):
    """The figures of both graphs, measured in turn."""

    def way(step):
        objective.zero_grad()
        return float(step(objective, batch))

    timed = in_turn(
        {"project": partial(way, project_step), "straightforward": partial(way, straightforward_step)}, repetitions
    )
    ours, theirs, size = timed["project"], timed["straightforward"], len(batch["input_ids"])
    return [
        Figure(f"{name}: step", size / ours.seconds, "samples/s"),
        Figure(f"{name}: straightforward graph", size / theirs.seconds, "samples/s"),
        Figure(f"{name}: step / straightforward", theirs.seconds / ours.seconds, "", at_least=2.2),
        Figure(f"{name}: less processor time, times", theirs.processor / ours.processor, ""),
        Figure(f"{name}: difference of the two losses", abs(ours.result - theirs.result), "", at_most=1e-3),
    ]


def _encoder_flops(config, tokens):
    width, inner = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * tokens * (8 * width**2 + 4 * width * inner + 4 * tokens * width)


def flops_of_a_pair(config, height, width, text_tokens, masked_tokens):
    """Floating-point operations, additions and multiplications, that one pair's forward and backward need.

    An encoder of L layers, width d and inner width f needs L T (8 d^2 + 4 d f + 4 T d) forward for T tokens: four
    projections and two layers of the MLP for each token, and two products of T x T attention. Once for the image, twice
    for the text, which is read whole and masked. To it come 2 c d for each patch of c numbers, 2 d p for each token
    that is projected to p numbers, and 2 (d^2 + d V) for each masked token, V words. Backward needs twice as much as
    forward, and for patches, whose pixels need no gradient, as much. Norms, activations, softmax and the matrix of
    similarities are not counted.
    """
    vision, text = config.vision_config, config.text_config
    patch = vision.patch_size
    patches = (height // patch) * (width // patch)
    image_tokens = patches + (2 if vision.model_type == "deit" else 1)
    embedding = patches * 2 * 3 * patch**2 * vision.hidden_size
    projections = image_tokens * vision.hidden_size + text_tokens * text.hidden_size
    head = masked_tokens * 2 * text.hidden_size * (text.hidden_size + text.vocab_size)
    forward = _encoder_flops(vision, image_tokens) + 2 * _encoder_flops(text, text_tokens)
    return 3 * (forward + 2 * config.projection_dim * projections + head) + 2 * embedding


def steps_a_second(objective, batch, dtype, steps):
    """Whole steps with AdamW, on the device of ``batch``; as many before them warm up."""
    arguments = objective.arguments
    (optimizer,) = build_optimizers(objective, {}, arguments.learning_rate, arguments.weight_decay, (0.9, 0.98))
    for _ in range(2):
        begun = time.perf_counter()
        for _ in range(steps):
            loss = project_step(objective, batch, dtype)
            optimizer.step()
            optimizer.zero_grad()
        float(loss)  # waits for a GPU
        taken = time.perf_counter() - begun
    return steps / taken


def measure_gpu(encoders):
    """The figures of the first GPU."""
    device = torch.cuda.get_device_name()
    dtype = torch.bfloat16 if has_native_bfloat16("cuda") else torch.float16
    objective = build_objective(paper_options(encoders, "vit-b16")).cuda()
    config = objective.model.config
    batch = {name: value.cuda() for name, value in ready_batch(config, GPU_BATCH).items()}
    rate = GPU_BATCH * steps_a_second(objective, batch, dtype, GPU_STEPS)
    name = f"ViT-B/16, {device}, {'bf16' if dtype is torch.bfloat16 else 'fp16'}"
    yield Figure(f"{name}: step", rate, "samples/s")
    peak = next((peak for part, peak in PEAK_FLOPS.items() if part in device), None)
    if peak:
        masked = round(MASKED_SHARE * CAPTION_TOKENS)
        used = rate * flops_of_a_pair(config, 384, 128, CAPTION_TOKENS, masked) / peak
        yield Figure(f"{name}: model FLOP utilisation", 100 * used, "%", at_least=40)
    yield Figure(f"{name}: 1.3 million x 15 epochs", PAPER_PAIRS / rate / 3600, "h")


def measure(folder):
    """Yield :class:`unipt_train.speed.figures.Figure`; ``folder`` is an empty one to work in."""
    encoders = write_encoders(folder)
    objective = build_objective(paper_options(encoders, "deit-s"))
    yield from measure_step(objective, ready_batch(objective.model.config, CPU_BATCH), "DeiT-S + BERT-base")
    del objective
    tiny = ["--config", "pretrain_tiny_paper.yaml", "--centre_embeddings", "false"]
    for encoder, kind in (("vision_model", "vit-tiny"), ("text_model", "bert-tiny")):
        tiny += [f"--{encoder}", str(ROOT / "train" / "configs" / kind)]
    measured = [*tiny, "--cpu", "true", "--precision", "no", "--report_to", "none"]
    yield from measure_text_passes(measured, 64, "tiny, captions of the sample dataset")
    yield from measure_loading(LoadingCase("DeiT-S", paper_options(encoders, "deit-s"), CPU_BATCH, 4, 0.9), folder)
    yield from measure_loading(LoadingCase("tiny", tiny, 64, 12), folder)
    if torch.cuda.is_available():
        yield from measure_gpu(encoders)
