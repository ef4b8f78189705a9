"""Whether data loading is hidden behind a training step; belongs to the part `training` of `make bench`.

train/pretrain.py trains on the sample dataset as it is, with a process that loads beside it. Before and after that, it
trains on samples that were decoded, tokenised and masked before its first step. Each run is a process of its own, which
this module starts as

    python -m unipt_train.speed.loading {ready,parquet} --config pretrain_paper.yaml --dataset luperson-t ...

That is train/pretrain.py with a last line of JSON that says when its steps ended. The first step is not counted:
workers start in it.
"""

import json
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.data.attribute_facts import AttributeFacts
from unipt_train.data.batches import EpochBatches, Key
from unipt_train.data.pairs import PretrainingPairs
from unipt_train.engine.arguments import parse_arguments
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.objectives import build
from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import ROOT


@dataclass(frozen=True)
class LoadingCase:
    """A recipe whose loader is measured.

    Attributes:
        options: command-line options for train/pretrain.py.
        batch: number of image-text pairs in a step.
        steps: number of training steps.
        least: the aim for (samples a second when they are read from Parquet) / (samples a second when they lie ready
            in memory); None if there is no aim.
    """

    name: str
    options: list[str]
    batch: int
    steps: int
    least: float | None = None


class ReadySamples(torch.utils.data.Dataset):
    """The samples of some batches, made before any of them is asked for.

    Args:
        pairs: makes the samples.
        batches: lists of the samples' keys.
    """

    def __init__(self, pairs: PretrainingPairs, batches: Iterable[list[Key]]) -> None:
        self.size = len(pairs)
        self.samples: dict[Key, dict[str, Any]] = {}
        for keys in batches:
            self.samples |= zip(keys, pairs.__getitems__(keys), strict=True)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return self.samples[key]


def run(samples: str, options: Sequence[str]) -> None:
    """Run train/pretrain.py in this process.

    The last line that it prints is JSON: ``ends`` holds when each step ended by the clock. With ready samples
    ``making`` holds the seconds of a processor that making a sample took.

    Args:
        samples: "ready" or "parquet".
        options: of train/pretrain.py.
    """
    build_pairs = build.build_pairs
    arguments = parse_arguments(PretrainArguments, "", list(options))
    ends: list[float] = []
    noted: dict[str, Any] = {"ends": ends}

    def build_ready(
        rows: datasets.Dataset, processor: UniPTProcessor, sample_options: build.SampleOptions
    ) -> tuple[ReadySamples, AttributeFacts | None]:
        pairs, facts = build_pairs(rows, processor, sample_options)
        batches = EpochBatches(len(pairs), arguments.batch_size, arguments.seed, 0, arguments.max_steps)
        begun = time.process_time()
        ready = ReadySamples(pairs, batches)
        noted["making"] = (time.process_time() - begun) / len(ready.samples)
        return ready, facts

    def note_end(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # A step may have a second optimizer, Muon; AdamW is always there.
        if isinstance(optimizer, torch.optim.AdamW):
            ends.append(time.perf_counter())

    if samples == "ready":
        build.build_pairs = build_ready
    register_optimizer_step_post_hook(note_end)
    sys.argv = ["pretrain.py", *options]
    try:
        # The program itself, as a user starts it: no room imports a program.
        runpy.run_module("unipt_train.pretrain", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    print(json.dumps(noted))


@dataclass(frozen=True)
class Training:
    """What a run of train/pretrain.py was like.

    Attributes:
        rate: samples a second.
        losses: of each step.
        making: seconds of a processor for making a sample beforehand, or None.
    """

    rate: float
    losses: list[float]
    making: float | None


def train(case: LoadingCase, output: Path, samples: str) -> Training:
    """Run train/pretrain.py in a process of its own; for ``samples`` see :func:`run`.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "unipt_train.speed.loading", samples, *case.options]
    command += ["--dataset", ROOT / "luperson-t", "--output-dir", output, "--batch-size", case.batch]
    command += ["--max-steps", case.steps, "--save-steps", 0, "--log-steps", 1, "--report-to", "none"]
    command += ["--cpu", "true", "--precision", "no"]
    if samples == "ready":
        # What is in memory already needs no process that loads it.
        command += ["--num-workers", 0]
    ended = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"training {case.name} failed: {ended.stderr.strip()}")
    noted = json.loads(ended.stdout.splitlines()[-1])
    log = json.loads((output / "training_log.json").read_text(encoding="utf-8"))
    ends = noted["ends"]
    rate = case.batch * (len(ends) - 1) / (ends[-1] - ends[0])
    return Training(rate, [row["loss"] for row in log], noted.get("making"))


def measure_loading(case: LoadingCase, folder: Path) -> list[Figure]:
    """The figures of one recipe; ``folder`` is one to work in.

    Raises:
        RuntimeError: a run failed, or they did not train on the same samples.
    """
    before = train(case, folder / f"{case.name}-0", "ready")
    loaded = train(case, folder / f"{case.name}-1", "parquet")
    after = train(case, folder / f"{case.name}-2", "ready")
    for ready_loss, loss in zip(before.losses, loaded.losses, strict=True):
        if abs(ready_loss - loss) > 1e-3:
            raise RuntimeError(
                f"{case.name}: losses {loaded.losses} from Parquet differ from {before.losses} of ready samples"
            )
    ready = statistics.mean([before.rate, after.rate])
    return [
        Figure(f"{case.name}: training on ready samples", ready, "samples/s"),
        Figure(f"{case.name}: training from Parquet", loaded.rate, "samples/s"),
        Figure(f"{case.name}: making a sample, of one processor", 1000 * before.making, "ms"),
        Figure(f"{case.name}: from Parquet / ready", loaded.rate / ready, at_least=case.least),
    ]


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
