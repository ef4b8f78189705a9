"""Reads a JSON file as a stream: in any Unicode encoding, JSON Lines or one document, an element at a time."""

import codecs
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder

from modeling_unipt.common.user_errors import UserError, first_line

LINES_SUFFIXES = (".jsonl", ".ndjson")
# A longer first line is no line of JSON Lines.
_LONGEST_LINE = 1 << 18
# A key or position in a document, and its value; a list of mappings is an iterator instead.
Elements = Iterator[tuple[Any, Any]]


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, read in pieces.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
def opened_as_utf8(path: Path | str) -> Iterator[BinaryIO | _Recoded]:
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


def is_json_lines(path: Path | str) -> bool:
    """Whether a first line is a whole mapping and more follows, or the name says so."""
    if Path(path).suffix.lower() in LINES_SUFFIXES:
        return True
    with opened_as_utf8(path) as file:
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


def first_character(file: BinaryIO | _Recoded) -> bytes:
    while piece := file.read(4096):
        if piece.strip():
            return piece.strip()[:1]
    return b""


def streamed_elements(file: BinaryIO | _Recoded, begins: bytes) -> Elements:
    """The elements of a document, one at a time: of a list with their positions, of a mapping with their keys.

    Args:
        begins: the first character of the document.

    Raises:
        ijson.JSONError: the document is not valid JSON.
    """
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


def loaded_elements(path: Path | str) -> Elements:
    """As :func:`streamed_elements`, of a document that is loaded as a whole.

    Raises:
        UserError: it is not valid JSON.
    """
    with _opened(path) as file:
        try:
            document = json.loads(file.read())
        except ValueError as error:
            raise UserError(f"{path} is not valid JSON ({first_line(error)})") from None
    if isinstance(document, list):
        yield from enumerate(document)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key, iter(value) if is_list_of_mappings(value) else value


def is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
