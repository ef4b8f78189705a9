"""The speed of the embedded default: rendering, scoring, embedding, a pre-training step; a part of `make bench`."""

import statistics
import subprocess
import sys
import time

from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import ROOT

IMAGES, BATCH, REPETITIONS = 200, 64, 3


def seconds(work):
    """Median wall-clock seconds of ``work()``, a function of the repetition's number."""
    taken = []
    for repetition in range(REPETITIONS):
        begun = time.perf_counter()
        work(repetition)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def command(*parts):
    subprocess.run([sys.executable, *map(str, parts)], cwd=ROOT, check=True, capture_output=True)


def measure(folder):
    """List of :class:`unipt_train.speed.figures.Figure`; ``folder`` is an empty one to work in."""
    import torch

    from dataset_builders.conquer.scorer import Scorer
    from dataset_builders.divide.reading import load_vocabulary
    from modeling_unipt.embedding import embed_images, embed_texts
    from modeling_unipt.loading import load_unipt
    from modeling_unipt.modeling_unipt import UniPTForPreTraining
    from unipt_train.data.pairs import Collator, EpochBatches, PretrainingPairs, load_rows

    rows = load_rows(str(ROOT / "luperson-t"), "train", ["image", "captions"])
    images = [row["image"].convert("RGB") for row in rows.select(range(IMAGES))]
    figures = []

    def render(repetition):
        command("-m", "dataset_builders.synthetic_pedestrians", "--output", folder / f"people{repetition}",
                "--identities", IMAGES, "--views", 1, "--seed", repetition, "--layout", "images")  # fmt: skip

    figures.append(Figure("rendering (start-up included)", IMAGES / seconds(render), "images/s"))

    scorer = Scorer(str(ROOT / "unipt" / "clip-tiny"), load_vocabulary())
    rate = IMAGES / seconds(lambda _: scorer.probabilities(images))
    figures.append(Figure("scoring with clip-tiny", rate, "images/s"))

    model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    rate = IMAGES / seconds(lambda _: embed_images(model, processor, images))
    figures.append(Figure("embedding images", rate, "images/s"))
    taken = seconds(lambda _: embed_texts(model, processor, ["a man in a red coat"]))
    figures.append(Figure("embedding one query", 1000 * taken, "ms"))

    trained = UniPTForPreTraining(model.config).train()
    pairs, collate = PretrainingPairs(rows, processor, seed=0), Collator(processor.tokenizer.pad_token_id)
    batches = [collate([pairs[key] for key in keys]) for keys in EpochBatches(len(pairs), BATCH, 0, 0, REPETITIONS)]
    for precision, enabled in (("fp32", False), ("bf16", True)):

        def step(repetition, enabled=enabled):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss = trained(**batches[repetition], return_loss=True).loss
            loss.backward()
            trained.zero_grad()

        step(0)
        figures.append(Figure(f"pre-training step in {precision}", BATCH / seconds(step), "samples/s"))
    return figures
