"""A pre-training step against the straightforward graph, and a GPU's use; the part `training` of `make bench`.

The straightforward graph is that of the code which the paper's authors released: text is padded to 100 tokens, both
encoders run once for each objective, and the head for masked words runs over every position. Both graphs have the same
weights and the same batch, without dropout. Forward and backward of DeiT-S and BERT-base are measured in fp32 on the
CPU.

With a GPU it also measures ViT-B/16 and BERT-base, forward, backward and AdamW under autocast: the rate, the share of
the GPU's dense peak that the model's own arithmetic makes up (:func:`flops_of_a_pair`), and the time that the paper's
pre-training would take at that rate.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, BertConfig, DeiTConfig, PretrainedConfig, ViTConfig

from modeling_unipt.configuration_unipt import UniPTConfig
from modeling_unipt.modeling_unipt import contrastive_loss
from unipt_train.engine.arguments import parse_arguments, part_of
from unipt_train.engine.optimizers import build_optimizers
from unipt_train.engine.precision import has_bfloat16
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.objectives.base import Tensors
from unipt_train.objectives.build import ModelOptions, build_model
from unipt_train.objectives.pretraining import PretrainingObjective
from unipt_train.speed.figures import Figure
from unipt_train.speed.loading import LoadingCase, measure_loading
from unipt_train.speed.text_passes import measure_text_passes
from unipt_train.speed.timing import REPETITIONS, in_turn
from unipt_train.studies.commands import ROOT

CONFIGS = ROOT / "train" / "configs"
CAPTION_TOKENS = 40
# What the released code pads every text to.
PADDED_TOKENS = 100
MASKED_SHARE = 0.15
CPU_BATCH = 8
GPU_BATCH = 128
GPU_STEPS = 20
PAPER_PAIRS = 1_300_000 * 15
# Any values take as long.
LEARNING_RATE = 1e-5
WEIGHT_DECAY = 0.01
# Dense peak of matrix products in 16 bits, in operations a second. A device's name may hold several of these keys; the
# first one counts, so the longer ones stand before.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "V100": 125e12,
}
Step = Callable[[PretrainingObjective, Tensors], torch.Tensor]


def write_encoders(folder: Path) -> Path:
    """Write the configurations of DeiT-S, ViT-B/16 and BERT-base, dropout off, and a tokenizer, below ``folder``."""
    DeiTConfig(hidden_size=384, num_attention_heads=6, intermediate_size=1536).save_pretrained(folder / "deit-s")
    ViTConfig(image_size=384).save_pretrained(folder / "vit-b16")
    BertConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0).save_pretrained(folder / "bert-base")
    AutoTokenizer.from_pretrained(CONFIGS / "bert-tiny").save_pretrained(folder / "bert-base")
    return folder


def paper_options(encoders: Path, vision: str) -> list[str]:
    """The command line of the paper's recipe with random weights.

    Args:
        encoders: a folder that :func:`write_encoders` filled.
        vision: which of its vision encoders to take.
    """
    options = ["--config", "pretrain_paper.yaml", "--random-init", "true"]
    options += ["--vision-model", str(encoders / vision)]
    return [*options, "--text-model", str(encoders / "bert-base")]


def build_objective(options: Sequence[str]) -> PretrainingObjective:
    """The objective of train/pretrain.py by the paper's recipe, its model in training mode.

    Args:
        options: of train/pretrain.py.
    """
    arguments = parse_arguments(PretrainArguments, "", list(options))
    torch.manual_seed(arguments.seed)
    model, _ = build_model(part_of(arguments, ModelOptions))
    return PretrainingObjective(model.train())


def ready_batch(
    config: UniPTConfig, size: int, height: int = 384, width: int = 128, tokens: int = CAPTION_TOKENS
) -> Tensors:
    """A batch of random pixels and words, as the collator makes it; all captions have ``tokens`` tokens.

    Args:
        size: number of pairs.
    """
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(config.text_config.vocab_size, (size, tokens), generator=generator)
    # Sorting random numbers twice gives each token a random rank in its caption: every caption has as many masked ones.
    ranks = torch.rand(size, tokens, generator=generator).argsort(dim=1).argsort(dim=1)
    masked = ranks < round(MASKED_SHARE * tokens)
    return {
        "pixel_values": torch.randn(size, 3, height, width, generator=generator),
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "mlm_input_ids": input_ids.masked_fill(masked, 1),
        "mlm_labels": input_ids.masked_fill(~masked, -100),
    }


def project_step(objective: PretrainingObjective, batch: Tensors, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The loss of ``batch``; its gradients are added to those of ``objective``.

    It does what :func:`unipt_train.engine.joint_batch.joint_backward` does in a single process with a single chunk.

    Args:
        dtype: of the matrix products, by autocast; None computes in the weights' own.
    """
    device = batch["input_ids"].device.type
    with torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        features = objective(**objective.inputs(batch))
    # Losses are computed in float32 at least, as Accelerate does.
    features = {name: rows.to(torch.promote_types(rows.dtype, torch.float32)) for name, rows in features.items()}
    loss = objective.losses(features, objective.targets(batch))["loss"]
    loss.backward()
    return loss.detach()


