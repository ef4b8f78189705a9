"""Optimizers, their parameter groups and their learning-rate schedules."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import get_scheduler

from modeling_unipt.common.user_errors import UserError, first_line
from unipt_train.engine.muon import Muon


def parameter_groups(
    named_parameters: Iterable[tuple[str, torch.nn.Parameter]],
    learning_rates: Mapping[str, float],
    default_rate: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Optimizer groups: rates by the beginning of a parameter's name; biases, norms and scalars do not decay.

    Args:
        named_parameters: (name, parameter).
        learning_rates: beginning of parameter names -> learning rate; the first that matches wins.
        default_rate: learning rate of the others.
        weight_decay: of matrices and tensors of more dimensions.
    """
    groups = {}
    for name, parameter in named_parameters:
        rate = next((rate for prefix, rate in learning_rates.items() if name.startswith(prefix)), default_rate)
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def build_optimizers(
    model: torch.nn.Module,
    learning_rates: Mapping[str, float],
    default_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    muon_learning_rate: float | None = None,
) -> list[torch.optim.Optimizer]:
    """One or two optimizers for the parameters that require gradients.

    AdamW trains everything. With ``muon_learning_rate``, Muon trains the matrices inside transformer layers, and AdamW
    the rest: embeddings, projections, heads and vectors.

    Args:
        model: what is trained.
        learning_rates, default_rate, weight_decay: see :func:`parameter_groups`; weight decay holds for Muon too.
        betas: of AdamW.
        muon_learning_rate: of Muon; None: no Muon.
    """
    by_muon = []
    by_adamw = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inside_a_layer = ".layer." in name or ".layers." in name
        if muon_learning_rate is not None and parameter.ndim == 2 and inside_a_layer:
            by_muon.append(parameter)
        else:
            by_adamw.append((name, parameter))
    groups = parameter_groups(by_adamw, learning_rates, default_rate, weight_decay)
    optimizers = [torch.optim.AdamW(groups, betas=betas)]
    if by_muon:
        optimizers.append(Muon(by_muon, lr=muon_learning_rate, weight_decay=weight_decay))
    return optimizers


def make_schedulers(
    optimizers: Sequence[torch.optim.Optimizer], name: str, warmup_ratio: float, max_steps: int
) -> list[torch.optim.lr_scheduler.LRScheduler]:
    """The learning-rate schedule of each optimizer.

    Args:
        optimizers: what is scheduled.
        name: of a schedule of transformers.
        warmup_ratio: share of the steps in which the rate rises.
        max_steps: steps until the schedule's end.

    Raises:
        UserError: transformers has no such schedule.
    """
    warmup = int(warmup_ratio * max_steps)
    try:
        return [get_scheduler(name, optimizer, warmup, max_steps) for optimizer in optimizers]
    except ValueError as error:
        raise UserError(f"--scheduler {name} cannot be used: {first_line(error)}") from None
