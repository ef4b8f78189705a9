"""In which precision a model computes: as it was told, as its GPU does natively, or as a CPU turns out to be faster."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, convert_outputs_to_fp32

from modeling_unipt.common.atomic_files import write_json
from unipt_train.engine.checkpoints import CHECKPOINTS, find_checkpoints
from unipt_train.objectives.base import Objective, Tensors

logger = logging.getLogger(__name__)
# In the work folder and the finished output of a run that measured.
MEASURED = "precision.json"
# Steps of each precision: the first one prepares kernels and is not counted, the fastest of the others is.
TIMED_STEPS = 2
# A large model takes no second timed step beyond this.
ENOUGH_SECONDS = 10


def has_bfloat16(device_type: str) -> bool:
    """Whether devices of a type have instructions for bfloat16. On a CPU these may still be slower than float32's.

    Args:
        device_type: as ``torch.device.type`` names it.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public question for a CPU; oneDNN, which multiplies its matrices, knows the instructions.
    return device_type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def precision_to_start_with(wanted: str, cpu: bool = False) -> str:
    """The name of the precision that an accelerator begins with: "no", "bf16" or "fp16".

    Args:
        wanted: one of these, or "auto": on a GPU bf16 where it has that natively and else fp16; on a CPU no, until
            :func:`settle_precision` has measured.
        cpu: whether the run stays on the CPU even where there is a GPU.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available() and not cpu:
        return "bf16" if has_bfloat16("cuda") else "fp16"
    return "no"


def settle_precision(
    accelerator: Accelerator, wanted: str, objective: Objective, batch: Callable[[], Tensors], folder: Path
) -> str:
    """Decide in which precision ``objective`` computes, and have it do so; every process must call this.

    "auto" on a CPU measures a step in float32 and in bfloat16: on CPUs without AMX bfloat16 is often the slower one,
    though they have instructions for it. The first process measures and all others obey. The result lies in the work
    folder, so a resumed run goes on in the precision that it began with, on whatever machine.

    Args:
        accelerator: has not prepared the objective yet.
        wanted: what the option ``--precision`` says.
        objective: in its final form; neither its weights nor the random state change.
        batch: gives the pairs of a forward pass of one process.
        folder: the work folder.

    Returns:
        "no", "bf16" or "fp16".
    """
    if wanted != "auto" or accelerator.device.type != "cpu":
        return accelerator.mixed_precision
    choice = "no"
    if accelerator.is_main_process:
        choice = _choose(objective, batch, folder)
    if accelerator.num_processes > 1:
        (choice,) = broadcast_object_list([choice])
    if choice == "bf16":
        # What Accelerate does to a model if it is told at its start.
        in_bfloat16 = torch.autocast("cpu", dtype=torch.bfloat16)(objective.forward)
        objective.forward = convert_outputs_to_fp32(in_bfloat16)
    return choice


def faster_on_cpu(step: Callable[[], Any]) -> tuple[str, dict[str, float]]:
    """("no" or "bf16", seconds of ``step`` in each precision that was tried).

    Args:
        step: forward and backward pass of a real batch. It is called under autocast for bf16.
    """
    if not has_bfloat16("cpu"):
        return "no", {}
    seconds = {}
    for name in ("no", "bf16"):
        seconds[name] = _fastest(step, name)
    choice = min(seconds, key=seconds.get)
    told = ", ".join(f"{name} {1000 * each:.0f} ms" for name, each in seconds.items())
    logger.info("a step takes %s on this CPU: precision %s", told, choice)
    return choice, seconds


def convolve_in_float32(model: torch.nn.Module) -> None:
    """Have a model cut its patches in float32 on a CPU: bfloat16 takes up to twice as long there, mostly backward."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.forward = torch.autocast("cpu", enabled=False)(module.forward)


def _choose(objective: Objective, batch: Callable[[], Tensors], folder: Path) -> str:
    record = folder / MEASURED
    if record.is_file():
        return json.loads(record.read_text(encoding="utf-8"))["precision"]
    if find_checkpoints(folder / CHECKPOINTS):
        # It was begun by a version that did not measure, and went by the CPU's instructions.
        return "bf16" if has_bfloat16("cpu") else "no"
    # The loop counts cut captions; no objective reads them.
    pairs = {name: rows for name, rows in batch().items() if name != "truncated"}

    def step() -> None:
        features = objective(**objective.inputs(pairs))
        objective.losses(features, objective.targets(pairs))["loss"].backward()
        objective.zero_grad()

    was_training = objective.training
    objective.train()
    # Dropout draws numbers, which must not be missing afterwards.
    with torch.random.fork_rng(devices=[]):
        choice, seconds = faster_on_cpu(step)
    objective.train(was_training)
    write_json(record, {"precision": choice, "seconds_of_a_step": seconds}, indent=1)
    return choice


def _fastest(step: Callable[[], Any], precision: str) -> float:
    """Seconds of the fastest of a few steps."""
    seconds = []
    begun = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        for number in range(1 + TIMED_STEPS):
            before = time.perf_counter()
            step()
            now = time.perf_counter()
            if number:
                seconds.append(now - before)
            if seconds and now - begun > ENOUGH_SECONDS:
                break
    return min(seconds)
