"""Many commands of this project side by side, one core each, every one started when what it needs is there.

Of those that could start, the one listed first does: what stands together in the list is complete early.
A command whose output is complete leaves it alone, so running a list of jobs again goes on where it stopped.
"""

import contextlib
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.parallel import usable_cores
from unipt_train.studies.commands import ROOT, command_line

TOOK = "# the command took"  # begins the last line of a log


@dataclass(frozen=True)
class Job:
    """A ``command`` that makes the file or folder ``output``; ``needs`` are the outputs of jobs listed before it."""

    output: Path
    command: list
    needs: tuple = ()


class _Cores:
    """Cores handed to whoever waits with the lowest number."""

    def __init__(self, cores):
        self.free, self.waiting, self.changed = list(cores), set(), threading.Condition()

    @contextlib.contextmanager
    def one(self, number):
        with self.changed:
            self.waiting.add(number)
            self.changed.wait_for(lambda: self.free and number == min(self.waiting))
            self.waiting.remove(number)
            core = self.free.pop()
            self.changed.notify_all()
        try:
            yield core
        finally:
            with self.changed:
                self.free.append(core)
                self.changed.notify_all()


def run_jobs(jobs, logs):
    """Run a list of :class:`Job`, as many at once as there are cores; what each says goes to a file in ``logs``.

    Returns:
        {output: why it is missing} of the jobs that failed, or that needed one that did.
    """
    from tqdm import tqdm

    logs = Path(logs)
    logs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    cores, missing, done = _Cores(usable_cores()), {}, {job.output: threading.Event() for job in jobs}

    def run(number, job):
        try:
            for need in job.needs:
                done[need].wait()
            lost = [need for need in job.needs if need in missing]
            if lost:
                missing[job.output] = f"needs {lost[0]}, which is missing"
            elif not job.output.exists():
                with cores.one(number) as core:
                    missing.update(failure(job, core))
        finally:
            bar.update()
            done[job.output].set()

    def failure(job, core):
        log = logs / f"{job.output.parent.name}-{job.output.name}.log"
        command = [str(part) for part in job.command]
        pinned = (lambda: os.sched_setaffinity(0, {core})) if hasattr(os, "sched_setaffinity") else None
        with open(log, "w", encoding="utf-8") as text:
            print("$", command_line(command), file=text, flush=True)
            begun = time.perf_counter()
            code = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=text, stderr=text, preexec_fn=pinned
            ).returncode
            print(f"\n{TOOK} {time.perf_counter() - begun:.0f} s", file=text)
        return {job.output: f"its command ended with status {code}; see {log}"} if code else {}

    with tqdm(total=len(jobs), unit="job") as bar, ThreadPoolExecutor(len(jobs) or 1) as pool:
        for future in [pool.submit(run, number, job) for number, job in enumerate(jobs)]:
            future.result()
    return missing
