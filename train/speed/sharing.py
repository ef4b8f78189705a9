"""A step of the tiny model beside another process, by how OpenMP's threads wait; the part `sharing` of `make bench`.

The other process counts, and so keeps a core busy. Each way is measured alone and then beside it, in float32 on all
usable cores. Every measurement is a process of its own, because OpenMP reads its environment once. This module starts
it as

    python -m unipt_train.speed.sharing THREADS

train/engine/waiting.py says what the training commands do about it.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from modeling_unipt.common.parallel import usable_cores
from unipt_train.engine.set_up import set_up_model
from unipt_train.engine.waiting import NICENESS_OF_A_LOADER, SET_BY_THE_USER
from unipt_train.speed.figures import Figure
from unipt_train.speed.timing import seconds_of
from unipt_train.speed.training import CONFIGS, build_objective, project_step, ready_batch
from unipt_train.studies.commands import ROOT

BATCH = 64
HEIGHT = 192
WIDTH = 64
STEPS = 8
# The first steps allocate memory and choose kernels.
UNCOUNTED = 2


@dataclass(frozen=True)
class Way:
    """How a process computes, and how nice the other one is.

    Attributes:
        threads: 0: as many as there are usable cores.
        environment: variables of OpenMP.
    """

    name: str
    threads: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    niceness: int = 0


WAYS = (
    Way("threads spin, as OpenMP has them"),
    Way(f"threads spin, the other process has niceness {NICENESS_OF_A_LOADER}", niceness=NICENESS_OF_A_LOADER),
    Way("threads spin 1,000 times, then sleep", environment={"GOMP_SPINCOUNT": "1000"}),
    Way("threads spin 10,000 times, then sleep", environment={"GOMP_SPINCOUNT": "10000"}),
    Way("threads sleep", environment={"OMP_WAIT_POLICY": "PASSIVE"}),
    Way("one thread", threads=1),
)


def run(threads: int) -> None:
    """Take steps with a number of threads in this process; prints the median of their seconds."""
    torch.set_num_threads(threads)
    options = ["--config", "pretrain_tiny_paper.yaml", "--centre-embeddings", "false"]
    options += ["--vision-model", str(CONFIGS / "vit-tiny"), "--text-model", str(CONFIGS / "bert-tiny")]
    objective = build_objective(options)
    set_up_model(objective.model, "eager")
    batch = ready_batch(objective.model.config, BATCH, HEIGHT, WIDTH)
    taken = [seconds_of(lambda: project_step(objective, batch)) for _ in range(UNCOUNTED + STEPS)]
    print(json.dumps(statistics.median(taken[UNCOUNTED:])))


def step_seconds(way: Way) -> float:
    """Median seconds of a step in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in SET_BY_THE_USER}
    command = [sys.executable, "-m", "unipt_train.speed.sharing", str(way.threads or len(usable_cores()))]
    ended = subprocess.run(command, cwd=ROOT, env=kept | dict(way.environment), capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"steps where {way.name} failed: {ended.stderr.strip()}")
    return json.loads(ended.stdout.splitlines()[-1])


@contextmanager
def busy_process(niceness: int) -> Iterator[None]:
    """Another process keeps a core busy while the block runs."""
    count = f"import os\nif hasattr(os, 'nice'): os.nice({niceness})\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", count])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def measure(folder: Path) -> Iterator[Figure]:
    """Measure every way alone and beside a busy process; needs no ``folder``."""
    yield Figure("threads", len(usable_cores()))
    for way in WAYS:
        # The other process's niceness makes no difference where there is none.
        if not way.niceness:
            yield Figure(f"{way.name}: step alone", 1000 * step_seconds(way), "ms")
        with busy_process(way.niceness):
            yield Figure(f"{way.name}: step beside a busy process", 1000 * step_seconds(way), "ms")


if __name__ == "__main__":
    run(int(sys.argv[1]))
