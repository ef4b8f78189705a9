"""Muon (Jordan et al. 2024), which trains a matrix by its orthogonalised momentum.

The steps are those of `torch.optim.Muon`, except for their precision. That one always computes in bfloat16, which takes
some forty times as long as float32 on a CPU without instructions for it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.precision import has_bfloat16

# Of the odd polynomial a x + b x^3 + c x^5 that is iterated on the singular values: steep at 0, near 1 around 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# A matrix of zeros has norm 0, and must stay zero.
LEAST_NORM = 1e-7


def check_muon(learning_rate: float | None, precision: str, distributed_type: str) -> None:
    """Refuse a run in which Muon cannot train beside AdamW.

    Args:
        learning_rate: of Muon; None: it trains nothing.
        precision: what the run computes in, as Accelerate names it.
        distributed_type: how its processes share the work, as Accelerate names it.

    Raises:
        UserError: the run needs loss scaling, or shares matrices among processes.
    """
    if learning_rate is None:
        return
    if precision == "fp16":
        # Accelerate's loss scaling ends with the first optimizer's step. The second one would divide its gradients by
        # the scale once more.
        raise UserError(
            "--muon-learning-rate cannot be used in precision fp16, which --precision auto takes on GPUs without bf16: "
            "give --precision no, or leave Muon out"
        )
    if distributed_type == "FSDP":
        # A process has only some rows of each matrix, and Accelerate saves the optimizer i with the model i.
        raise UserError(
            "--muon-learning-rate cannot be used under FSDP, because Muon needs whole matrices: launch with DDP, or "
            "leave Muon out"
        )


def working_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on devices that have it natively, else float32, whatever the precision of the run."""
    return torch.bfloat16 if has_bfloat16(device.type) else torch.float32


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """(N, rows, columns): ``matrices`` with singular values brought to about 1 (0.7 to 1.2), their vectors kept.

    Returns:
        The same shape, in bfloat16 where that is native, else in float32.
    """
    a, b, c = COEFFICIENTS
    # The iteration multiplies a matrix by its own transpose; of the two possible squares the smaller one is cheaper.
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.to(working_dtype(matrices.device))
    wide = wide.mT if is_tall else wide
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    for _ in range(ITERATIONS):
        gram = wide @ wide.mT
        # b G + c G G, then a W + (b G + c G G) W, each in one kernel.
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        wide = torch.baddbmm(wide, polynomial, wide, beta=a)
    return wide.mT if is_tall else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Args:
        params: matrices (rows, columns), or groups of them; those of one shape are orthogonalised together.
        lr: step length of a square matrix; times sqrt(rows / columns) where that is more than 1.
        weight_decay: times ``lr``, the share of a matrix that each step takes away.
        momentum: share of the former momentum in the new one.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step, by the gradients that the matrices hold; a ``closure`` computes these and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for (rows, columns), matrices in alike.items():
                length = group["lr"] * math.sqrt(max(1, rows / columns))
                kept = 1 - group["lr"] * group["weight_decay"]
                steepest = torch.stack([self._direction(matrix, group["momentum"]) for matrix in matrices])
                for matrix, direction in zip(matrices, orthogonalise(steepest), strict=True):
                    matrix.mul_(kept).add_(direction, alpha=-length)
        return loss

    def _direction(self, matrix: torch.Tensor, momentum: float) -> torch.Tensor:
        """Nesterov's: the momentum that is due after the next step with the same gradient."""
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum_buffer"], momentum)
