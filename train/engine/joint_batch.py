"""A step whose losses compare all pairs of the global batch: those of every process, and of every chunk of a process.

The model makes *features*, tensors with one row a pair, of a chunk at a time. They are gathered from all processes, and
every process computes the losses of the whole. Gradients flow back to the process that made a feature. With more than
one chunk, features are first made without a graph, and each chunk is passed again with the gradient of the joint loss
at its features (GradCache, Gao et al. 2021): memory of a chunk, gradients of the whole batch.
"""

import contextlib

import torch
import torch.distributed as dist


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank() * ctx.rows :][: ctx.rows]


def gather_rows(rows):
    """(n, ...) of each process, n alike, to (processes * n, ...) of all, in the order of their ranks.

    Backward adds up what every process asks of a row. So if all compute the same loss of all rows and the gradients of
    parameters are then averaged over the processes, as DDP and FSDP do, they are those of one process with all rows.
    """
    return _Gather.apply(rows) if dist.is_initialized() and dist.get_world_size() > 1 else rows


def split_rows(batch, size):
    """A dict of tensors of N rows to a list of dicts of at most ``size`` rows each; 0: all in one."""
    count = len(next(iter(batch.values())))
    size = size or count
    return [{name: rows[at : at + size] for name, rows in batch.items()} for at in range(0, count, size)]


def joint_backward(accelerator, objective, batch, chunk_size=0, seed=None):
    """Losses of the global batch; their gradients are added to the parameters.

    Args:
        objective: a prepared module as :class:`unipt_train.objectives.pretraining.PretrainingObjective`: ``objective(**inputs)`` gives features,
            and its ``losses`` and ``targets`` what they are compared with.
        batch: this process's share, tensors of n rows; n must be the same in all processes.
        chunk_size: rows of one forward pass; 0: all n.
        seed: of dropout, so that both passes of a chunk drop alike.
    Returns:
        Dict of scalar tensors, the same in all processes.
    """
    bare = accelerator.unwrap_model(objective)
    targets = {name: gather_rows(rows) for name, rows in bare.targets(batch).items()}
    chunks = split_rows(bare.inputs(batch), chunk_size)

    def features_of(number):
        if seed is not None:
            torch.manual_seed(seed + number * accelerator.num_processes)
        return objective(**chunks[number])

    if len(chunks) == 1:
        losses = bare.losses({name: gather_rows(rows) for name, rows in features_of(0).items()}, targets)
        accelerator.backward(losses["loss"])
        return losses
    with torch.no_grad():
        passed = [features_of(number) for number in range(len(chunks))]
    cached = {name: torch.cat([features[name] for features in passed]).requires_grad_() for name in passed[0]}
    losses = bare.losses({name: gather_rows(rows) for name, rows in cached.items()}, targets)
    gradients = dict(zip(cached, torch.autograd.grad(losses["loss"], list(cached.values())), strict=True))
    for number, parts in enumerate(split_rows(gradients, chunk_size)):
        last = number == len(chunks) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(objective):
            features = features_of(number)
            accelerator.backward(sum((features[name] * part).sum() for name, part in parts.items()))
    return losses
