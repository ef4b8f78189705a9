"""The demo for three seeds, and beside it the scratch run with twice the fine-tuning steps: does pre-training pay?

    make seeds            # or: python train/demo_seeds.py --seeds 0 1 2

About half an hour on two cores; complete stages are left alone. Writes docs/demo_seeds.json and docs/demo_seeds.md.
"""

import argparse
import json
import subprocess
from pathlib import Path

import yaml

from modeling_unipt.common.user_errors import run_command
from unipt_train.evaluation.report import METRICS
from unipt_train.studies.commands import LAUNCH, PYTHON, ROOT, run_stages

TWICE = "from scratch, twice the steps"


def twice_the_budget(work, seed):
    """Stages that fine-tune the untrained model of a demo for twice the steps, and measure it."""
    config = "train/configs/finetune_tiny.yaml"
    steps = yaml.safe_load((ROOT / config).read_text(encoding="utf-8"))["max_steps"]
    model = f"{work}/scratch-finetuned-twice"
    return [
        (
            "Fine-tune from scratch",
            "For twice the steps.",
            [*LAUNCH, "train/finetune.py", "--config", config, "--seed", seed, "--max_steps", 2 * steps]
            + ["--dataset", f"{work}/cuhk-pedes", "--model", f"{work}/untrained", "--output_dir", model],
        ),
        (
            "Evaluate",
            "On the same test people.",
            [*PYTHON, "train/evaluate_retrieval.py", "--dataset", f"{work}/cuhk-pedes", "--model", model]
            + ["--output", f"{work}/evaluation-twice.json"],
        ),
    ]


def oracle(work):
    """Rank-1 in percent of true attributes against what captions state."""
    from dataset_builders.synthetic_pedestrians.oracle import oracle_rank1, read_benchmark

    folder = Path(work) / "benchmark"
    return oracle_rank1(*read_benchmark(folder / "truth.jsonl", folder / "reid_raw.json"))


def markdown(seeds):
    """One table a seed list: rows of the demo, Rank-1 and mAP of every seed."""
    names = [row["name"] for row in seeds[0]["rows"]]
    head = "| | " + " | ".join(f"seed {entry['seed']} R1 / mAP" for entry in seeds) + " |"
    lines = [head, "|---|" + "---|" * len(seeds)]
    for index, name in enumerate(names):
        cells = [f"{entry['rows'][index]['R1']:.1f} / {entry['rows'][index]['mAP']:.1f}" for entry in seeds]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| oracle (true attributes) | " + " | ".join(f"{entry['oracle_R1']:.1f}" for entry in seeds) + " |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--work", default="runs/seeds", help="folder for the demos (default: runs/seeds)")
    parser.add_argument("--output", default="docs/demo_seeds.json", help="(default: docs/demo_seeds.json)")
    arguments = parser.parse_args(argv)
    seeds = []
    for seed in arguments.seeds:
        subprocess.run(
            [*PYTHON, "train/demo.py", "--seed", str(seed), "--output", arguments.work], cwd=ROOT, check=True
        )
        work = f"{arguments.work}/seed-{seed}"
        run_stages(twice_the_budget(work, seed))
        rows = json.loads((Path(arguments.work) / "results.json").read_text(encoding="utf-8"))
        (twice,) = json.loads((Path(work) / "evaluation-twice.json").read_text(encoding="utf-8"))
        rows.append({"name": TWICE, **{name: twice[name] for name in METRICS}})
        seeds.append({"seed": seed, "rows": rows, "oracle_R1": oracle(work)})
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(seeds, indent=2) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(markdown(seeds), encoding="utf-8")
    print(markdown(seeds))


if __name__ == "__main__":
    run_command(main)
