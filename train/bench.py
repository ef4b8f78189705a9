"""Measure the speed of this project on this machine.

    make bench                              # every part; or: python train/bench.py --output runs/speed.json
    python train/bench.py --only builder    # one part; what the output has of the others stays

Writes a table, runs/speed.md, beside the JSON file. Machines are noisy: compare figures of one part only, made while
nothing else runs. Figures that are to be compared are measured one after the other.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import run_command
from unipt_train.evaluation.report import write_aside
from unipt_train.speed import basics as bench_basics
from unipt_train.speed import builder as bench_builder
from unipt_train.speed import gallery as bench_gallery
from unipt_train.speed import ranking as bench_ranking
from unipt_train.speed import space as bench_space
from unipt_train.speed import training as bench_training
from unipt_train.speed.figures import Figure, line, markdown

AT_LEAST = {
    "indexing, share of the bare tower": 0.85,
    "1,000,000 x 256, ivf: recall@10 of new queries": 0.95,
    "ranking: faster than argsort, times": 8,
    "ranking: less memory than argsort, times": 5,
}
AT_MOST = {
    "text query, times (encoder + raw FAISS)": 1.3,
    "search in the app with 8 users at once, p95 ms": 500,
    "ranking: largest difference of a metric, from 0 to 1": 1e-6,
}


def as_figures(measured):
    """Name -> number, the unit in the name, as :class:`unipt_train.speed.figures.Figure`."""
    return [Figure(name, value, "", AT_LEAST.get(name), AT_MOST.get(name)) for name, value in measured.items()]


PARTS = {
    "basics": (bench_basics.measure, "rendering, scoring, embedding, a pre-training step"),
    "builder": (
        bench_builder.measure,
        "LUPerson-T against the bare vision tower and the transformers pipeline; memory",
    ),
    "training": (
        bench_training.measure,
        "a pre-training step against the straightforward graph; data loading; a GPU's use",
    ),
    "gallery": (lambda folder: as_figures(bench_gallery.measure(folder)), "a query, indexing, a million vectors"),
    "space": (lambda folder: as_figures(bench_space.measure()), "searches in the app by eight users at once"),
    "ranking": (lambda folder: as_figures(bench_ranking.measure()), "the metric against a full sort; needs 13 GB"),
}


def machine():
    """What the figures were measured on, JSON-able."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"platform": platform.platform(), "cores": len(usable_cores()), "gpus": gpus, "torch": torch.__version__}


def earlier(output):
    """What an earlier run on this machine wrote to ``output``, or None."""
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("machine") == machine() else None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/speed.json", help="JSON file for the figures (default: %(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(PARTS),
        help="a part to run; may be repeated (default: all). "
        + "; ".join(f"{name}: {what}" for name, (_, what) in PARTS.items()),
    )
    arguments = parser.parse_args(argv)
    output = Path(arguments.output)
    results = earlier(output) or {"machine": machine(), "parts": {}}
    print(", ".join(f"{name}: {value}" for name, value in results["machine"].items() if value))
    for part in arguments.only or PARTS:
        begun = time.perf_counter()
        print(f"\n{part}", flush=True)
        figures = []
        with tempfile.TemporaryDirectory() as folder:
            for figure in PARTS[part][0](Path(folder)):
                print(line(figure), flush=True)
                figures.append(figure.as_dict())
        results["parts"][part] = figures
        print(f"measured in {time.perf_counter() - begun:.0f} s", flush=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_aside(output, json.dumps(results, indent=2) + "\n")
        write_aside(output.with_suffix(".md"), markdown(results))


if __name__ == "__main__":
    run_command(main)
