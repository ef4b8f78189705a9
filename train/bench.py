"""Measure the speed of the embedded default on this machine: rendering, building LUPerson-T, training, searching.

    make bench            # or: python train/bench.py --output runs/bench.json

Every figure is the median of a few repetitions in this one run; machines are noisy, so compare figures of one run only.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from modeling_unipt.user_errors import run_command
from stages import ROOT

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
    """Name -> figure, in the unit that the name ends with."""
    import torch

    from data import Collator, EpochBatches, PretrainingPairs, load_rows
    from dataset_builders.conquer import Scorer
    from dataset_builders.divide import load_vocabulary
    from modeling_unipt.embedding import embed_images, embed_texts
    from modeling_unipt.loading import load_unipt
    from modeling_unipt.modeling_unipt import UniPTForPreTraining

    rows = load_rows(str(ROOT / "luperson-t"), "train", ["image", "captions"])
    images = [row["image"].convert("RGB") for row in rows.select(range(IMAGES))]
    figures = {}

    def render(repetition):
        command("-m", "dataset_builders.synthetic_pedestrians", "--output", folder / f"people{repetition}",
                "--identities", IMAGES, "--views", 1, "--seed", repetition, "--layout", "images")  # fmt: skip

    figures["rendering, images/s (start-up included)"] = IMAGES / seconds(render)

    scorer = Scorer(str(ROOT / "unipt" / "clip-tiny"), load_vocabulary())
    figures["scoring with clip-tiny, images/s"] = IMAGES / seconds(lambda _: scorer.probabilities(images))

    model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    figures["embedding images, images/s"] = IMAGES / seconds(lambda _: embed_images(model, processor, images))
    figures["embedding one query, ms"] = 1000 * seconds(
        lambda _: embed_texts(model, processor, ["a man in a red coat"])
    )

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
        figures[f"pre-training step in {precision}, samples/s"] = BATCH / seconds(step)
    return figures


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", default="runs/bench.json", help="JSON file for the figures (default: runs/bench.json)"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    width = max(map(len, figures))
    for name, figure in figures.items():
        print(f"{name:<{width}}  {figure:8.1f}")
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps({"machine": platform.platform(), "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    run_command(main)
