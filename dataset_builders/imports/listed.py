"""Image files that any table lists: CSV in every dress, JSON or JSON Lines under common names of columns."""

import ast
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modeling_unipt.common.delimited_files import SUFFIXES, DelimitedFile
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest

from ..records.entries import Entry, Keys, Unreadable, read_entries
from ..records.layout import Kept, Sample
from .annotated import AnnotatedSet
from .columns import TAKEN_NAMES
from .layouts import CAPTION_KEYS, IMAGE_KEYS, ImportLayout, columns_named

# Entries of a JSON file may lack a key that others have. So many of them say which keys there are.
ENTRIES_LOOKED_AT = 100


class ListedSet(AnnotatedSet):
    """Image files that tables list, one row for an image or for a caption.

    Every further column is kept, as text: identifiers such as 0007 stay what they are.

    Args:
        described, files, images, fix_paths, caption_backend: as for :class:`AnnotatedSet`.
        image_column: name of the column of paths, or None to find it by its name.
        caption_columns: names of the columns of captions, or none to find them by their names.

    Raises:
        UserError: a file cannot be read, or there is no such column.
    """

    def __init__(
        self,
        described: ImportLayout,
        files: Sequence[Path],
        images: Path,
        fix_paths: bool = False,
        caption_backend: str | None = None,
        image_column: str | None = None,
        caption_columns: Sequence[str] = (),
    ) -> None:
        self._delimited = {file: DelimitedFile(file) for file in files if file.suffix.lower() in SUFFIXES}
        columns: dict[str, None] = {}
        for file in files:
            columns |= dict.fromkeys(self._columns_of(file))
        image = _picked(files[0], columns, [image_column] if image_column else [], IMAGE_KEYS, "images")[:1]
        captions = _picked(files[0], columns, caption_columns, CAPTION_KEYS, "captions")
        split = columns_named(columns, ["split"])
        kept = {}
        for name in columns:
            if name not in (*image, *captions, *split):
                ours = f"set_{name}" if name in TAKEN_NAMES else name
                kept[ours] = Kept(name, "string", f"the table's column `{name}`")
        layout = dataclasses.replace(described.layout, image=tuple(image), captions=tuple(captions), kept=kept)
        super().__init__(dataclasses.replace(described, layout=layout), files, images, fix_paths, caption_backend)
        self.split_key = split[0] if split else "split"

    def entries(self, file: Path) -> Iterator[Entry]:
        """The rows of a table."""
        if file not in self._delimited:
            yield from read_entries(file, Keys(IMAGE_KEYS, CAPTION_KEYS), broken_lines=True)
            return
        for number, (line, row) in enumerate(self._delimited[file].rows()):
            if isinstance(row, str):
                values = Unreadable(row.removeprefix(f"line {line} "))
            else:
                values = {name: cell.strip() or None for name, cell in row.items()}
            yield Entry(f"{file}: line {line}", number, None, values)

    def _columns_of(self, file: Path) -> Iterator[str]:
        """The names of a table's columns, as far as its first rows tell."""
        if file in self._delimited:
            yield from (name for name in self._delimited[file].names if name)
            return
        for entry in itertools.islice(self.entries(file), ENTRIES_LOOKED_AT):
            if isinstance(entry.values, dict):
                yield from entry.values

    def sample(self, entry: Entry) -> Sample:
        values = entry.values
        if isinstance(values, dict):
            texts = {key: _list_in(values[key]) for key in self.described.layout.captions if key in values}
            entry = dataclasses.replace(entry, values=values | texts)
        return super().sample(entry)


def _list_in(cell: Any) -> Any:
    """The texts in a cell that holds a list of them, as pandas and JSON write it; else the cell."""
    if isinstance(cell, str) and cell.startswith("[") and cell.endswith("]"):
        try:
            value = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return cell
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return value
    return cell


def _picked(file: Path, columns: dict[str, None], named: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The columns that the user names, or those of the known ones that are there, in the order of ``known``."""
    for name in named:
        if name not in columns:
            raise UserError(f"{file} has no column '{name}'{nearest(name, columns)}; it has {', '.join(columns)}")
    found = list(named) or columns_named(columns, known)
    if not found:
        option = "--image-column" if what == "images" else "--caption-columns"
        raise UserError(
            f"{file} has no column of {what} among {', '.join(columns)}; name it with {option} (the first line of a "
            "CSV file must name the columns)"
        )
    return found
