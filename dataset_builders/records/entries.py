"""Reads the entries of an annotation file one by one, so that memory does not grow with the file.

These shapes are told by the content, and not by the file's name:

* a JSON list of entries, also within a mapping, under one key or several: ``{"info": .., "train": [..], "test": [..]}``
* JSON Lines: one entry a line
* a mapping of entries by number or by path: ``{"0": {..}, "1": {..}}``
* a mapping from path to captions, or a list of such: ``{"a.jpg": "A man."}``, ``[{"a.jpg": {"caption1": ..}}]``
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import ijson

from modeling_unipt.common.image_formats import IMAGE_SUFFIXES
from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError, first_line

from .json_files import (
    Elements,
    first_character,
    is_json_lines,
    is_list_of_mappings,
    loaded_elements,
    opened_as_utf8,
    streamed_elements,
)

# So many remarks on a file ("info", "version") at most stand before its entries.
_MOST_REMARKS = 100
# A list has an entry among so many of its first elements, or it is a list of something else.
_FIRST_ENTRIES = 10


@dataclass(frozen=True)
class Keys:
    """The keys by which an entry is told: possible keys of its path, and of its captions."""

    image: tuple[str, ...]
    captions: tuple[str, ...]


class Unreadable(str):
    """Why an entry cannot be read, in place of its values: who reads on may reject that entry alone."""


@dataclass(frozen=True)
class Entry:
    """One entry of a file.

    Attributes:
        where: how messages call it.
        number: its position in the file, from 0.
        group: name of the list in a mapping that it stands in, such as "train"; None if there is none.
        values: its keys and values, not checked: a wrong file may hold something else than a mapping. What stands in a
            mapping under the path of its image has that path under the first of the possible keys.
    """

    where: str
    number: int
    group: str | None
    values: Any


def read_entries(path: Path | str, keys: Keys, broken_lines: bool = False) -> Iterator[Entry]:
    """Read the entries of a file, in its order.

    Args:
        broken_lines: whether a line of JSON Lines that is no JSON is an entry that is :class:`Unreadable`, so that the
            next one can be read; else it is an error.

    Raises:
        UserError: the file cannot be read, is something else than its name says, is not valid JSON, or holds no entry.
    """
    refuse_stand_in(path)
    found = _lines(path, keys) if is_json_lines(path) else _document(path, keys)
    number = -1
    for number, (where, group, values) in enumerate(found):
        if isinstance(values, Unreadable) and not broken_lines:
            raise UserError(f"{path}: {where} {values}")
        yield Entry(f"{path}: {where}", number, group, values)
    if number < 0:
        entry = ", ".join([keys.image[0], *keys.captions[:1]])
        raise UserError(
            f"{path} holds no entry; it must be a JSON list of {{{entry}}} that is not empty, JSON Lines, or a mapping"
        )


def _lines(path: Path | str, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    with opened_as_utf8(path) as file:
        for number, line in enumerate(iter(file.readline, b""), start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as error:
                values = Unreadable(f"is not valid JSON ({first_line(error)})")
            yield from _unfolded(f"line {number}", None, values, keys)


def _document(path: Path | str, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    """The entries of a file that is one JSON document."""
    with opened_as_utf8(path) as file:
        begins = first_character(file)
    read = 0
    try:
        with opened_as_utf8(path) as file:
            found = _entries_of(begins, streamed_elements(file, begins), keys)
            for entry in found:
                read += 1
                yield entry
    except ijson.JSONError as error:
        # This class stands for any mistake; only the message tells.
        if "premature EOF" in str(error) or "Incomplete" in str(error):
            raise UserError(
                f"{path} is not valid JSON: it ends too early, as a download that was cut off does; get it anew"
            ) from None
        # Python's own reader tells where the mistake is, and takes NaN and long numbers, which are not JSON.
        found = _entries_of(begins, loaded_elements(path), keys)
        yield from itertools.islice(found, read, None)


def _entries_of(begins: bytes, pairs: Elements, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    """The entries among the elements of a document: where, group, values."""
    if begins != b"{":
        for number, values in pairs:
            yield from _unfolded(f"entry {number} (counted from 0)", None, values, keys)
        return
    # What is not known yet to be an entry: it may be a remark on the file, or a part of the file's only entry.
    held: list[tuple[str, Any]] = []
    # Of a list of something else, such as "categories": told if there is no list of entries.
    strange: list[tuple[str, str | None, Any]] = []
    lists_found = False
    entries_found = False
    for key, value in pairs:
        lists = [] if entries_found else _lists_in(key, value, keys)
        for name, values in lists:
            first = list(itertools.islice(values, _FIRST_ENTRIES))
            if _is_image_name(name) or any(_is_entry(each, keys) or _are_of_paths(each, keys) for each in first):
                lists_found = True
                yield from _listed(name, itertools.chain(first, values), keys)
            else:
                strange = strange or list(_listed(name, first, keys))
        if lists or lists_found or value == []:
            continue
        held.append((key, value))
        entries_found = entries_found or _is_image_name(key) or _is_entry(value, keys) or len(held) > _MOST_REMARKS
        if entries_found:
            yield from _of_mapping(held, keys)
            held = []
    if not lists_found and not entries_found:
        yield from strange
    if held and not lists_found and not strange:
        yield from _of_mapping(
            [("the only one", _alone(dict(held), keys))] if _is_entry(dict(held), keys) else held, keys
        )


def _alone(values: dict[str, Any], keys: Keys) -> dict[str, Any] | Unreadable:
    """The only entry of a file, unless it is what pandas writes if it is not told otherwise: columns."""
    paths = [value for key, value in values.items() if key in keys.image]
    if isinstance(paths[0], str):
        return values
    return Unreadable("holds columns and no entries; pandas writes entries with to_json(orient='records')")


def _lists_in(key: str, value: Any, keys: Keys) -> list[tuple[str, Iterator[Any]]]:
    """The lists of entries that an element of a mapping is, or holds one floor below, with their names."""
    if isinstance(value, Iterator):
        return [(key, value)]
    if not isinstance(value, dict) or _is_entry(value, keys) or _is_image_name(key):
        return []
    return [(name, iter(inner)) for name, inner in value.items() if is_list_of_mappings(inner)]


def _listed(name: str, values: Iterable[Any], keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    for number, value in enumerate(values):
        where = f"entry {number} of '{name}' (counted from 0)"
        if _is_image_name(name):
            yield where, None, _with_path(name, value, keys)
        else:
            yield from _unfolded(where, name, value, keys)


def _of_mapping(pairs: Iterable[tuple[str, Any]], keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    """Entries that stand under a number or the path of their image."""
    for key, value in pairs:
        for each in value if isinstance(value, Iterator) else [value]:
            yield f"entry '{key}'", None, _with_path(key, each, keys)


def _unfolded(where: str, group: str | None, values: Any, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    """An element of a list: an entry, or a mapping from paths to captions."""
    if not _is_entry(values, keys) and _are_of_paths(values, keys):
        for key, value in values.items():
            yield where, group, _with_path(key, value, keys)
    else:
        yield where, group, values


def _with_path(key: str, value: Any, keys: Keys) -> Any:
    """The entry that stands under a key, which is the path of its image unless the entry names one itself."""
    if isinstance(value, Unreadable):
        return value
    if not isinstance(value, dict):
        return {keys.image[0]: key, **dict.fromkeys(keys.captions[:1], value)}
    if _is_entry(value, keys) or not (_is_image_name(key) or _holds_captions(value, keys)):
        return value
    return {keys.image[0]: key, **value}


def _is_entry(value: Any, keys: Keys) -> bool:
    return isinstance(value, dict) and any(key in value for key in keys.image)


def _holds_captions(value: Any, keys: Keys) -> bool:
    return isinstance(value, dict) and any(key in value for key in keys.captions)


def _are_of_paths(values: Any, keys: Keys) -> bool:
    """Whether the keys of a mapping are paths of images, with their suffixes or with captions under them."""
    if not isinstance(values, dict) or not values:
        return False
    return all(map(_is_image_name, values)) or all(_holds_captions(value, keys) for value in values.values())


def _is_image_name(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES
