"""Reads the entries of an annotation file one by one, so that memory does not grow with the file.

These shapes are told by the content, and not by the file's name:

* a JSON list of entries, also within a mapping, under one key or several: ``{"info": .., "train": [..], "test": [..]}``
* JSON Lines: one entry a line
* a mapping of entries by number or by path: ``{"0": {..}, "1": {..}}``
* a mapping from path to captions, or a list of such: ``{"a.jpg": "A man."}``, ``[{"a.jpg": {"caption1": ..}}]``
"""

import codecs
import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder

from modeling_unipt.common.image_formats import IMAGE_SUFFIXES
from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError, first_line

LINES_SUFFIXES = (".jsonl", ".ndjson")
# A longer first line is no line of JSON Lines.
_LONGEST_LINE = 1 << 18
# So many remarks on a file ("info", "version") at most stand before its entries.
_MOST_REMARKS = 100
# A key or position in a document, and its value; a list of mappings is an iterator instead.
_Pairs = Iterator[tuple[Any, Any]]


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


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, read in pieces.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_entries(path: Path | str, keys: Keys, broken_lines: bool = False) -> Iterator[Entry]:
    """Read the entries of a file, in its order.

    Args:
        broken_lines: whether a line of JSON Lines that is no JSON is an entry that is :class:`Unreadable`, so that the
            next one can be read; else it is an error.

    Raises:
        UserError: the file cannot be read, is something else than its name says, is not valid JSON, or holds no entry.
    """
    refuse_stand_in(path)
    found = _lines(path, keys) if _is_json_lines(path) else _document(path, keys)
    number = -1
    for number, (where, group, values) in enumerate(found):
        if isinstance(values, Unreadable) and not broken_lines:
            raise UserError(f"{path}: {where} {values}")
        yield Entry(f"{path}: {where}", number, group, values)
    if number < 0:
        raise UserError(
            f"{path} holds no entry; it must be a JSON list of {{{keys.image[0]}, {keys.captions[0]}}} that is not "
            "empty, or JSON Lines, or a mapping"
        )


@contextmanager
def _opened(path: Path | str) -> Iterator[BinaryIO]:
    """The file's bytes; an error of the disk becomes a sentence."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


class _Recoded:
    """A file in another encoding than UTF-8, read as if it were in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding=encoding, newline="\n")

    def read(self, size: int = -1) -> bytes:
        return self._text.read(size).encode("utf-8", "replace")

    def readline(self, size: int = -1) -> bytes:
        return self._text.readline(size).encode("utf-8", "replace")


@contextmanager
def _opened_as_utf8(path: Path | str) -> Iterator[BinaryIO | _Recoded]:
    """The file's text in UTF-8 without a byte-order mark, whatever Unicode encoding the file has."""
    with _opened(path) as file:
        encoding = json.detect_encoding(file.read(4))
        file.seek(len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
        try:
            yield file if encoding.startswith("utf-8") else _Recoded(file, encoding)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not valid JSON: it is not text in {encoding.upper()} ({error.reason})"
            ) from None


def _is_json_lines(path: Path | str) -> bool:
    """Whether a first line is a whole mapping and more follows, or the name says so."""
    if Path(path).suffix.lower() in LINES_SUFFIXES:
        return True
    with _opened_as_utf8(path) as file:
        first = b""
        while not first:
            line = file.readline(_LONGEST_LINE)
            if not line:
                return False
            first = line.strip()
        if not file.read(1 << 16).strip():
            return False
        try:
            return isinstance(json.loads(first), dict)
        except ValueError:
            return False


