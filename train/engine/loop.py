"""The loop that pre-training and fine-tuning share: steps, log, checkpoints, exact resume."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from modeling_unipt.common.user_errors import UserError
from unipt_train.data.batches import Collator, EpochBatches
from unipt_train.data.pairs import Samples
from unipt_train.engine.checkpoints import CHECKPOINTS, find_checkpoints
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.engine.launching import check_shares
from unipt_train.engine.progress import LogLine, Progress
from unipt_train.engine.workers import WorkerStart
from unipt_train.objectives.base import Objective, Tensors

logger = logging.getLogger(__name__)
IDS_TOLD = 8


@dataclass(frozen=True)
class LoopOptions:
    """How long and in what portions to train; the fields are options of train/pretrain.py and described there."""

    max_steps: int
    batch_size: int
    seed: int
    save_steps: int
    log_steps: int
    chunk_size: int
    max_grad_norm: float
    num_workers: int


def run_training(
    accelerator: Accelerator,
    objective: Objective,
    optimizers: Sequence[torch.optim.Optimizer],
    schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler],
    dataset: Samples,
    collator: Collator,
    options: LoopOptions,
    folder: Path,
    after_step: Callable[[int, torch.nn.Module], dict[str, float] | None] | None = None,
    make_batches: Callable[[int, int, int, int, int], EpochBatches] = EpochBatches,
) -> tuple[torch.nn.Module, list[LogLine]]:
    """Train for ``options.max_steps`` steps; go on from the newest whole checkpoint below ``folder`` if there is one.

    Args:
        accelerator: shares the work among processes.
        objective: what is trained, and by which losses; all of these are logged.
        optimizers: of the objective's parameters.
        schedulers: one for each optimizer.
        dataset: the samples.
        collator: makes batches of them.
        options: how long and in what portions.
        folder: the work folder; checkpoints go to ``folder/checkpoints``.
        after_step: is called with the number of steps done and the prepared objective; returns numbers to log, or None.
        make_batches: as the constructor of `EpochBatches`: (size, batch size, seed, first step, number of steps).

    Returns:
        (the prepared objective, the log, see :class:`unipt_train.engine.progress.Progress`).

    Raises:
        UserError: the batch cannot be shared evenly, the loss is no longer finite, or the memory of a GPU does not
            suffice. The checkpoints stay.
    """
    check_shares(min(options.batch_size, len(dataset)), accelerator.num_processes)
    bare = objective
    prepared = accelerator.prepare(objective, *optimizers, *schedulers)
    objective = prepared[0]
    optimizers = prepared[1 : 1 + len(optimizers)]
    schedulers = prepared[1 + len(optimizers) :]
    checkpoints = Path(folder) / CHECKPOINTS
    progress = Progress(accelerator, checkpoints)
    # Also before the first step: the weights come from a model or a checkpoint that may lie beyond the bounds.
    bare.keep_in_bounds()
    rated = _group_to_log(optimizers[0])
    batches = make_batches(len(dataset), options.batch_size, options.seed, progress.step, options.max_steps)
    start_worker = WorkerStart(
        batches, accelerator.process_index, accelerator.num_processes, accelerator.device.type == "cpu"
    )
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collator,
        num_workers=options.num_workers,
        worker_init_fn=start_worker,
    )
    if not options.num_workers:
        start_worker.tell(dataset, 0, 1)
    objective.train()
    bar = tqdm(total=options.max_steps, initial=progress.step, unit="step", disable=not accelerator.is_main_process)
    last_loss = None
    for batch in accelerator.prepare(loader):
        # Dropout and drawn negatives follow from the step alone, so that a resumed run repeats an uninterrupted one.
        # The factors keep apart what different seeds, steps and processes draw from.
        seed = (options.seed * 1_000_003 + progress.step) * 1_009 + accelerator.process_index
        torch.manual_seed(seed)
        truncated = batch.pop("truncated").sum() if "truncated" in batch else 0
        try:
            losses = _step(accelerator, objective, optimizers, schedulers, batch, options, seed)
        except torch.OutOfMemoryError:
            raise _out_of_memory(progress.step + 1, options.chunk_size) from None
        bare.keep_in_bounds()
        # Looked at a step later, when it is there: waiting for it would leave a GPU idle.
        if last_loss is not None:
            _check_finite(float(last_loss), progress.step, dataset, batches, checkpoints)
        progress.add(losses, truncated)
        last_loss = losses["loss"].detach()
        bar.update()

        step = progress.step
        is_last = step == options.max_steps
        saves = options.save_steps and step % options.save_steps == 0 and not is_last
        measured = None
        if after_step:
            measured = progress.untimed(lambda: after_step(progress.step, objective))
        logs = step % options.log_steps == 0 or is_last or measured
        if saves or logs:
            # What is kept must be good, so here the loss of this very step is waited for.
            _check_finite(float(last_loss), step, dataset, batches, checkpoints)
        if logs:
            line = progress.add_line(batches.batch_size, schedulers[0].get_last_lr()[rated], measured or {})
            accelerator.log(line, step=step)
            bar.set_postfix({name: f"{line[name]:.3f}" for name in losses})
        if saves:
            progress.save()
    bar.close()
    truncated = progress.truncated_everywhere()
    if truncated and accelerator.is_main_process:
        seen = progress.step * batches.batch_size
        logger.info("%s of %s captions were longer than the model reads and were truncated", truncated, seen)
    return objective, progress.log


def _step(
    accelerator: Accelerator,
    objective: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler],
    batch: Tensors,
    options: LoopOptions,
    seed: int,
) -> Tensors:
    """One step of training; returns its losses."""
    losses = joint_backward(accelerator, objective, batch, options.chunk_size, seed)
    if options.max_grad_norm:
        accelerator.clip_grad_norm_(objective.parameters(), options.max_grad_norm)
    for part in (*optimizers, *schedulers):
        part.step()
    for optimizer in optimizers:
        optimizer.zero_grad()
    return losses


def _group_to_log(optimizer: torch.optim.Optimizer) -> int:
    """The first group that holds a matrix: a single number, such as the logit scale, may have a rate of its own."""
    for number, group in enumerate(optimizer.param_groups):
        if any(parameter.ndim >= 2 for parameter in group["params"]):
            return number
    return 0


def _check_finite(loss: float, step: int, dataset: Samples, batches: EpochBatches, checkpoints: Path) -> None:
    """Raise a UserError if the loss of a step, counted from 1, is not a finite number."""
    if math.isfinite(loss):
        return
    ids = [dataset.name_of(index) for _, index in batches.keys_of(step - 1)]
    named = ", ".join(ids[:IDS_TOLD])
    if len(ids) > IDS_TOLD:
        named += f" and {len(ids) - IDS_TOLD} more"
    kept = "no checkpoint was written before"
    for checkpoint in find_checkpoints(checkpoints).values():
        kept = f"the last good checkpoint is {checkpoint}"
    raise UserError(
        f"the loss became {loss} at step {step}, on the batch of images {named}; {kept}; look at these images, lower "
        "the learning rate or set --precision no"
    )


def _out_of_memory(step: int, chunk_size: int) -> UserError:
    """The error for an accelerator that has not the memory for a step, counted from 1."""
    return UserError(
        f"out of GPU memory at step {step}: lower --chunk-size (now {chunk_size or 'the whole batch'}): the losses "
        "stay those of the batch; or set --gradient-checkpointing true or --precision bf16; then run the command "
        "again: it goes on from its last checkpoint"
    )
