"""In which number format a model embeds: what the option ``--dtype`` means."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .common.number_formats import DTYPES
from .common.user_errors import UserError


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format of a name.

    Args:
        name: one of ``DTYPES``; "auto" is bfloat16 on a GPU that computes in it natively, and float32 elsewhere.
        device: where the model is.

    Raises:
        UserError: there is no such name.
    """
    if name not in DTYPES:
        raise UserError(f"dtype is {name!r}; it must be one of {', '.join(DTYPES)}")
    if name != "auto":
        return getattr(torch, name)
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_bfloat16 else torch.float32


@contextmanager
def computing_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Have the block compute matrix products in a number format. The weights stay as they are.

    Autocast instead of a model of the other format: the sums of a transformer's layers and its norms stay in float32,
    and the model can go on being trained, or be recognised by its weights. On a GPU float32 means TensorFloat-32, which
    keeps the range and rounds to 10 bits; convolutions do so by torch's own default.
    """
    if dtype != torch.float32:
        with torch.autocast(device.type, dtype=dtype):
            yield
    elif device.type == "cuda":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            # A training that is measured in between must go on computing as before.
            torch.set_float32_matmul_precision(before)
    else:
        yield
