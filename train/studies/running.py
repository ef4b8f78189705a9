"""Running the project's own commands: one after the other, or side by side on all cores.

A command whose output is complete leaves it alone, so running a list of commands again goes on where it stopped.
"""

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError
from unipt_train.studies.commands import ROOT, Command, command_line, offline_environment

logger = logging.getLogger(__name__)
# Begins the last line of a log.
TOOK = "# the command took"


@dataclass(frozen=True)
class Stage:
    """One command of a list that a person watches."""

    title: str
    explanation: str
    command: Command


def run_stages(stages: list[Stage]) -> None:
    """Run commands one after the other, from the clone's root. Each is announced in the log, and timed.

    Raises:
        UserError: a command failed. (It has said why.)
    """
    for number, stage in enumerate(stages, 1):
        begun = time.perf_counter()
        logger.info("\n[%s/%s] %s. %s", number, len(stages), stage.title, stage.explanation)
        logger.info("      $ %s", command_line(stage.command))
        finished = subprocess.run([str(part) for part in stage.command], cwd=ROOT, env=offline_environment())
        if finished.returncode:
            raise UserError(
                f"stage '{stage.title}' failed with exit status {finished.returncode}; its message is above"
            )
        logger.info("      %.0f s", time.perf_counter() - begun)


@dataclass(frozen=True)
class Job:
    """One command of a list that runs side by side.

    Attributes:
        output: the file or folder that it makes.
        needs: outputs of jobs that are listed before it.
    """

    output: Path
    command: Command
    needs: tuple[Path, ...] = ()


class _Cores:
    """Cores, handed to whoever waits with the lowest number."""

    def __init__(self, cores: list[int]) -> None:
        self.free = list(cores)
        self.waiting: set[int] = set()
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def one(self, number: int) -> Iterator[int]:
        with self.changed:
            self.waiting.add(number)
            self.changed.wait_for(lambda: self.free and number == min(self.waiting))
            self.waiting.remove(number)
            core = self.free.pop()
            # The next lowest number may start at once if another core is free.
            self.changed.notify_all()
        try:
            yield core
        finally:
            with self.changed:
                self.free.append(core)
                self.changed.notify_all()


def run_jobs(jobs: list[Job], logs: Path | str) -> dict[Path, str]:
    """Run jobs, as many at once as there are cores, each on a core of its own.

    A job starts when what it needs is there. Of those that could start, the one listed first does: so what stands
    together in the list is complete early.

    Args:
        logs: folder for a log file of each job.

    Returns:
        output -> why it is missing, for the jobs that failed, or that needed one that did.
    """
    logs = Path(logs)
    logs.mkdir(parents=True, exist_ok=True)
    cores = _Cores(usable_cores())
    missing: dict[Path, str] = {}
    done = {job.output: threading.Event() for job in jobs}

    def run(number: int, job: Job) -> None:
        try:
            for need in job.needs:
                done[need].wait()
            lost = [need for need in job.needs if need in missing]
            if lost:
                missing[job.output] = f"needs {lost[0]}, which is missing"
            elif not job.output.exists():
                with cores.one(number) as core:
                    status, log = _run_job(job, core, logs)
                if status:
                    missing[job.output] = f"its command ended with status {status}; see {log}"
        finally:
            bar.update()
            done[job.output].set()

    # One thread for each job: most of them only wait for what they need, or for a core.
    with tqdm(total=len(jobs), unit="job") as bar, ThreadPoolExecutor(len(jobs) or 1) as pool:
        futures = [pool.submit(run, number, job) for number, job in enumerate(jobs)]
        for future in futures:
            future.result()
    return missing


def _run_job(job: Job, core: int, logs: Path) -> tuple[int, Path]:
    """Run one job on one core; return its exit status and its log."""
    log = logs / f"{job.output.parent.name}-{job.output.name}.log"
    # macOS cannot bind a process to a core.
    pinned = (lambda: os.sched_setaffinity(0, {core})) if hasattr(os, "sched_setaffinity") else None
    with open(log, "w", encoding="utf-8") as text:
        print("$", command_line(job.command), file=text, flush=True)
        begun = time.perf_counter()
        finished = subprocess.run(
            [str(part) for part in job.command],
            cwd=ROOT,
            env=offline_environment(),
            stdout=text,
            stderr=text,
            preexec_fn=pinned,
        )
        print(f"\n{TOOK} {time.perf_counter() - begun:.0f} s", file=text)
    return finished.returncode, log
