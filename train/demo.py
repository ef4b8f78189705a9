"""The whole path on small models: from unlabelled images of people to search by description, on two CPU cores.

    make demo            # or: python train/demo.py --seed 0 --output runs/demo
    make demo SEED=1     # everything again with other people, weights and order

Every stage is a command of this project, which is printed before it runs. A stage that is already complete is left
alone. At the end there are a table, `results.json` and `contact_sheet.png` in the output folder.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from modeling_unipt.common.atomic_files import write_json
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.parallel import cpu_name, usable_cores
from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.evaluation.report import text_table
from unipt_train.studies.commands import require_clone
from unipt_train.studies.demo_stages import stages
from unipt_train.studies.running import run_stages

# What each model of the stage "Evaluate" is, in the order in which it measures them.
ROWS = (
    {"name": "untrained", "pretraining": "none", "finetuned": False},
    {"name": "UniPT zero-shot", "pretraining": "unipt", "finetuned": False},
    {"name": "fine-tuned from scratch", "pretraining": "none", "finetuned": True},
    {"name": "fine-tuned from UniPT", "pretraining": "unipt", "finetuned": True},
)
RESULT_KEYS = ("R1", "R5", "R10", "mAP", "mINP", "queries", "gallery", "identities")
NEXT = """
Numbers: {output}/results.json. Images: {output}/contact_sheet.png (test queries; hits have a green frame) and
{work}/search.png.

Next, with a folder of your own person crops (activate .venv, or write .venv/bin/ before each command):
  unipt index MY_CROPS --model {work}/unipt-finetuned --output my-gallery
  unipt search my-gallery "a man in a blue jacket" --top-k 10 --contact-sheet found.png
  python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 --output my-luperson-t
The tiny models know only rendered people. Real crops need the real models that README names."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of people, weights and order (default: 0)")
    parser.add_argument("--output", default="runs/demo", help="folder for results and work (default: runs/demo)")
    arguments = parser.parse_args(argv)
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed} must not be negative")
    require_clone()
    output = Path(arguments.output)
    work = output / f"seed-{arguments.seed}"
    work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    run_stages(stages(work, arguments.seed))
    evaluated = json.loads((work / "evaluation.json").read_text(encoding="utf-8"))
    results = []
    for row, measured in zip(ROWS, evaluated, strict=True):
        results.append(row | {key: measured[key] for key in RESULT_KEYS})
    write_json(output / "results.json", results)
    shutil.copyfile(work / "contact_sheet.png", output / "contact_sheet.png")
    seconds = time.perf_counter() - started
    print(f"\nSeed {arguments.seed}, {seconds:.0f} s on {len(usable_cores())} cores of {cpu_name()}.")
    print("No model saw these test people in training:\n")
    print(text_table(results, name_key="name"))
    print(NEXT.format(output=output, work=work))


if __name__ == "__main__":
    run_command(main)
