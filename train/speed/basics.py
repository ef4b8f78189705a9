"""The speed of the embedded default: rendering, scoring, embedding, a pre-training step; a part of `make bench`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch

from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.loading import load_unipt
from modeling_unipt.modeling_unipt import UniPTForPreTraining
from unipt_train.data.batches import Collator, EpochBatches
from unipt_train.data.loading import load_rows
from unipt_train.data.pairs import PretrainingPairs
from unipt_train.speed.figures import Figure
from unipt_train.speed.timing import REPETITIONS, median_seconds
from unipt_train.studies.commands import RELEASED_SCORER, ROOT, render_people

IMAGES = 200
BATCH = 64


def measure(folder: Path) -> Iterator[Figure]:
    """Measure each of them, one after the other.

    Args:
        folder: an empty one to work in.
    """
    rows = load_rows(str(ROOT / "luperson-t"), "train", ["image", "captions"])
    images = [row["image"].convert("RGB") for row in rows.select(range(IMAGES))]

    def render(repetition: int) -> None:
        command = render_people(folder / f"people{repetition}", IMAGES, views=1, seed=repetition)
        subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True)

    yield Figure("rendering (start-up included)", IMAGES / median_seconds(render), "images/s")

    scorer = Scorer(str(ROOT / RELEASED_SCORER), load_vocabulary())
    rate = IMAGES / median_seconds(lambda _: scorer.probabilities(images))
    yield Figure("scoring with clip-tiny", rate, "images/s")

    model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    rate = IMAGES / median_seconds(lambda _: embed_images(model, processor, images))
    yield Figure("embedding images", rate, "images/s")
    taken = median_seconds(lambda _: embed_texts(model, processor, ["a man in a red coat"]))
    yield Figure("embedding one query", 1000 * taken, "ms")

    trained = UniPTForPreTraining(model.config).train()
    pairs = PretrainingPairs(rows, processor, seed=0)
    collate = Collator(processor.tokenizer.pad_token_id)
    batches = [collate([pairs[key] for key in keys]) for keys in EpochBatches(len(pairs), BATCH, 0, 0, REPETITIONS)]
    for precision, is_autocast in (("fp32", False), ("bf16", True)):

        def step(repetition: int, is_autocast: bool = is_autocast) -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_autocast):
                loss = trained(**batches[repetition], return_loss=True).loss
            loss.backward()
            trained.zero_grad()

        # The first step allocates the gradients.
        step(0)
        yield Figure(f"pre-training step in {precision}", BATCH / median_seconds(step), "samples/s")
