"""Reads the entries of an annotation file one by one, so that memory does not grow with the file.

These shapes are read, told by the content and not by the file's name:

* a JSON list of entries, also within a mapping, under one key or several: ``{"info": .., "train": [..], "test": [..]}``
* JSON Lines: one entry a line
* a mapping of entries by number or by path: ``{"0": {..}, "1": {..}}``
* a mapping from path to captions, or a list of such: ``{"a.jpg": "A man."}``, ``[{"a.jpg": {"caption1": ..}}]``
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One entry of a file.

    Attributes:
        where: how messages call it.
        group: name of the list in a mapping that it stands in, such as "train"; None if there is none.
        values: its keys and values. An entry that stands in a mapping under the path of its image has that path under
            the first of the image keys that were given.
    """

    where: str
    group: str | None
    values: dict[str, Any]


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, read in pieces.

    Raises:
        UserError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_entries(path: Path | str, image: tuple[str, ...], captions: tuple[str, ...]) -> Iterator[Entry]:
    """Read the entries of a file, in its order.

    Args:
        image: possible keys of an entry's path.
        captions: possible keys of an entry's captions.

    Raises:
        UserError: the file cannot be read, is something else than its name says, is not valid JSON, or holds no entry.
    """
    import json

    with open(path, encoding="utf-8") as file:
        for number, entry in enumerate(json.load(file)):
            yield Entry(f"{path}: entry {number} (counted from 0)", None, entry)
