"""What each part of the recipe is worth, on the synthetic benchmark with the tiny model: a table for each question.

    make reproduce                                      # all of it; or:
    python train/reproduce.py --only recipes            # one question
    python train/reproduce.py --only recipes --times 2  # with twice the steps of pre-training

One run a core at a time; docs/reproduction.md says how long they took. Every run that is complete is left alone, so it
can be stopped and started again; a table whose runs are not all there says which are missing. Writes
docs/reproduction.md and docs/reproduction.json; with --times 2 docs/reproduction_times_2.md and the like.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.run_arguments import pick_precision
from unipt_train.studies.experiment_jobs import jobs_of, result_of
from unipt_train.studies.experiments import EXPERIMENTS, FINETUNING, IMAGES, LONG, STEPS
from unipt_train.studies.jobs import TOOK, run_jobs

PREAMBLE = """# What each part is worth

Rank-1 in percent of the tiny model on the synthetic benchmark: people whom no model saw in training, mean and standard
deviation over the seeds. Chance is {chance:.1f} %. Pre-trainings have {images:,} images where nothing else is said.
These are measurements on rendered people; they agree with the paper's claims or not, and say nothing about photographs.

Made by `{command}` on {machine}, one core a run.{cost}
"""


def collect(experiments, work):
    """question -> row -> {"R1": one a seed, None where it is missing, ...}, in the order of the experiments."""
    return {
        name: {run.name: [result_of(run, seed, work) for seed in experiment.seeds] for run in experiment.runs}
        for name, experiment in experiments.items()
    }


def cell(results):
    found = [result["R1"] for result in results if result]
    if not found:
        return "missing"
    text = f"{statistics.mean(found):.1f}"
    if len(found) > 1:
        text += f" ± {statistics.stdev(found):.1f}"
    lost = len(results) - len(found)
    return text + (f" ({lost} of {len(results)} seeds missing)" if lost else "")


def cost(logs, wall=None):
    """A sentence about how long the commands took whose logs say it.

    Args:
        wall: seconds that they took together, if known.
    """
    took = [
        int(line.removeprefix(TOOK).removesuffix("s"))
        for log in sorted(Path(logs).glob("*.log"))
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith(TOOK)
    ]
    together = f", and all together {wall / 60:.0f} minutes" if wall else ""
    return f" {len(took)} commands took {sum(took) / 60:.0f} minutes of a core{together}." if took else ""


def markdown(experiments, results, cost="", times=1):
    """The tables as one Markdown text; a question without any result is only named.

    Args:
        times: pre-trainings took so many times the steps of the ``experiments``.
    """
    unanswered = []
    queries = next((r for rows in results.values() for runs in rows.values() for r in runs if r), None)
    chance = 100 / queries["identities"] if queries else float("nan")
    machine = f"{platform.machine()}, {len(usable_cores())} cores, precision {pick_precision('auto', cpu=True)}"
    command = f"python train/reproduce.py --times {times}" if times > 1 else "make reproduce"
    lines = [PREAMBLE.format(chance=chance, images=IMAGES, command=command, machine=machine, cost=cost)]
    for name, experiment in experiments.items():
        if not any(result for found in results[name].values() for result in found):
            unanswered.append(f"`{name}`")
            continue
        seeds = ", ".join(map(str, experiment.seeds))
        lines += [
            f"## {experiment.title}",
            "",
            experiment.about.format(short=STEPS * times, long=LONG * times, finetuning=FINETUNING),
            "",
            f"| `--only {name}` | Rank-1 | each seed ({seeds}) |",
        ]
        lines += ["|---|---|---|"]
        for row, found in results[name].items():
            each = ", ".join(f"{result['R1']:.1f}" if result else "missing" for result in found)
            lines.append(f"| {row} | {cell(found)} | {each} |")
        lines.append("")
    if unanswered:
        lines += [f"Missing as a whole: {', '.join(unanswered)}.", ""]
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), help="questions (default: all)")
    parser.add_argument(
        "--times",
        type=int,
        default=1,
        metavar="N",
        help="pre-train N times as many steps; _times_N is added to the names of folder and files (default: 1)",
    )
    parser.add_argument("--work", default="runs/reproduce", help="folder for all runs (default: runs/reproduce)")
    parser.add_argument("--output", default="docs/reproduction.json", help="(default: docs/reproduction.json)")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times {arguments.times} must be at least 1")
    chosen = {name: EXPERIMENTS[name] for name in arguments.only or EXPERIMENTS}
    suffix = f"_times_{arguments.times}" if arguments.times > 1 else ""
    work, output = Path(arguments.work + suffix), Path(arguments.output)
    output, begun = output.with_stem(output.stem + suffix), time.perf_counter()
    is_first = not work.exists()  # else some of it was made before
    missing = run_jobs(jobs_of(chosen, work, arguments.times), work / "logs")
    wall = time.perf_counter() - begun if is_first else None
    for lost, reason in missing.items():
        print(f"missing: {lost}: {reason}")
    results = collect(EXPERIMENTS, work)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    spent = cost(work / "logs", wall)
    text = markdown(EXPERIMENTS, results, spent, arguments.times)
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    print(markdown(chosen, results, times=arguments.times))


if __name__ == "__main__":
    run_command(main)