def straightforward_step(
    objective: PretrainingObjective, batch: Tensors, padded_tokens: int = PADDED_TOKENS
) -> torch.Tensor:
    """As :func:`project_step`, by the straightforward graph, with texts padded to ``padded_tokens``."""
    model = objective.model
    fill = {"input_ids": 0, "attention_mask": 0, "mlm_input_ids": 0, "mlm_labels": -100}
    more = padded_tokens - batch["input_ids"].shape[1]
    padded = {name: F.pad(batch[name], (0, more), value=value) for name, value in fill.items()}
    images = batch["pixel_values"]
    mask = padded["attention_mask"]
    outputs = model.unipt(padded["input_ids"], images, mask)
    contrastive = contrastive_loss(outputs.text_embeds, outputs.image_embeds, model.unipt.similarity_scale())
    # The released code runs both encoders again for the masked text, although it needs no image there.
    of_masked = model.unipt(padded["mlm_input_ids"], images, mask)
    logits = model.mlm_head(of_masked.text_model_output.last_hidden_state)
    mlm = F.cross_entropy(logits.flatten(0, 1), padded["mlm_labels"].flatten())
    loss = contrastive + model.config.mlm_loss_weight * mlm
    loss.backward()
    return loss.detach()


def measure_step(
    objective: PretrainingObjective, batch: Tensors, name: str, repetitions: int = REPETITIONS
) -> list[Figure]:
    """The figures of both graphs, measured in turn."""

    def way(step: Step) -> float:
        objective.zero_grad()
        return float(step(objective, batch))

    ways = {"project": partial(way, project_step), "straightforward": partial(way, straightforward_step)}
    timed = in_turn(ways, repetitions)
    ours = timed["project"]
    theirs = timed["straightforward"]
    size = len(batch["input_ids"])
    return [
        Figure(f"{name}: step", size / ours.seconds, "samples/s"),
        Figure(f"{name}: straightforward graph", size / theirs.seconds, "samples/s"),
        Figure(f"{name}: step / straightforward", theirs.seconds / ours.seconds, at_least=2.2),
        Figure(f"{name}: less processor time, times", theirs.processor / ours.processor),
        Figure(f"{name}: difference of the two losses", abs(ours.result - theirs.result), at_most=1e-3),
    ]


def _encoder_flops(config: PretrainedConfig, tokens: int) -> int:
    width = config.hidden_size
    inner = config.intermediate_size
    return config.num_hidden_layers * tokens * (8 * width**2 + 4 * width * inner + 4 * tokens * width)


def flops_of_a_pair(config: UniPTConfig, height: int, width: int, text_tokens: int, masked_tokens: int) -> int:
    """Floating-point operations, additions and multiplications, that one pair's forward and backward need.

    An encoder of L layers, width d and inner width f needs L T (8 d^2 + 4 d f + 4 T d) forward for T tokens: four
    projections and two layers of the MLP for each token, and two products of T x T attention. The image is read once,
    the text twice, whole and masked. To this come 2 c d for each patch of c numbers, 2 d p for each token that is
    projected to p numbers, and 2 (d^2 + d V) for each masked token, with V words. Backward needs twice as much as
    forward, but as much as forward for patches, whose pixels need no gradient. Norms, activations, softmax and the
    matrix of similarities are not counted.

    Args:
        height, width: of the image in pixels.
        text_tokens: tokens of the caption.
        masked_tokens: how many of them are masked.
    """
    vision = config.vision_config
    text = config.text_config
    patch = vision.patch_size
    patches = (height // patch) * (width // patch)
    # DeiT has a distillation token beside the class token.
    image_tokens = patches + (2 if vision.model_type == "deit" else 1)
    embedding = patches * 2 * 3 * patch**2 * vision.hidden_size
    projections = image_tokens * vision.hidden_size + text_tokens * text.hidden_size
    head = masked_tokens * 2 * text.hidden_size * (text.hidden_size + text.vocab_size)
    forward = _encoder_flops(vision, image_tokens) + 2 * _encoder_flops(text, text_tokens)
    return 3 * (forward + 2 * config.projection_dim * projections + head) + 2 * embedding


def steps_a_second(objective: PretrainingObjective, batch: Tensors, dtype: torch.dtype, steps: int) -> float:
    """The rate of whole steps with AdamW, on the device of ``batch``, measured over ``steps`` of them."""
    (optimizer,) = build_optimizers(objective, {}, LEARNING_RATE, WEIGHT_DECAY, (0.9, 0.98))
    # The first round warms up, the second counts.
    for _ in range(2):
        begun = time.perf_counter()
        for _ in range(steps):
            loss = project_step(objective, batch, dtype)
            optimizer.step()
            optimizer.zero_grad()
        # Reading the number waits for a GPU, which works on after the calls have returned.
        float(loss)
        taken = time.perf_counter() - begun
    return steps / taken


def measure_gpu(encoders: Path) -> Iterator[Figure]:
    """The figures of the first GPU; for ``encoders`` see :func:`paper_options`."""
    device = torch.cuda.get_device_name()
    dtype = torch.bfloat16 if has_bfloat16("cuda") else torch.float16
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


def measure(folder: Path) -> Iterator[Figure]:
    """Measure steps, text passes and loading, and a GPU if there is one.

    Args:
        folder: an empty one to work in.
    """
    encoders = write_encoders(folder)
    deit = paper_options(encoders, "deit-s")
    objective = build_objective(deit)
    yield from measure_step(objective, ready_batch(objective.model.config, CPU_BATCH), "DeiT-S + BERT-base")
    # Its weights and gradients would stand in the memory of what follows.
    del objective
    tiny = ["--config", "pretrain_tiny_paper.yaml", "--centre-embeddings", "false"]
    tiny += ["--vision-model", str(CONFIGS / "vit-tiny"), "--text-model", str(CONFIGS / "bert-tiny")]
    on_cpu = ["--cpu", "true", "--precision", "no", "--report-to", "none"]
    yield from measure_text_passes([*tiny, *on_cpu], 64, "tiny, captions of the sample dataset")
    yield from measure_loading(LoadingCase("DeiT-S", deit, CPU_BATCH, steps=4, least=0.9), folder)
    yield from measure_loading(LoadingCase("tiny", tiny, 64, steps=12), folder)
    if torch.cuda.is_available():
        yield from measure_gpu(encoders)
