"""From a claimed output folder to a finished one: settings, tracker, weights, log and curve."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel

from modeling_unipt.common.atomic_files import write_json
from modeling_unipt.common.output_folders import finish_output, held_output
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.engine.checkpoints import CHECKPOINTS
from unipt_train.engine.progress import LogLine
from unipt_train.engine.run_arguments import TRACKING

logger = logging.getLogger(__name__)
LOG = "training_log.json"
CURVE = "loss_curve.png"


@contextmanager
def claim_output(
    accelerator: Accelerator, output: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[Path | None]:
    """Claim ``output`` for a run, once for all processes; an unfinished run of the same settings is gone on with.

    The first process holds the lock of the work folder while the block runs, so another run cannot write there.

    Args:
        accelerator: of the run.
        output, settings, defaults: see :func:`modeling_unipt.common.output_folders.held_output`.

    Yields:
        The work folder, or None if ``output`` is complete; the same in every process.

    Raises:
        UserError: as ``held_output``, in every process.
    """
    folder = None
    refusal = None
    with ExitStack() as stack:
        if accelerator.is_main_process:
            try:
                folder = stack.enter_context(held_output(output, settings, defaults))
            except UserError as error:
                refusal = error
        if accelerator.num_processes > 1:
            folder, refusal = broadcast_object_list([folder, refusal])
        if refusal is not None:
            raise refusal
        yield folder


def start_tracking(accelerator: Accelerator, folder: Path) -> None:
    """Have the tracker of the accelerator begin; one that writes files does so in the sub-folder ``TRACKING``."""
    accelerator.project_configuration.logging_dir = str(folder)
    if accelerator.log_with:
        accelerator.init_trackers(TRACKING)


def save_result(
    accelerator: Accelerator,
    trained: torch.nn.Module,
    model: PreTrainedModel,
    processor: UniPTProcessor,
    log: list[LogLine],
    title: str,
    folder: Path,
    output: str,
) -> None:
    """Write model, processor, log and curve into ``folder``, drop its checkpoints and rename it to ``output``.

    Args:
        accelerator: of the run; every process must call this.
        trained: the prepared objective; under FSDP its weights are in pieces.
        model: the objective's ``model``, which is saved without the objective's own parts.
        processor: is saved beside it.
        log: what :func:`unipt_train.engine.loop.run_training` returned.
        title: of the curve.
        folder: the work folder.
        output: the folder that the user asked for.
    """
    # Under FSDP the pieces come from all processes, so all of them must ask.
    weights = accelerator.get_state_dict(trained)
    if accelerator.is_main_process:
        own = {}
        for name, value in weights.items():
            plain_name = name.removeprefix("_orig_mod.")  # of torch.compile
            if plain_name.startswith("model."):
                own[plain_name.removeprefix("model.")] = value
        model.save_pretrained(folder, state_dict=own)
        processor.save_pretrained(folder)
        write_log(log, folder, title)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        finish_output(folder, output)
        logger.info("wrote %s", output)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def write_log(log: list[LogLine], folder: Path, title: str) -> None:
    """Write the log as JSON and, if it has any line, draw its losses as a curve."""
    write_json(folder / LOG, log, indent=1)
    if not log:
        return
    import matplotlib

    matplotlib.use("Agg")  # draws without a display
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    steps = [line["step"] for line in log]
    for name in log[0]:
        if name.endswith("loss"):
            axes.plot(steps, [line[name] for line in log], label=name.replace("_", " "))
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / CURVE, dpi=120)
    plt.close(figure)
