"""Muon (Jordan et al. 2024), which trains a matrix by its orthogonalised momentum.

The steps of `torch.optim.Muon`, but for their precision: that one always computes in bfloat16, which takes some forty
times as long as float32 on a CPU without instructions for it.
"""

import math

import torch

from unipt_train.engine.precision import has_native_bfloat16

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the odd quintic that is iterated: steep at 0, near 1 around 1
ITERATIONS = 5


def orthogonalise(matrices):
    """(N, rows, columns): ``matrices`` with singular values brought to about 1 (0.7 to 1.2), their vectors kept."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.to(torch.bfloat16 if has_native_bfloat16(matrices.device.type) else torch.float32)
    wide = wide.mT if tall else wide
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if tall else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Args:
        params: matrices (rows, columns), or groups of them; those of a shape are orthogonalised together.
        lr: step length of a square matrix; times sqrt(rows / columns) where that is more than 1.
    """

    def __init__(self, params, lr, weight_decay, momentum=0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One step, by the gradients that the matrices hold."""
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
                directions = orthogonalise(torch.stack([self._direction(m, group["momentum"]) for m in matrices]))
                for matrix, direction in zip(matrices, directions, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-length)
        return loss

    def _direction(self, matrix, momentum):
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum_buffer"], momentum)
