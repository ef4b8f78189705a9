"""Checkpoints of a run, folders ``step-00000500`` of what the accelerator keeps and of the run's progress."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

# The folder of a run's work folder that holds its checkpoints.
CHECKPOINTS = "checkpoints"
KEPT = 2
PROGRESS = "progress.json"


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder of every whole checkpoint below ``folder``, in the order of the steps."""
    # A half-written one ends in `.partial`.
    whole = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8}", path.name)]
    return {int(path.name.removeprefix("step-")): path for path in sorted(whole)}


def save_checkpoint(accelerator: Accelerator, folder: Path, step: int, progress: dict[str, Any]) -> None:
    """Write the checkpoint of a step, whole or not at all, and remove all but the newest ``KEPT``.

    Args:
        accelerator: saves what it prepared; every process must call this.
        folder: where the checkpoints of the run lie.
        step: steps done.
        progress: JSON-able; :func:`load_checkpoint` gives it back.
    """
    final = folder / f"step-{step:08d}"
    aside = final.with_name(final.name + ".partial")
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
    # Nobody may write into the folder before it is empty, or rename it before all have written.
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (aside / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
        os.replace(aside, final)
        for old in list(find_checkpoints(folder).values())[:-KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, checkpoint: Path) -> dict[str, Any]:
    """Have what the accelerator prepared go on from a checkpoint; returns the progress that was saved with it."""
    accelerator.load_state(str(checkpoint))
    return json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
