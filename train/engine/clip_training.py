"""How train/train_clip.py trains: images against the prompts of every attribute, one pass over both in each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from dataset_builders.divide.vocabulary import Truth, Vocabulary
from unipt_train.data.batches import EpochBatches
from unipt_train.engine.optimizers import build_optimizers, make_schedulers
from unipt_train.engine.precision import faster_on_cpu, precision_to_start_with
from unipt_train.objectives.initialisation import start_from_sine_cosine_positions

PATCH_SIZE = 16
# Peak rates, the second one for the matrices inside layers.
ADAMW_LEARNING_RATE = 1e-3
MUON_LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.05
WARMUP_RATIO = 0.05
MAX_GRAD_NORM = 1.0
# CLIP's own limit; a larger scale makes training unstable.
MAX_LOGIT_SCALE = 100
SHOWN_EVERY = 20


@dataclass(frozen=True)
class ClipOptions:
    """How long and in what portions to train; the fields are options of train/train_clip.py and described there."""

    max_steps: int
    batch_size: int
    precision: str
    seed: int


@dataclass(frozen=True)
class Renders:
    """What the CLIP learns from.

    Attributes:
        pixels: (N, size, size, 3) uint8.
        choices: attribute -> (N,) int64, the index of each image's true choice.
        mean, std: (3, 1, 1) of the image processor, by which pixels are normalised.
    """

    pixels: np.ndarray
    choices: dict[str, np.ndarray]
    mean: torch.Tensor
    std: torch.Tensor


def true_choices(vocabulary: Vocabulary, truth: Sequence[Truth]) -> dict[str, np.ndarray]:
    """For each attribute the index of the true choice of every image: attribute -> (N,) int64."""
    indices = {}
    for name, attribute in vocabulary.attributes.items():
        index_of = {}
        for index, choice in enumerate(attribute.choices):
            # Of several negative phrases, which all mean "absent", the first stands for them in training.
            index_of.setdefault(tuple(choice.value.values()), index)
        indices[name] = np.array([index_of[tuple(known[field] for field in attribute.fields)] for known in truth])
    return indices


def load_pixels(folder: Path | str, file_names: Sequence[str], size: int) -> np.ndarray:
    """(N, size, size, 3) uint8: every render squashed to the CLIP's square, bicubic."""
    pixels = np.empty((len(file_names), size, size, 3), dtype=np.uint8)
    for index, file_name in enumerate(tqdm(file_names, desc="reading", unit="image")):
        with Image.open(Path(folder, file_name)) as image:
            squashed = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        pixels[index] = np.asarray(squashed)
    return pixels


def build_clip(tokenizer: CLIPTokenizer, image_size: int) -> CLIPModel:
    """A CLIP with random weights for square images of ``image_size`` pixels."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_act="gelu",
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_act="gelu",
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=3,
        image_size=image_size,
        patch_size=PATCH_SIZE,
    )
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=192))
    side = image_size // PATCH_SIZE
    start_from_sine_cosine_positions(model.vision_model.embeddings.position_embedding.weight, side, side)
    return model


def augmented(pixels: np.ndarray, rng: np.random.Generator, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) normalised float32; each image is flipped, shifted and relit at random."""
    size = pixels.shape[1]
    shift = size // 16
    shifted = np.empty_like(pixels)
    for index, image in enumerate(pixels):
        image = image[:, ::-1] if rng.random() < 0.5 else image
        padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
        top, left = rng.integers(0, 2 * shift + 1, size=2)
        shifted[index] = padded[top : top + size, left : left + size]
    light = torch.from_numpy(rng.uniform(0.9, 1.1, size=(len(pixels), 1, 1, 1)).astype(np.float32))
    values = torch.from_numpy(shifted).permute(0, 3, 1, 2).float() / 255 * light
    return (values - mean) / std


def train_steps(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    vocabulary: Vocabulary,
    renders: Renders,
    options: ClipOptions,
    device: str,
) -> None:
    """Train ``model``, which lies on ``device``, in place."""
    attributes = vocabulary.attributes.values()
    all_prompts = [choice.prompt for attribute in attributes for choice in attribute.choices]
    encoded = tokenizer(all_prompts, padding=True, return_tensors="pt").to(device)
    sizes = [len(attribute.choices) for attribute in attributes]
    wanted = {name: torch.from_numpy(indices).to(device) for name, indices in renders.choices.items()}
    # Positions decay here, as when the released scorer was trained: the same seed must give the same scorer.
    optimizers = build_optimizers(
        model, {}, ADAMW_LEARNING_RATE, WEIGHT_DECAY, (0.9, 0.98), MUON_LEARNING_RATE, decay_positions=True
    )
    schedulers = make_schedulers(optimizers, "cosine", WARMUP_RATIO, options.max_steps)
    rng = np.random.default_rng(options.seed)
    batches = EpochBatches(len(renders.pixels), options.batch_size, options.seed, 0, options.max_steps)
    model.train()

    def loss_of(picked: list[int], rng: np.random.Generator) -> torch.Tensor:
        images = augmented(renders.pixels[picked], rng, renders.mean, renders.std).to(device)
        image_embeds = model.get_image_features(pixel_values=images).pooler_output
        text_embeds = model.get_text_features(**encoded).pooler_output
        with torch.autocast(device, enabled=False):
            # At first all cosines are nearly equal, and bfloat16 would round their differences away.
            cosines = F.normalize(image_embeds.float(), dim=-1) @ F.normalize(text_embeds.float(), dim=-1).T
            logits = (model.logit_scale.exp() * cosines).split(sizes, dim=1)
            losses = [F.cross_entropy(part, wanted[name][picked]) for name, part in zip(wanted, logits, strict=True)]
            return torch.stack(losses).sum()

    precision = precision_to_start_with(options.precision, cpu=device == "cpu")
    if options.precision == "auto" and device == "cpu":
        first = [index for _, index in batches.keys_of(0)]
        with torch.random.fork_rng(devices=[]):
            precision, _ = faster_on_cpu(lambda: loss_of(first, np.random.default_rng(0)).backward())
        model.zero_grad()
    bar = tqdm(batches, desc="training", unit="step")
    for step, batch in enumerate(bar):
        picked = [index for _, index in batch]
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(picked, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        for part in (*optimizers, *schedulers):
            part.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(MAX_LOGIT_SCALE)))
        if step % SHOWN_EVERY == 0:
            bar.set_postfix(loss=f"{loss.item() / len(wanted):.3f}", scale=f"{model.logit_scale.exp().item():.1f}")
