"""What each part of the recipe is worth, on the synthetic benchmark with the tiny model: a table for each question.

    make reproduce                                      # all of it; or:
    python train/reproduce.py --only recipes            # one question
    python train/reproduce.py --only recipes --times 2  # with twice the steps of pre-training

Each core runs one command at a time; docs/reproduction.md says how long they took. Every run that is complete is left
alone, so the command can be stopped and started again. A table says which of its runs are missing. Writes
docs/reproduction.md and docs/reproduction.json; with --times 2 docs/reproduction_times_2.md and the like.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.common.words import markdown_table
from unipt_train.studies.commands import require_clone
from unipt_train.studies.experiment_jobs import jobs_of, result_of
from unipt_train.studies.experiments import EXPERIMENTS, FINETUNING, IMAGES, LONG, STEPS, Experiment
from unipt_train.studies.results import write_results
from unipt_train.studies.running import TOOK, run_jobs

PREAMBLE = """# What each part is worth

The tables give Rank-1 in percent of the tiny model on the synthetic benchmark. No model saw the test people in
training. Behind each mean stands the standard deviation over the seeds. Chance is {chance:.1f} %. Where nothing else is
said, a model was pre-trained on {images:,} images. All of this was measured on rendered people: it agrees with the
paper's claims or it does not, and it says nothing about photographs.

Made by `{command}` on {machine}. Each run had one core.{cost}
"""
# The numbers of a run's evaluation, or None where it is missing: question -> row -> one for each seed.
Result = dict[str, float] | None
Results = dict[str, dict[str, list[Result]]]


def collect(experiments: Mapping[str, Experiment], work: Path) -> Results:
    """The results of all runs, in the order of the experiments."""
    results: Results = {}
    for name, experiment in experiments.items():
        results[name] = {}
        for run in experiment.runs:
            results[name][run.name] = [result_of(run, seed, work) for seed in experiment.seeds]
    return results


def cell(results: Sequence[Result]) -> str:
    """Mean and standard deviation of the seeds' Rank-1, and how many seeds are missing."""
    found = [result["R1"] for result in results if result]
    if not found:
        return "missing"
    text = f"{statistics.mean(found):.1f}"
    if len(found) > 1:
        text += f" ± {statistics.stdev(found):.1f}"
    lost = len(results) - len(found)
    if lost:
        text += f" ({lost} of {len(results)} seeds missing)"
    return text


def cost(logs: Path | str, wall: float | None = None) -> str:
    """A sentence about how long the commands took, by their logs; "" where there are none.

    Args:
        wall: seconds that all of them took together, if known.
    """
    took = []
    for log in sorted(Path(logs).glob("*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(TOOK):
                took.append(int(line.removeprefix(TOOK).removesuffix("s")))
    if not took:
        return ""
    together = f", and all together {wall / 60:.0f} minutes" if wall else ""
    return f" {len(took)} commands took {sum(took) / 60:.0f} minutes of a core{together}."


def section(name: str, experiment: Experiment, rows: Mapping[str, Sequence[Result]], times: int) -> str:
    """Title, explanation and table of one question."""
    about = experiment.about.format(short=STEPS * times, long=LONG * times, finetuning=FINETUNING)
    head = [f"`--only {name}`", "Rank-1", f"each seed ({', '.join(map(str, experiment.seeds))})"]
    lines = []
    for row, found in rows.items():
        each = ", ".join(f"{result['R1']:.1f}" if result else "missing" for result in found)
        lines.append([row, cell(found), each])
    return f"## {experiment.title}\n\n{about}\n\n{markdown_table(head, lines)}\n"


def chance_of(results: Results) -> float:
    """Rank-1 in percent of guessing; NaN where no run is there."""
    for rows in results.values():
        for of_seeds in rows.values():
            for result in of_seeds:
                if result:
                    return 100 / result["identities"]
    return float("nan")


def markdown(experiments: Mapping[str, Experiment], results: Results, cost: str = "", times: int = 1) -> str:
    """The page with all tables; a question without any result is only named.

    Args:
        cost: a sentence for the preamble.
        times: pre-trainings took this many times the steps of the ``experiments``.
    """
    machine = f"{platform.machine()}, {len(usable_cores())} cores, precision no"
    command = f"python train/reproduce.py --times {times}" if times > 1 else "make reproduce"
    chance = chance_of(results)
    parts = [PREAMBLE.format(chance=chance, images=IMAGES, command=command, machine=machine, cost=cost)]
    unanswered = []
    for name, experiment in experiments.items():
        if any(result for found in results[name].values() for result in found):
            parts.append(section(name, experiment, results[name], times))
        else:
            unanswered.append(f"`{name}`")
    if unanswered:
        parts.append(f"Experiments that were not run: {', '.join(unanswered)}.\n")
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), help="questions to answer (default: all)")
    parser.add_argument(
        "--times",
        type=int,
        default=1,
        metavar="N",
        help="pre-train N times as many steps; the names of folder and files then end with _times_N (default: 1)",
    )
    parser.add_argument("--work", default="runs/reproduce", help="folder for all runs (default: runs/reproduce)")
    parser.add_argument(
        "--output",
        default="docs/reproduction.json",
        help="JSON file to write; the page goes beside it (default: docs/reproduction.json)",
    )
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times {arguments.times} must be at least 1")
    require_clone()
    chosen = {name: EXPERIMENTS[name] for name in arguments.only or EXPERIMENTS}
    suffix = f"_times_{arguments.times}" if arguments.times > 1 else ""
    work = Path(arguments.work + suffix)
    output = Path(arguments.output)
    output = output.with_stem(output.stem + suffix)
    # A run that goes on where another stopped does not know how long everything took.
    is_first = not work.exists()
    begun = time.perf_counter()
    missing = run_jobs(jobs_of(chosen, work, arguments.times), work / "logs")
    wall = time.perf_counter() - begun if is_first else None
    for lost, reason in missing.items():
        print(f"missing: {lost}: {reason}")
    results = collect(EXPERIMENTS, work)
    page = markdown(EXPERIMENTS, results, cost(work / "logs", wall), arguments.times)
    write_results(output, results, page, indent=1)
    print(markdown(chosen, results, times=arguments.times))


if __name__ == "__main__":
    run_command(main)
