"""Train the tiny CLIP that stands in for openai/clip-vit-base-patch16 where no hub can be reached.

It learns from renders (`truth.jsonl` beside `images/`) and single-attribute prompts of the LUPerson-T vocabulary: for
each attribute, the image should be most similar to the prompt of its true phrase (cross-entropy over scaled cosines).
The result is an ordinary transformers CLIPModel + CLIPProcessor folder.

    python train/train_clip.py --renders RENDERS --held_out OTHER_RENDERS --output_dir clip-tiny

with two folders written by `python -m dataset_builders.synthetic_pedestrians --layout images` (train/release.py has the
numbers and seeds of the released one).

Prints, and writes to `agreement.json`, how far its picks agree with the truth of the held-out renders.
"""

import json
import os
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import run_command
from unipt_train.engine.arguments import parse_arguments, require


@dataclass
class TrainClipArguments:
    renders: str | None = field(default=None, metadata={"help": "folder written by the renderer with --layout images"})
    held_out: str | None = field(
        default=None, metadata={"help": "another such folder, of other seeds, to measure it on"}
    )
    output_dir: str | None = field(default=None, metadata={"help": "folder for the CLIP; must be new"})
    image_size: int = field(default=128, metadata={"help": "pixels; images are squashed to this square"})
    patch_size: int = field(default=16, metadata={"help": "pixels"})
    max_steps: int = field(default=2000, metadata={"help": "number of steps"})
    batch_size: int = field(default=192, metadata={"help": "images a step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "peak rate of AdamW"})
    muon_learning_rate: float = field(default=0.02, metadata={"help": "peak rate of Muon, for matrices in layers"})
    weight_decay: float = field(default=0.05, metadata={"help": "not applied to biases and norms"})
    precision: Literal["auto", "no", "bf16"] = field(default="auto", metadata={"help": "auto: bf16 where it is native"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is a GPU"})
    seed: int = field(default=9000, metadata={"help": "of weights, order and augmentation"})


def true_choices(vocabulary, truth):
    """For each attribute the index of the true choice of every image: dict of (N,) int arrays."""
    indices = {}
    for name, attribute in vocabulary.attributes.items():
        # Of several negative phrases, which all mean "absent", the first stands for them in training.
        index_of = {tuple(choice.value.values()): i for i, choice in reversed(list(enumerate(attribute.choices)))}
        indices[name] = np.array([index_of[tuple(known[field] for field in attribute.fields)] for known in truth])
    return indices


def load_pixels(folder, file_names, size):
    """(N, size, size, 3) uint8: every render squashed to the CLIP's square, bicubic."""
    from PIL import Image
    from tqdm import tqdm

    pixels = np.empty((len(file_names), size, size, 3), dtype=np.uint8)
    for index, file_name in enumerate(tqdm(file_names, desc="reading", unit="image")):
        with Image.open(os.path.join(folder, file_name)) as image:
            pixels[index] = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
    return pixels


def build_clip(arguments, tokenizer):
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    from unipt_train.objectives.initialisation import start_from_sine_cosine_positions

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
        image_size=arguments.image_size,
        patch_size=arguments.patch_size,
    )
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=192))
    side = arguments.image_size // arguments.patch_size
    start_from_sine_cosine_positions(model.vision_model.embeddings.position_embedding.weight, side, side)
    return model


def augmented(pixels, rng, mean, std):
    """uint8 (B, S, S, 3) -> normalised float (B, 3, S, S); each image is flipped, shifted and relit at random."""
    import torch

    size, shift = pixels.shape[1], pixels.shape[1] // 16
    out = np.empty_like(pixels)
    for index, image in enumerate(pixels):
        image = image[:, ::-1] if rng.random() < 0.5 else image
        padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
        top, left = rng.integers(0, 2 * shift + 1, size=2)
        out[index] = padded[top : top + size, left : left + size]
    light = torch.from_numpy(rng.uniform(0.9, 1.1, size=(len(pixels), 1, 1, 1)).astype(np.float32))
    values = torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255 * light
    return (values - mean) / std


def train_steps(model, tokenizer, vocabulary, pixels, wanted, arguments, device, mean, std):
    """The training loop: one pass over a batch of images and one over all prompts a step."""
    import torch
    from torch.nn import functional as F
    from tqdm import tqdm
    from transformers import get_scheduler

    from unipt_train.data.pairs import EpochBatches
    from unipt_train.engine.optimizers import build_optimizers
    from unipt_train.engine.run_arguments import pick_precision

    precision = pick_precision(arguments.precision)
    all_prompts = [choice.prompt for attribute in vocabulary.attributes.values() for choice in attribute.choices]
    encoded = tokenizer(all_prompts, padding=True, return_tensors="pt").to(device)
    sizes = [len(attribute.choices) for attribute in vocabulary.attributes.values()]
    wanted = {name: torch.from_numpy(indices).to(device) for name, indices in wanted.items()}
    optimizers = build_optimizers(
        model, {}, arguments.learning_rate, arguments.weight_decay, (0.9, 0.98), arguments.muon_learning_rate
    )
    schedulers = [
        get_scheduler("cosine", optimizer, arguments.max_steps // 20, arguments.max_steps) for optimizer in optimizers
    ]
    rng = np.random.default_rng(arguments.seed)
    batches = EpochBatches(len(pixels), arguments.batch_size, arguments.seed, 0, arguments.max_steps)
    model.train()
    bar = tqdm(batches, desc="training", unit="step")
    for step, batch in enumerate(bar):
        picked = [index for _, index in batch]
        images = augmented(pixels[picked], rng, mean, std).to(device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            image_embeds = model.get_image_features(pixel_values=images).pooler_output
            text_embeds = model.get_text_features(**encoded).pooler_output
        # In full precision: at first all cosines are nearly equal, and bfloat16 would round their differences away.
        cosines = F.normalize(image_embeds.float(), dim=-1) @ F.normalize(text_embeds.float(), dim=-1).T
        logits = (model.logit_scale.exp() * cosines).split(sizes, dim=1)
        losses = [F.cross_entropy(part, wanted[name][picked]) for name, part in zip(wanted, logits, strict=True)]
        loss = torch.stack(losses).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedulers):
            part.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(100)))
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item() / len(losses):.3f}", scale=f"{model.logit_scale.exp().item():.1f}")


