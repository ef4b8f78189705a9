"""The values of an entry of an annotation file, in the forms in which files of the field hold them."""

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

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


@dataclass(frozen=True)
class Texts:
    """The captions of one value: those that say something, in their normal form, and how many were blank."""

    texts: list[str]
    blank: int


def texts_of(value: Any) -> Texts | None:
    """The captions in a value: one text, a list of texts, or a mapping whose values are texts.

    A blank text, null and NaN (which pandas writes for an empty cell) count as blank.

    Returns:
        None if the value is something else.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        value = [value]
    texts = []
    blank = 0
    for text in value:
        if text is None or (isinstance(text, float) and math.isnan(text)):
            blank += 1
        elif not isinstance(text, str):
            return None
        elif normal := _encodable(text).strip():
            texts.append(normal)
        else:
            blank += 1
    return Texts(texts, blank)


def _encodable(text: str) -> str:
    """``text`` without halves of surrogate pairs: JSON can hold them, and no file can."""
    return text.encode("utf-8", "replace").decode()


def person_of(value: Any) -> int | str | None:
    """A person's id: a whole number where the value is one (7, 7.0, "7", "0007"), else its text.

    Returns:
        None if the value is neither.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else None


def split_of(value: Any) -> str | None:
    """One of :data:`SPLITS`, or None if the value names none of them ("valid", "validation" and "dev" are "val")."""
    return _SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None


def path_of(value: Any) -> str | None:
    """The path of an image, as written, or None if it is no text or leaves the folder it is relative to."""
    if not isinstance(value, str) or not value.strip():
        return None
    text = _encodable(value.strip())
    path = PurePosixPath(text.replace("\\", "/"))
    return None if path.is_absolute() or ".." in path.parts else text
