"""Whether data loading is hidden behind a training step; belongs to the part `training` of `make bench`.

train/pretrain.py trains on the sample dataset as it is, a process that loads beside it; and, before and after, on
samples that were decoded, tokenised and masked before its first step. Each run is a process of its own:

    python train/bench_loading.py {ready,parquet} --config pretrain_paper.yaml --dataset luperson-t ...

is train/pretrain.py, and a last line of JSON about when its steps ended. The first step, in which workers start, is
left out.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from modeling_unipt.common.user_errors import run_command
from unipt_train import pretrain
from unipt_train.data.pairs import EpochBatches
from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import ROOT


@dataclass(frozen=True)
class LoadingCase:
    """A recipe whose loader is measured: options of train/pretrain.py, batch, steps, the least ratio or None."""

    name: str
    options: list
    batch: int
    steps: int
    least: float | None = None


class ReadySamples(torch.utils.data.Dataset):
    """The samples of ``batches``, lists of keys, made before any of them is asked for."""

    def __init__(self, pairs, batches):
        self.size, self.samples = len(pairs), {}
        for keys in batches:
            self.samples |= zip(keys, pairs.__getitems__(keys), strict=True)

    def __len__(self):
        return self.size

    def __getitem__(self, key):
        return self.samples[key]


def run(samples, *argv):
    """train/pretrain.py with the options ``argv``, on :class:`ReadySamples` if ``samples`` is "ready".

    Prints, last, {"ends": when each step ended, "making": seconds of a processor for a sample made beforehand}.
    """
    build_pairs, told = pretrain.build_pairs, {"ends": []}

    def build_ready(rows, processor, arguments):
        pairs, facts = build_pairs(rows, processor, arguments)
        batches = EpochBatches(len(pairs), arguments.batch_size, arguments.seed, 0, arguments.max_steps)
        begun = time.process_time()
        ready = ReadySamples(pairs, batches)
        told["making"] = (time.process_time() - begun) / len(ready.samples)
        return ready, facts

    def note_end(optimizer, *_):
        if isinstance(optimizer, torch.optim.AdamW):
            told["ends"].append(time.perf_counter())

    if samples == "ready":
        pretrain.build_pairs = build_ready
    register_optimizer_step_post_hook(note_end)
    pretrain.main(argv)
    print(json.dumps(told))


def train(case, output, samples):
    """(samples a second, losses of the steps, seconds of making a sample beforehand or None) of a run.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, __file__, samples, *case.options]
    command += ["--dataset", ROOT / "luperson-t", "--output_dir", output, "--batch_size", case.batch]
    command += ["--max_steps", case.steps, "--save_steps", 0, "--log_steps", 1, "--report_to", "none"]
    command += ["--cpu", "true", "--precision", "no", *(["--num_workers", 0] if samples == "ready" else [])]
    ended = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"training {case.name} failed: {ended.stderr.strip()}")
    told = json.loads(ended.stdout.splitlines()[-1])
    log = json.loads((Path(output) / "training_log.json").read_text(encoding="utf-8"))
    seconds = told["ends"][-1] - told["ends"][0]
    return case.batch * (len(told["ends"]) - 1) / seconds, [row["loss"] for row in log], told.get("making")


def measure_loading(case, folder):
    """The figures of one recipe.

    Raises:
        RuntimeError: a run failed, or they did not train on the same samples.
    """
    (before, ready_losses, making), (rate, losses, _), (after, _, _) = (
        train(case, folder / f"{case.name}-{number}", samples)
        for number, samples in enumerate(("ready", "parquet", "ready"))
    )
    if any(abs(one - other) > 1e-3 for one, other in zip(ready_losses, losses, strict=True)):
        raise RuntimeError(f"{case.name}: losses {losses} from Parquet differ from {ready_losses} of ready samples")
    ready = statistics.mean([before, after])
    return [
        Figure(f"{case.name}: training on ready samples", ready, "samples/s"),
        Figure(f"{case.name}: training from Parquet", rate, "samples/s"),
        Figure(f"{case.name}: making a sample, of one processor", 1000 * making, "ms"),
        Figure(f"{case.name}: from Parquet / ready", rate / ready, "", at_least=case.least),
    ]


if __name__ == "__main__":
    run_command(lambda: run(*sys.argv[1:]))