def _lines(path: Path | str, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    with _opened_as_utf8(path) as file:
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
    with _opened_as_utf8(path) as file:
        begins = _first_character(file)
    read = 0
    try:
        with _opened_as_utf8(path) as file:
            found = _entries_of(begins, _pairs(file, begins), keys)
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
        found = _entries_of(begins, _loaded_pairs(path), keys)
        yield from itertools.islice(found, read, None)


def _first_character(file: BinaryIO | _Recoded) -> bytes:
    while piece := file.read(4096):
        if piece.strip():
            return piece.strip()[:1]
    return b""


def _pairs(file: BinaryIO | _Recoded, begins: bytes) -> _Pairs:
    """The elements of a document, one at a time."""
    if begins != b"{":
        yield from enumerate(ijson.items(file, "item", use_float=True))
        return
    events = ijson.basic_parse(file, use_float=True)
    next(events)
    for event, key in events:
        if event == "end_map":
            continue  # the document is over; the next event would be a mistake behind it
        first = next(events)
        if first[0] != "start_array":
            yield key, _built(first, events)
            continue
        second = next(events)
        if second[0] == "start_map":
            rest = _list_of_mappings(second, events)
            yield key, rest
            # Whoever did not read the list to its end is past it now.
            for _ in rest:
                pass
        else:
            yield key, _built_list(second, events)


def _built(first: tuple[str, Any], events: Iterator[tuple[str, Any]]) -> Any:
    """The value that begins with an event."""
    builder = ObjectBuilder()
    depth = 0
    event = first
    while True:
        builder.event(*event)
        if event[0] in ("start_map", "start_array"):
            depth += 1
        elif event[0] in ("end_map", "end_array"):
            depth -= 1
        if not depth:
            return builder.value
        event = next(events)


def _built_list(first: tuple[str, Any], events: Iterator[tuple[str, Any]]) -> list[Any]:
    """A list whose first element, or end, is an event."""
    values = []
    event = first
    while event[0] != "end_array":
        values.append(_built(event, events))
        event = next(events)
    return values


def _list_of_mappings(first: tuple[str, Any], events: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    event = first
    while event[0] != "end_array":
        yield _built(event, events)
        event = next(events)


def _loaded_pairs(path: Path | str) -> _Pairs:
    """As :func:`_pairs`, of a document that is loaded as a whole."""
    with _opened(path) as file:
        try:
            document = json.loads(file.read())
        except ValueError as error:
            raise UserError(f"{path} is not valid JSON ({first_line(error)})") from None
    if isinstance(document, list):
        yield from enumerate(document)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key, iter(value) if _is_list_of_mappings(value) else value


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _entries_of(begins: bytes, pairs: _Pairs, keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
    """The entries among the elements of a document: where, group, values."""
    if begins != b"{":
        for number, values in pairs:
            yield from _unfolded(f"entry {number} (counted from 0)", None, values, keys)
        return
    # What is not known yet to be an entry: it may be a remark on the file, or a part of the file's only entry.
    held: list[tuple[str, Any]] = []
    lists_found = False
    entries_found = False
    for key, value in pairs:
        lists = [] if entries_found else _lists_in(key, value, keys)
        for name, values in lists:
            lists_found = True
            yield from _listed(name, values, keys)
        if lists or lists_found or value == []:
            continue
        held.append((key, value))
        entries_found = entries_found or _is_image_name(key) or _is_entry(value, keys) or len(held) > _MOST_REMARKS
        if entries_found:
            yield from _of_mapping(held, keys)
            held = []
    if held and not lists_found:
        yield from _of_mapping([("the only one", dict(held))] if _is_entry(dict(held), keys) else held, keys)


def _lists_in(key: str, value: Any, keys: Keys) -> list[tuple[str, Iterator[Any]]]:
    """The lists of entries that an element of a mapping is, or holds one floor below, with their names."""
    if isinstance(value, Iterator):
        return [(key, value)]
    if not isinstance(value, dict) or _is_entry(value, keys) or _is_image_name(key):
        return []
    return [(name, iter(inner)) for name, inner in value.items() if _is_list_of_mappings(inner)]


def _listed(name: str, values: Iterator[Any], keys: Keys) -> Iterator[tuple[str, str | None, Any]]:
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
    if isinstance(values, dict) and values and not _is_entry(values, keys) and _are_of_paths(values, keys):
        for key, value in values.items():
            yield where, group, _with_path(key, value, keys)
    else:
        yield where, group, values


def _with_path(key: str, value: Any, keys: Keys) -> Any:
    """The entry that stands under a key, which is the path of its image unless the entry names one itself."""
    if not isinstance(value, dict):
        return {keys.image[0]: key, keys.captions[0]: value}
    if _is_entry(value, keys) or not (_is_image_name(key) or _holds_captions(value, keys)):
        return value
    return {keys.image[0]: key, **value}


def _is_entry(value: Any, keys: Keys) -> bool:
    return isinstance(value, dict) and any(key in value for key in keys.image)


def _holds_captions(value: Any, keys: Keys) -> bool:
    return isinstance(value, dict) and any(key in value for key in keys.captions)


def _are_of_paths(values: dict[str, Any], keys: Keys) -> bool:
    """Whether the keys of a mapping are paths of images, with their suffixes or with captions under them."""
    return all(map(_is_image_name, values)) or all(_holds_captions(value, keys) for value in values.values())


def _is_image_name(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES
