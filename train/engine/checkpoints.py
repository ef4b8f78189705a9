"""Checkpoints of a run, folders ``step-00000500`` of what the accelerator keeps and of the run's progress."""

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME

from modeling_unipt.common.atomic_files import open_to_readers
from modeling_unipt.common.user_errors import UserError

logger = logging.getLogger(__name__)
# The folder of a run's work folder that holds its checkpoints.
CHECKPOINTS = "checkpoints"
KEPT = 2
PROGRESS = "progress.json"
# Key of the progress: how many processes wrote the checkpoint.
PROCESSES = "processes"


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder of every whole checkpoint below ``folder``, in the order of the steps."""
    return {int(path.name.removeprefix("step-")): path for path in _folders(folder) if not _missing(path)}


def find_broken(folder: Path) -> dict[Path, str]:
    """Every checkpoint below ``folder`` that has its final name and is not whole -> name of a file that it lacks.

    Versions up to 0.2 could leave one without the random states of a process that was late.
    """
    missing = {path: _missing(path) for path in _folders(folder)}
    return {path: names[0] for path, names in missing.items() if names}


def _folders(folder: Path) -> list[Path]:
    # A half-written one ends in `.partial`.
    return sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8}", path.name))


def _missing(checkpoint: Path) -> list[str]:
    """Names of the files that a checkpoint lacks, among those by which it is known to be whole."""
    try:
        progress = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [PROGRESS]
    # Versions up to 0.2 did not keep the number of processes; there was at least one.
    return _missing_random_states(checkpoint, progress.get(PROCESSES, 1))


def _missing_random_states(checkpoint: Path, processes: int) -> list[str]:
    names = [f"{RNG_STATE_NAME}_{rank}.pkl" for rank in range(processes)]
    return [name for name in names if not (checkpoint / name).is_file()]


def save_checkpoint(accelerator: Accelerator, folder: Path, step: int, progress: dict[str, Any]) -> None:
    """Write the checkpoint of a step, whole or not at all, and remove all but the newest ``KEPT``.

    Args:
        accelerator: saves what it prepared; every process must call this.
        folder: where the checkpoints of the run lie.
        step: steps done.
        progress: JSON-able; :func:`load_checkpoint` gives it back.

    Raises:
        UserError: a process has written its part elsewhere, as on another machine's own disk.
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
        missing = _missing_random_states(aside, accelerator.num_processes)
        if missing:
            raise UserError(
                f"checkpoint {aside} lacks {missing[0]}, which another process has written elsewhere; give an "
                "--output-dir on a disk that all machines share"
            )
        kept = progress | {PROCESSES: accelerator.num_processes}
        (aside / PROGRESS).write_text(json.dumps(kept), encoding="utf-8")
        open_to_readers(aside)
        # One of this step can only be one that was not whole.
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)
        for old in list(find_checkpoints(folder).values())[:-KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, checkpoint: Path) -> dict[str, Any]:
    """Have what the accelerator prepared go on from a checkpoint; returns the progress that was saved with it.

    Another number of processes than wrote it may go on, and is told what that changes.
    """
    accelerator.load_state(str(checkpoint))
    progress = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
    written_by = progress.get(PROCESSES, len(list(checkpoint.glob(f"{RNG_STATE_NAME}_*.pkl"))))
    if accelerator.is_main_process and written_by != accelerator.num_processes:
        # Order and captions follow from seed and step alone, but dropout from the rank as well.
        logger.warning(
            "%s was written by %s process(es) and %s go on from it, each of which draws its own dropout: the losses "
            "will differ a little from those of a run that kept its processes",
            checkpoint,
            written_by,
            accelerator.num_processes,
        )
    return progress