def held_out_agreement(folder, vocabulary, truth, images_folder):
    """What the builder's rule says of held-out renders against the truth, see ``dataset_builders.agreement``."""
    from PIL import Image

    from dataset_builders.agreement import agreement_of_probabilities
    from dataset_builders.conquer.scorer import Scorer

    scorer, names, batches = Scorer(folder, vocabulary), list(truth), []
    for start in range(0, len(names), 64):
        images = [Image.open(os.path.join(images_folder, name)) for name in names[start : start + 64]]
        batches.append(scorer.probabilities(images))
    probabilities = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return agreement_of_probabilities(probabilities, vocabulary, list(truth.values()))


def main(argv=None):
    arguments = parse_arguments(TrainClipArguments, __doc__, argv)
    require(arguments, "renders", "held_out", "output_dir")

    import dataclasses

    from dataset_builders.agreement import agreement_table, read_truth

    truth, held_out = (
        read_truth(os.path.join(folder, "truth.jsonl")) for folder in (arguments.renders, arguments.held_out)
    )

    import torch
    from transformers import CLIPImageProcessor, CLIPProcessor, set_seed

    from dataset_builders.divide.reading import load_vocabulary
    from unipt_train.build_tokenizers import clip_tokenizer, corpus

    folder = start_output(arguments.output_dir, dataclasses.asdict(arguments) | {"output_dir": None})
    if folder is None:
        return
    set_seed(arguments.seed)
    vocabulary = load_vocabulary()
    tokenizer = clip_tokenizer(corpus())
    size = arguments.image_size
    image_processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    mean = torch.tensor(image_processor.image_mean)[:, None, None]
    std = torch.tensor(image_processor.image_std)[:, None, None]
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    model = build_clip(arguments, tokenizer).to(device)
    pixels = load_pixels(arguments.renders, list(truth), size)
    wanted = true_choices(vocabulary, list(truth.values()))
    train_steps(model, tokenizer, vocabulary, pixels, wanted, arguments, device, mean, std)
    model.eval().save_pretrained(folder)
    CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)
    agreement = held_out_agreement(folder, vocabulary, held_out, arguments.held_out)
    (folder / "agreement.json").write_text(json.dumps(agreement, indent=2) + "\n", encoding="utf-8")
    print(agreement_table(agreement))
    finish_output(folder, arguments.output_dir)
    print(f"wrote {arguments.output_dir}")


if __name__ == "__main__":
    run_command(main)
