"""The demo for three seeds, and for each a model fine-tuned from scratch for twice the steps: does pre-training pay?

    make seeds            # or: python train/demo_seeds.py --seeds 0 1 2

This takes about half an hour on two cores. Complete stages are left alone. Writes docs/demo_seeds.json and
docs/demo_seeds.md.
"""

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import run_command
from modeling_unipt.common.words import markdown_table
from unipt_train.evaluation.report import METRICS
from unipt_train.studies.commands import PYTHON, ROOT, evaluate, require_clone
from unipt_train.studies.demo_stages import FINETUNING_STEPS, finetune
from unipt_train.studies.results import oracle_rank_1, write_results
from unipt_train.studies.running import Stage, run_stages

TWICE = "from scratch, twice the steps"
PREAMBLE = """# The demo with several seeds

Each column is a demo of its own (`make demo`), with other rendered people, other weights and another order of training.
R1 is Rank-1; all numbers are percent, measured on test people whom no model saw in training. *From scratch* means
without pre-training. The oracle compares the true attributes of the people with those that a caption states. Made by
`make seeds`.
"""


def twice_the_budget(work: Path | str, seed: int) -> list[Stage]:
    """Stages that fine-tune the untrained model of a demo for twice the steps, and measure it.

    Args:
        work: folder of the demo of this seed.
    """
    name = "scratch-finetuned-twice"
    return [
        Stage(
            "Fine-tune from scratch",
            "For twice the steps.",
            finetune(work, seed, "untrained", name, 2 * FINETUNING_STEPS),
        ),
        Stage(
            "Evaluate",
            "On the same test people.",
            [*evaluate(f"{work}/cuhk-pedes", f"{work}/{name}"), "--output", f"{work}/evaluation-twice.json"],
        ),
    ]


def markdown(seeds: list[dict[str, Any]]) -> str:
    """The page, a table of Rank-1 and mAP: a row for each model of the demo, a column for each seed.

    Args:
        seeds: for each seed ``seed``, ``rows`` (each with name, R1 and mAP) and ``oracle_R1``, all in percent.
    """
    head = ["model"] + [f"seed {entry['seed']} R1 / mAP" for entry in seeds]
    rows = []
    for index, row in enumerate(seeds[0]["rows"]):
        of_seeds = [entry["rows"][index] for entry in seeds]
        rows.append([row["name"]] + [f"{each['R1']:.1f} / {each['mAP']:.1f}" for each in of_seeds])
    rows.append(["oracle (true attributes)"] + [f"{entry['oracle_R1']:.1f}" for entry in seeds])
    return f"{PREAMBLE}\n{markdown_table(head, rows)}\n"


def measure(seed: int, output: str) -> dict[str, Any]:
    """Run the demo of a seed and the fine-tuning of twice the steps.

    Args:
        output: folder for the demos.

    Returns:
        An entry for :func:`markdown`.
    """
    demo = [*PYTHON, "train/demo.py", "--seed", str(seed), "--output", output]
    subprocess.run(demo, cwd=ROOT, check=True)
    work = f"{output}/seed-{seed}"
    run_stages(twice_the_budget(work, seed))
    rows = json.loads((Path(output) / "results.json").read_text(encoding="utf-8"))
    (twice,) = json.loads((Path(work) / "evaluation-twice.json").read_text(encoding="utf-8"))
    rows.append({"name": TWICE, **{name: twice[name] for name in METRICS}})
    return {"seed": seed, "rows": rows, "oracle_R1": oracle_rank_1(f"{work}/benchmark")}


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to run (default: 0 1 2)")
    parser.add_argument("--work", default="runs/seeds", help="folder for the demos (default: runs/seeds)")
    parser.add_argument(
        "--output",
        default="docs/demo_seeds.json",
        help="JSON file to write; the table goes beside it (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    require_clone()
    seeds = [measure(seed, arguments.work) for seed in arguments.seeds]
    page = markdown(seeds)
    write_results(arguments.output, seeds, page)
    print(page)


if __name__ == "__main__":
    run_command(main)
