"""Reading the tensors of a checkpoint file without executing anything in it."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..common.stand_ins import refuse_stand_in
from ..common.user_errors import UserError, first_line
from .layouts import Tensors

# Lightning and IRRA save more than the weights, and put these under one of these keys.
CONTAINERS = ("state_dict", "model")
# Words in torch's messages about files that hold objects other than tensors.
SIGNS_OF_CODE = ("weights_only", "Unsupported", "TorchScript")


def read_tensors(path: Path | str) -> Tensors:
    """The tensors of a checkpoint by name; of a nested one, those of its ``state_dict`` or ``model``.

    Raises:
        UserError: the file cannot be read, could only be read by running code that comes with it, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist or is not a file")
    loaded = _load(path)
    for container in CONTAINERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(container), dict):
            loaded = loaded[container]
    tensors = {}
    if isinstance(loaded, dict):
        tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"checkpoint {path} holds no named tensors, so it is no state_dict of a model")
    return tensors


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # SafetensorError, UnpicklingError, RuntimeError, EOFError, BadZipFile and others.
        refuse_stand_in(path)
        if path.suffix != ".safetensors" and any(sign in str(error) for sign in SIGNS_OF_CODE):
            raise UserError(
                f"checkpoint {path} holds more than tensors, which only running code that comes with it would read, so "
                "it is refused; where it comes from a source you trust, save its state_dict alone and convert that"
            ) from None
        raise UserError(f"checkpoint {path} cannot be read: {first_line(error)}") from None
