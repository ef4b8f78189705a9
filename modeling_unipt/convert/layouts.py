"""What the layouts of all projects share: the result, and a reader that keeps account of a checkpoint's tensors.

The layouts themselves stand in a file each: authors.py and clip.py. No real checkpoint was at hand when they were
written; they are those of the published code. What the tensors do not tell is assumed, and each function names its
assumptions.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..common.user_errors import UserError
from ..configuration_unipt import UniPTConfig

# CLIP and ViT-B of every size have heads of 64 numbers, and no tensor tells the number of heads.
HEAD_SIZE = 64
NAMES_SHOWN = 8
# Grids of positions that are known: square ones, and three times as high as wide, as for images of 384 x 128.
GRID_RATIOS = (1, 3)

Tensors = dict[str, torch.Tensor]


@dataclass
class Layout:
    """A checkpoint read as UniPT.

    Attributes:
        config: configuration of the model to be made.
        weights: tensors under the names of a `UniPTModel`, or of a `UniPTForPreTraining` when one of them is
            "mlm_head.dense.weight".
        left_out: names in the checkpoint that the layout knows and UniPT does not need.
        unknown: names in the checkpoint that the layout does not know.
        preprocessing: arguments of `UniPTImageProcessor`.
        tokenizer: Hub name of the tokenizer that the text encoder was trained with.
        caption_form: in which form the project's code gave texts to its tokenizer; see `UniPTProcessor`.
    """

    config: UniPTConfig
    weights: Tensors
    left_out: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    caption_form: str = "normal"

    @property
    def has_mlm_head(self) -> bool:
        """Whether the weights are those of a `UniPTForPreTraining`."""
        return "mlm_head.dense.weight" in self.weights


class Reader:
    """Takes tensors out of a checkpoint by name. It remembers which were taken and which are missing.

    A missing tensor is read as an empty one, so that all missing names can be told at once by :meth:`check`.

    Attributes:
        state: the checkpoint's tensors by name.
        taken: names that were asked for.
        missing: names that were asked for and are not there.
    """

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        # torch's DataParallel puts "module." before every name.
        self.state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        self.taken: set[str] = set()
        self.missing: list[str] = []

    def take(self, name: str) -> torch.Tensor:
        """The tensor of that name, in float32; an empty one if it is missing."""
        self.taken.add(name)
        if name in self.state:
            return self.state[name].float()
        self.missing.append(name)
        return torch.zeros(0)

    def take_pair(self, source: str, target: str) -> Tensors:
        """The weight and the bias of module ``source``, under the name of module ``target``."""
        return {f"{target}.{kind}": self.take(f"{source}.{kind}") for kind in ("weight", "bias")}

    def take_pairs(self, source: str, target: str, names: Mapping[str, str]) -> Tensors:
        """Like :meth:`take_pair` for several modules in ``source``, by their names there and in ``target``."""
        weights = {}
        for theirs, ours in names.items():
            weights |= self.take_pair(f"{source}.{theirs}", f"{target}.{ours}")
        return weights

    def take_qkv(self, name: str, target: str, kind: str) -> Tensors:
        """One tensor that holds query, key and value, as three tensors of the attention ``target``.

        Args:
            kind: "weight" or "bias".
        """
        weights = {}
        # Not strict: a missing tensor is empty and has one part instead of three.
        for part, tensor in zip("qkv", self.take(name).chunk(3), strict=False):
            weights[f"{target}.{part}_proj.{kind}"] = tensor
        return weights

    def count_layers(self, blocks: str) -> int:
        """How many layers the checkpoint holds under ``blocks``, as ``transformer.blocks``. None counts as missing."""
        numbers = []
        for name in self.state:
            match = re.match(re.escape(blocks) + r"\.(\d+)\.", name)
            if match:
                numbers.append(int(match[1]))
        if not numbers:
            self.missing.append(f"{blocks}.0.*")
            return 0
        return 1 + max(numbers)

    def rest(self, known: Iterable[str]) -> tuple[list[str], list[str]]:
        """The names that were not taken, in two lists: those that match a pattern of ``known``, and the others."""
        known = list(known)
        left_out = []
        unknown = []
        for name in self.state:
            if name in self.taken:
                continue
            is_known = any(re.match(pattern, name) for pattern in known)
            (left_out if is_known else unknown).append(name)
        return left_out, unknown

    def check(self, what: str) -> None:
        """Refuse a checkpoint from which a tensor is missing.

        Args:
            what: what the checkpoint should be, for the message.

        Raises:
            UserError: a tensor is missing.
        """
        if self.missing:
            raise UserError(
                f"this is not {what}, or not all of it: {len(self.missing)} tensors are missing: "
                f"{shown(self.missing)}; it holds {shown(self.state)}"
            )


def shown(names: Iterable[str]) -> str:
    """The first names as text, and how many more there are."""
    names = list(names)
    text = ", ".join(names[:NAMES_SHOWN]) or "nothing"
    if len(names) > NAMES_SHOWN:
        text += f" and {len(names) - NAMES_SHOWN} more"
    return text


def grid_of(patches: int) -> tuple[int, int]:
    """(rows, columns) of a number of patches: a square, or three times as high as wide.

    Raises:
        UserError: the number is neither.
    """
    for ratio in GRID_RATIOS:
        columns = round((patches / ratio) ** 0.5)
        if ratio * columns * columns == patches and columns:
            return ratio * columns, columns
    raise UserError(
        f"the checkpoint has positions for {patches} patches, neither a square nor three times as high as wide; it may "
        "use overlapping patches, which are not supported"
    )
