"""Image files that any table lists: CSV in every dress, JSON or JSON Lines under common names of columns."""

import csv
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest

from ..records.entries import Entry, Keys, read_entries
from ..records.layout import Kept
from .annotated import AnnotatedSet
from .layouts import CAPTION_KEYS, IMAGE_KEYS, ImportLayout
from .tables import TAKEN_NAMES, plain_name

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
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
        self._keys = Keys(IMAGE_KEYS, CAPTION_KEYS)
        columns: dict[str, None] = {}
        for file in files:
            for entry in itertools.islice(self.entries(file), ENTRIES_LOOKED_AT):
                columns |= dict.fromkeys(entry.values if isinstance(entry.values, dict) else ())
        image = _picked(files[0], columns, [image_column] if image_column else [], IMAGE_KEYS, "images")[:1]
        captions = _picked(files[0], columns, caption_columns, CAPTION_KEYS, "captions")
        kept = {}
        for name in columns:
            if name not in (*image, *captions, "split"):
                ours = f"set_{name}" if name in TAKEN_NAMES else name
                kept[ours] = Kept(name, "string", f"the table's column `{name}`")
        layout = dataclasses.replace(described.layout, image=tuple(image), captions=tuple(captions), kept=kept)
        super().__init__(dataclasses.replace(described, layout=layout), files, images, fix_paths, caption_backend)

    def entries(self, file: Path) -> Iterator[Entry]:
        """The rows of a table; their keys are the names of columns as :func:`plain_name` writes them."""
        if file.suffix.lower() in CSV_SUFFIXES:
            for number, row in enumerate(csv_rows(file)):
                yield Entry(f"{file}: row {number + 1} below the header", number, None, _plain_keys(row))
            return
        for entry in read_entries(file, self._keys):
            yield dataclasses.replace(entry, values=_plain_keys(entry.values))


def _plain_keys(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    plain: dict[str, Any] = {}
    for name, value in values.items():
        # Of two columns with one name the first counts.
        plain.setdefault(plain_name(name), value)
    return plain


def _picked(file: Path, columns: dict[str, None], named: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The columns that the user names, or those of the known ones that are there, in the order of ``known``."""
    option = "--image-column" if what == "images" else "--caption-columns"
    for name in named:
        if plain_name(name) not in columns:
            raise UserError(f"{file} has no column '{name}'{nearest(name, columns)}; it has {', '.join(columns)}")
    found = [plain_name(name) for name in named] or [key for key in known if key in columns]
    if not found:
        told = f"among {', '.join(columns)}" if columns else "and no row"
        raise UserError(f"{file} has no column of {what} {told}; name it with {option}")
    return found


def csv_rows(file: Path) -> Iterator[dict[str, str | None]]:
    with open(file, encoding="utf-8-sig", newline="") as opened:
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        for row in csv.DictReader(opened, delimiter=delimiter):
            yield {name: value or None for name, value in row.items()}
