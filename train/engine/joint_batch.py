"""A step whose losses compare all pairs of the global batch: those of every process, and of every chunk of a process.

The objective makes *features*, tensors with one row for each pair, of a chunk at a time. They are gathered from all
processes, and every process computes the losses of the whole. Gradients flow back to the process that made a feature.
With more than one chunk, features are first made without a graph, and each chunk is passed again with the gradient of
the joint loss at its features (GradCache, Gao et al. 2021): memory of a chunk, gradients of the whole batch.
"""

import contextlib

import torch
import torch.distributed as dist
from accelerate import Accelerator

from unipt_train.objectives.base import Tensors


class _Gather(torch.autograd.Function):
    """`all_gather` has no gradient of its own: its output holds the rows of others as constants."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: torch.Tensor) -> torch.Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        own = dist.get_rank() * ctx.rows
        return gradient[own : own + ctx.rows]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """(n, ...) of each process, n alike, to (processes * n, ...) of all, in the order of their ranks.

    Backward adds up what every process asks of a row. So if all compute the same loss of all rows and the gradients of
    parameters are then averaged over the processes, as DDP and FSDP do, they are those of one process with all rows.
    """
    return _Gather.apply(rows) if dist.is_initialized() and dist.get_world_size() > 1 else rows


def _gathered(tensors: Tensors) -> Tensors:
    return {name: gather_rows(rows) for name, rows in tensors.items()}


def split_rows(batch: Tensors, size: int) -> list[Tensors]:
    """A dict of tensors of N rows to a list of dicts of at most ``size`` rows each; 0: all in one."""
    count = len(next(iter(batch.values())))
    size = size or count
    return [{name: rows[start : start + size] for name, rows in batch.items()} for start in range(0, count, size)]


def joint_backward(
    accelerator: Accelerator,
    objective: torch.nn.Module,
    batch: Tensors,
    chunk_size: int = 0,
    seed: int | None = None,
) -> Tensors:
    """Compute the losses of the global batch, and add their gradients to those of the parameters.

    Args:
        accelerator: the one that prepared the objective.
        objective: a prepared :class:`unipt_train.objectives.base.Objective`.
        batch: this process's share, tensors of n rows; n must be the same in all processes.
        chunk_size: rows of one forward pass; 0: all n.
        seed: of dropout, so that both passes of a chunk drop alike.

    Returns:
        What the objective's ``losses`` returns, the same in all processes.
    """
    # By default unwrapping a compiled model takes DDP out of it for good, and with it no_sync.
    bare = accelerator.unwrap_model(objective, keep_torch_compile=False)
    targets = _gathered(bare.targets(batch))
    chunks = split_rows(bare.inputs(batch), chunk_size)

    def features_of(number: int) -> Tensors:
        if seed is not None:
            # Seeds of the processes are consecutive numbers, so chunks go on by their count: none drops as another.
            torch.manual_seed(seed + number * accelerator.num_processes)
        return objective(**chunks[number])

    if len(chunks) == 1:
        losses = bare.losses(_gathered(features_of(0)), targets)
        accelerator.backward(losses["loss"])
        return losses
    with torch.no_grad():
        passed = [features_of(number) for number in range(len(chunks))]
    cached = {name: torch.cat([features[name] for features in passed]).requires_grad_() for name in passed[0]}
    losses = bare.losses(_gathered(cached), targets)
    gradients = dict(zip(cached, torch.autograd.grad(losses["loss"], list(cached.values())), strict=True))
    for number, wanted in enumerate(split_rows(gradients, chunk_size)):
        # Processes average their gradients once, with the last chunk.
        is_last = number == len(chunks) - 1
        with contextlib.nullcontext() if is_last else accelerator.no_sync(objective):
            features = features_of(number)
            # The gradient of this product at the features is what the joint loss wants there.
            accelerator.backward(sum((features[name] * gradient).sum() for name, gradient in wanted.items()))
    return losses
