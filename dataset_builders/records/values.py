"""The values of an entry of an annotation file, in the forms in which files of the field hold them."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from modeling_unipt.captions_unipt import normal_caption

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
# What pandas and str() write for a value that is missing.
_NO_IDS = ("", "nan", "none", "null")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]*)?")


@dataclass(frozen=True)
class Texts:
    """The captions of one value.

    Attributes:
        written: as they stand there; what is empty (null, NaN) is "".
        texts: in their normal form, without those that are blank.
    """

    written: list[str]
    texts: list[str]


def texts_of(value: Any) -> Texts | None:
    """The captions in a value: one text, a list of texts, or a mapping whose values are texts.

    Returns:
        None if the value is something else.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        value = [value]
    written = []
    for text in value:
        # pandas writes NaN for an empty cell.
        if text is None or (isinstance(text, float) and math.isnan(text)):
            written.append("")
        elif isinstance(text, str):
            written.append(text)
        else:
            return None
    normal = [normal_caption(text) for text in written]
    return Texts(written, [text for text in normal if text])


def person_of(value: Any) -> int | str | None:
    """A person's id: a whole number where the value is one (7, 7.0, "7", "0007"), else its text.

    Returns:
        None if the value is neither, or stands for one that is missing.
    """
    if isinstance(value, str):
        value = value.strip()
        # float() and int() would take "7_2" for a number, too.
        if not _NUMBER.fullmatch(value):
            return value if value.lower() not in _NO_IDS else None
        value = float(value) if "." in value else int(value)
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    # To Python True is a whole number, too. Parquet files hold 64 bits.
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return value if whole else None


def split_of(value: Any) -> str | None:
    """One of :data:`SPLITS`, or None if the value names none of them ("valid", "validation" and "dev" are "val")."""
    return _SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None


def path_of(value: Any) -> str | None:
    """The path of an image as written, or None if it is no text, or leaves the folder that it is relative to.

    It may be the absolute path of another computer; :class:`~.paths.ImageFolder` looks for it in the folder.
    """
    if not isinstance(value, str) or not value.strip():
        return None
    if ".." in value and ".." in value.replace("\\", "/").split("/"):
        return None
    # JSON can hold halves of surrogate pairs, and no file can.
    return value.encode("utf-8", "replace").decode()


def as_type(value: Any, kind: Any) -> Any:
    """A value as a column's type wants it; None stays None.

    Where a list of structs is wanted, lists within the list are joined. Where a list is wanted, a single value becomes
    one; where a list of lists is wanted, so does a plain list. Where a struct is wanted, a text names its values in
    their order, with commas between; if their number is another, none of them is known.

    Args:
        kind: the type, as :mod:`dataset_builders.output.parquet_dataset` writes it.

    Raises:
        ValueError: the value cannot be had in this type.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(kind, list):
        if isinstance(kind[0], list) and isinstance(value, list):
            # An empty list has no inner list, and stays so.
            value = [value] if value and not any(isinstance(each, list) for each in value) else value
        return [as_type(each, kind[0]) for each in _elements(value, kind[0])]
    if isinstance(kind, dict):
        # SYNTH-PEDES writes its attributes as a list of one such text.
        text = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(text, str):
            parts = [part.strip() for part in text.split(",")]
            value = dict(zip(kind, parts, strict=True)) if len(parts) == len(kind) else {}
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no mapping")
        return {key: as_type(value.get(key), inner) for key, inner in kind.items()}
    if kind == "string":
        return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace").decode()
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value
    if kind in ("float32", "float64"):
        return float(value)
    number = float(value)
    if not number.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _elements(value: Any, kind: Any) -> list[Any]:
    """The elements of a list whose own type is ``kind``."""
    values = value if isinstance(value, list) else [value]
    if isinstance(kind, dict) and any(isinstance(each, str) for each in values):
        raise ValueError(f"{value!r} holds a text where a mapping should be")
    if isinstance(kind, dict) and any(isinstance(each, list) for each in values):
        return [inner for each in values for inner in _elements(each, kind)]
    return values
