"""Sets that hold images and captions in the columns of Parquet or Arrow files."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
from tqdm import tqdm

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import file_content
from modeling_unipt.sources.reading import fingerprint

from ..records.paths import ImageFolder, PathTally, coverage_line
from ..records.values import Texts, as_type, texts_of
from .annotated import inside
from .base import Content, FurtherColumn, ImportedSet, split_name
from .columns import Columns, column_type
from .store import Listing, RowStore, StoredRow
from .table_files import TableFile


class TableSet(ImportedSet):
    """Rows of Parquet or Arrow files.

    Rows that show the same image become one row: rows with equal bytes and an equal image_id, if there are ids.

    Args:
        files: in order; their columns are the same.
        columns: which of them holds what.
        backend: who wrote the captions.
        ids_are_files: whether image_id is the name of a file, whose suffix is left out as LUPerson-T does.
        images: the folder that paths are relative to, if the column of images holds paths.
        fix_paths: take the spelling of a path that exists on disk.
    """

    def __init__(
        self,
        files: Sequence[TableFile],
        columns: Columns,
        backend: str,
        ids_are_files: bool = False,
        images: Path | None = None,
        fix_paths: bool = False,
    ) -> None:
        super().__init__()
        self.backend = backend
        self.files = files
        self.names = columns
        self.images = images
        self.fix_paths = fix_paths
        self._ids_are_files = ids_are_files
        self._first_rows: list[int] = []
        self._tally = None if images is None else PathTally(ImageFolder(images))
        schema = files[0].schema()
        for name, ours in columns.others.items():
            kind = column_type(schema.field(name).type)
            self.columns[ours] = FurtherColumn(kind, f"the set's column `{name}`")

    def read(self, store: RowStore) -> None:
        digest = hashlib.sha256()
        number = 0
        for file in self.files:
            self._first_rows.append(number)
            batches = file.batches(self.names.all)
            for batch in tqdm(batches, desc=f"reading {file.path.name}", unit="batch", disable=None):
                for row in batch.to_pylist():
                    self._keep(store, number, file, row, digest)
                    number += 1
        first = self.files[0]
        if not number:
            raise UserError(f"{first.path} holds {first.kind}s without a row")
        files = fingerprint(first.path.parent, [Path(file.path.name) for file in self.files])
        self.fingerprint = files if self._ids_are_files else f"{files}, content {digest.hexdigest()[:12]}"
        if self._tally is not None:
            respelled = self._tally.check(first.path, self.fix_paths)
            coverage = coverage_line(first.path, self._tally.images, len(store), store.found())
            self.told += [line for line in (respelled, coverage) if line is not None]

    def _keep(
        self, store: RowStore, number: int, file: TableFile, row: dict[str, Any], digest: "hashlib._Hash"
    ) -> None:
        """Keep what a row says, and make it part of the digest."""
        own_id = None if self.names.image_id is None else row[self.names.image_id]
        name = f"{number:08d}" if own_id is None else str(own_id)
        place = _place(row[self.names.image])
        key = f"{own_id or ''}\0{place or number}"
        is_file = self._ids_are_files
        if self._tally is not None and place is not None:
            found = self._tally.find(place)
            key = PurePosixPath(found or place).as_posix()
            place = found
            if own_id is None:
                name = key
                is_file = True
        short = PurePosixPath(name).with_suffix("").as_posix() if is_file and PurePosixPath(name).name else name
        texts = [texts_of(row[column]) or Texts([], []) for column in self.names.captions]
        captions = [text for each in texts for text in each.texts]
        written = [text for each in texts for text in each.written]
        known = {ours: as_type(row[column], self.columns[ours].type) for column, ours in self.names.others.items()}
        split = self._split(number, file, row)
        digest.update(repr((key, split, written, known)).encode("utf-8", "backslashreplace"))
        listing = Listing(number, key, 0, split, name, place, [], known, short=short)
        self.add(store, listing, captions, [self.backend] * len(captions), written)

    def _split(self, number: int, file: TableFile, row: dict[str, Any]) -> str:
        """The split that a row names, or its file."""
        value = None if self.names.split is None else row[self.names.split]
        if value is None:
            return file.split
        split = split_name(value)
        if split is None:
            raise UserError(f"{file.path}: row {number} (counted from 0) has the split {value!r}, which is no name")
        return split

    def contents(self, rows: Iterable[StoredRow]) -> Iterator[tuple[StoredRow, Content]]:
        if self.images is not None:
            for row in rows:
                yield row, partial(file_content, self.images / inside(row.place or row.name))
            return
        cells = iter(())
        number = -1
        for row in rows:
            if number < 0:
                cells = self._image_cells(row.number)
            while number < row.number:
                number, cell = next(cells)
            yield row, partial(_content, cell.as_py(), PurePosixPath(row.name).name)

    def _image_cells(self, first_row: int) -> Iterator[tuple[int, pyarrow.Scalar]]:
        """The cells of images with the numbers of their rows, from the file on in which a row stands."""
        first_file = bisect_right(self._first_rows, first_row) - 1
        number = self._first_rows[first_file]
        for file in self.files[first_file:]:
            for batch in file.batches([self.names.image]):
                for cell in batch.column(0):
                    yield number, cell
                    number += 1


def _place(cell: Any) -> str | None:
    """What tells the image of a cell from others: a digest of its bytes, or its path; None if there is neither."""
    path = None
    if isinstance(cell, dict):
        path = cell.get("path")
        cell = cell.get("bytes")
    if isinstance(cell, bytes) and cell:
        return hashlib.blake2b(cell, digest_size=16).hexdigest()
    return cell if isinstance(cell, str) and cell else path


def _content(cell: Any, name: str) -> tuple[bytes, str]:
    """The bytes and the name of the image in a cell; ``name`` is its name if the cell has none."""
    path = None
    if isinstance(cell, dict):
        path = cell.get("path")
        cell = cell.get("bytes")
    if cell is None and path:
        if Path(path).is_file():
            return file_content(Path(path))
        raise UnreadableImage(f"{path} is named and its bytes are not stored")
    if not cell:
        raise UnreadableImage("zero bytes")
    return cell, Path(path).name if path else name
