"""Measure the speed of this project on this machine.

    make bench                              # every part; or: python train/bench.py --output runs/speed.json
    python train/bench.py --only builder    # one part; the figures of the others stay in the output

It writes a page, runs/speed.md, beside the JSON file. Machines are noisy: compare figures of one part only, made while
nothing else runs. Figures that are to be compared are measured one after the other.
"""

import argparse
import importlib
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.parallel import cpu_name, usable_cores
from modeling_unipt.common.user_errors import run_command
from unipt_train.speed.figures import Figure, line, markdown
from unipt_train.studies.commands import require_clone
from unipt_train.studies.results import write_results

# Part -> what it measures. Each is the module unipt_train.speed.PART, whose `measure(folder)` gives its figures.
PARTS = {
    "basics": "rendering, scoring, embedding, a pre-training step",
    "builder": "LUPerson-T against the bare vision tower and the transformers pipeline; memory",
    "training": "a pre-training step against the straightforward graph; data loading; a GPU's use",
    "gallery": "a query, indexing, a million vectors",
    "space": "searches in the app by eight users at once",
    "sharing": "a training step beside a busy process, by how threads wait",
    "export": "both encoders in onnxruntime against torch",
    "ranking": "the metric against a full sort; needs 13 GB of memory",
}


def machine() -> dict[str, Any]:
    """What the figures are measured on, JSON-able."""
    # Only who measures should wait for it.
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "CPU": cpu_name(),
        "cores": len(usable_cores()),
        "gpus": gpus,
        "torch": torch.__version__,
    }


def earlier(output: Path) -> dict[str, Any] | None:
    """What an earlier run on this machine wrote to ``output``, or None."""
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("machine") == machine() else None


def measure_of(part: str) -> Callable[[Path], Iterable[Figure]]:
    """The function that measures a part, given an empty folder to work in."""
    return importlib.import_module(f"unipt_train.speed.{part}").measure


def run_part(part: str) -> list[dict[str, Any]]:
    """Measure one part, print each figure as it comes, and return them JSON-able."""
    measure = measure_of(part)
    begun = time.perf_counter()
    print(f"\n{part}", flush=True)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for figure in measure(Path(folder)):
            print(line(figure), flush=True)
            figures.append(figure.as_dict())
    print(f"measured in {time.perf_counter() - begun:.0f} s", flush=True)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/speed.json", help="JSON file for the figures (default: %(default)s)")
    parts = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    parser.add_argument(
        "--only",
        action="append",
        choices=list(PARTS),
        help=f"a part to run; may be repeated (default: all). {parts}",
    )
    arguments = parser.parse_args(argv)
    require_clone()

    output = Path(arguments.output)
    results = earlier(output) or {"machine": machine(), "parts": {}}
    print(", ".join(f"{name}: {value}" for name, value in results["machine"].items() if value))
    for part in arguments.only or PARTS:
        results["parts"][part] = run_part(part)
        # After each part, so that a run which is stopped keeps what it has.
        write_results(output, results, markdown(results))


if __name__ == "__main__":
    run_command(main)
