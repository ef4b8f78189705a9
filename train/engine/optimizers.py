"""Optimizers, their parameter groups and their learning-rate schedules."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import get_scheduler

from modeling_unipt.common.user_errors import UserError, first_line
from unipt_train.engine.muon import Muon


def matrix_names(model: torch.nn.Module) -> set[str]:
    """Names of the parameters by which a layer multiplies: weights of linear layers, convolutions and word embeddings.

    These alone decay. The others say where something lies or what it starts from, or scale and shift it: class, mask
    and register tokens, prototypes, positions, tables of relative positions, norms, biases, the logit scale.

    Layers of every family of encoders call their matrices ``weight`` (attention of torch ``in_proj_weight``), and keep
    tokens, positions and tables under names of their own. Only positions that are looked up in an `Embedding` are
    called ``weight`` too; there the name of the embedding tells.
    """
    names = set()
    for path, module in model.named_modules():
        own_name = path.rpartition(".")[2]
        if isinstance(module, torch.nn.Embedding) and ("position" in own_name or "relative" in own_name):
            continue
        for name, parameter in module.named_parameters(path, recurse=False):
            if parameter.ndim >= 2 and name.endswith("weight"):
                names.add(name)
    return names


def parameter_groups(
    named_parameters: Iterable[tuple[str, torch.nn.Parameter]],
    learning_rates: Mapping[str, float],
    default_rate: float,
    weight_decay: float,
    decaying: Container[str],
) -> list[dict[str, Any]]:
    """Optimizer groups, by learning rate and weight decay.

    Args:
        named_parameters: (name, parameter).
        learning_rates: beginning of parameter names -> learning rate; the first that matches wins.
        default_rate: learning rate of the others.
        weight_decay: of the parameters in ``decaying``.
        decaying: names of the parameters that decay.
    """
    groups = {}
    for name, parameter in named_parameters:
        rate = next((rate for prefix, rate in learning_rates.items() if name.startswith(prefix)), default_rate)
        decay = weight_decay if name in decaying else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def build_optimizers(
    model: torch.nn.Module,
    learning_rates: Mapping[str, float],
    default_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    muon_learning_rate: float | None = None,
    decay_positions: bool = False,
) -> list[torch.optim.Optimizer]:
    """One or two optimizers for the parameters that require gradients.

    AdamW trains everything. With ``muon_learning_rate``, Muon trains the matrices inside transformer layers, and AdamW
    the rest: embeddings, projections, heads and vectors.

    Args:
        model: what is trained.
        learning_rates, default_rate: see :func:`parameter_groups`.
        weight_decay: of what :func:`matrix_names` names; it holds for Muon too.
        betas: of AdamW.
        muon_learning_rate: of Muon; None: no Muon.
        decay_positions: whether all else of two and more dimensions decays too, such as tokens and positions.
    """
    matrices = matrix_names(model)
    decaying = matrices
    if decay_positions:
        decaying = {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}
    by_muon = []
    by_adamw = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inside_a_layer = ".layer." in name or ".layers." in name
        if muon_learning_rate is not None and parameter.ndim == 2 and name in matrices and inside_a_layer:
            by_muon.append(parameter)
        else:
            by_adamw.append((name, parameter))
    groups = parameter_groups(by_adamw, learning_rates, default_rate, weight_decay, decaying)
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
