"""Sets that hold images and captions in the columns of Parquet or Arrow files."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
from pyarrow import types
from tqdm import tqdm

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest
from modeling_unipt.sources.base import file_content
from modeling_unipt.sources.reading import fingerprint

from ..output.parquet_dataset import ColumnType
from ..records.paths import ImageFolder, PathTally, coverage_line
from ..records.values import as_type, texts_of
from .annotated import inside
from .base import Content, FurtherColumn, ImportedSet, split_name
from .layouts import CAPTION_KEYS, IMAGE_KEYS, columns_named
from .store import Listing, RowStore, StoredRow
from .table_files import TableFile

# Columns of LUPerson-T. A further column with one of these names gets "set_" before it.
TAKEN_NAMES = (
    "image",
    "image_id",
    "captions",
    "caption_scores",
    "caption_backends",
    "attributes",
    "attribute_probabilities",
    "duplicate_of",
)


@dataclass(frozen=True)
class Columns:
    """Which column of a set holds what.

    Attributes:
        image: bytes, a structure of bytes and path as ``datasets`` stores them, or the path of an image file.
        captions: a text or a list of texts each.
        image_id: name of the image, or None.
        split: name of its split, or None.
        others: the set's further columns that are kept: name -> name in our dataset.
    """

    image: str
    captions: tuple[str, ...]
    image_id: str | None
    split: str | None
    others: dict[str, str]

    @property
    def all(self) -> list[str]:
        """The names of the columns to read."""
        one = [self.image, *self.captions, self.image_id, self.split, *self.others]
        return list(dict.fromkeys(name for name in one if name is not None))


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
        super().__init__(backend)
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
        for file_number, file in enumerate(self.files):
            self._first_rows.append(number)
            batches = file.batches(self.names.all)
            for batch in tqdm(batches, desc=f"reading {file.path.name}", unit="batch", disable=None):
                for row in batch.to_pylist():
                    self._keep(store, number, file_number, file, row, digest)
                    number += 1
        if not number:
            raise UserError(f"{self.files[0].path} holds {self.files[0].kind[2:]}s without a row")
        paths = [file.path for file in self.files]
        files = fingerprint(paths[0].parent, [Path(path.name) for path in paths])
        self.fingerprint = files if self._ids_are_files else f"{files}, content {digest.hexdigest()[:12]}"
        if self._tally is not None:
            respelled = self._tally.check(self.files[0].path, self.fix_paths)
            coverage = coverage_line(self.files[0].path, self._tally.images, len(store), store.found())
            self.told += [line for line in (respelled, coverage) if line is not None]

    def _keep(
        self,
        store: RowStore,
        number: int,
        file_number: int,
        file: TableFile,
        row: dict[str, Any],
        digest: "hashlib._Hash",
    ) -> None:
        where = f"{file.path}: row {number} (counted from 0)"
        split = file.split
        if self.names.split is not None and row[self.names.split] is not None:
            split = split_name(row[self.names.split])
            if split is None:
                raise UserError(f"{where} has the split {row[self.names.split]!r}, which is no name")
        own_id = None if self.names.image_id is None else row[self.names.image_id]
        name = f"{number:08d}" if own_id is None else str(own_id)
        place = _place(row[self.names.image])
        key = f"{own_id or ''}\0{place or number}"
        if self._tally is not None and place is not None:
            place = self._tally.find(place)
            path = PurePosixPath(place or _place(row[self.names.image])).as_posix()
            key = path
            name = path if own_id is None else name
        texts = []
        written = []
        for column in self.names.captions:
            found = texts_of(row[column])
            if found is not None:
                texts += found.texts
                written += found.written
        known = {}
        for column, ours in self.names.others.items():
            known[ours] = as_type(row[column], self.columns[ours].type)
        digest.update(repr((key, split, written, known)).encode("utf-8", "backslashreplace"))
        is_file = self._ids_are_files or (self._tally is not None and own_id is None)
        short = str(PurePosixPath(name).with_suffix("")) if is_file and PurePosixPath(name).name else name
        listing = Listing(number, key, 0, split, name, place, [], known, short=short)
        self.add(store, listing, texts, [self.caption_backend or ""] * len(texts), written)

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


def column_type(kind: pyarrow.DataType) -> ColumnType | None:
    """The type of a further column as :mod:`dataset_builders.output.parquet_dataset` writes it, or None for none."""
    if types.is_dictionary(kind):
        return column_type(kind.value_type)
    if types.is_struct(kind):
        inner = {field.name: column_type(field.type) for field in kind}
        return None if not inner or None in inner.values() else inner
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = column_type(kind.value_type)
        return None if inner is None else [inner]
    if types.is_string(kind) or types.is_large_string(kind):
        return "string"
    if types.is_integer(kind):
        return "int64"
    if types.is_floating(kind):
        return "float32" if kind.bit_width < 64 else "float64"
    return "bool" if types.is_boolean(kind) else None


def is_image_column(kind: pyarrow.DataType) -> bool:
    """Whether a column holds images themselves: bytes, or a structure of bytes and path."""
    if types.is_struct(kind):
        return {"bytes", "path"} <= {field.name for field in kind}
    return types.is_binary(kind) or types.is_large_binary(kind)


def is_text_column(kind: pyarrow.DataType) -> bool:
    """Whether a column holds texts, or lists of texts."""
    inner = column_type(kind)
    return inner == "string" or inner == ["string"]


def find_columns(
    files: Sequence[TableFile], where: str, image: str | None, captions: Sequence[str], has_folder: bool
) -> Columns:
    """Which column of a dataset holds what.

    Args:
        files: the dataset's.
        where: what the user named.
        image: the column of images that the user names, or None.
        captions: the columns of captions that the user names, or none.
        has_folder: whether the user named a folder of images.

    Raises:
        UserError: a column is missing or holds something else, or the files have different columns.
    """
    schema = files[0].schema()
    for file in files[1:]:
        if file.schema().names != schema.names:
            raise UserError(
                f"{files[0].path.name} and {file.path.name} of {where} have different columns; import them singly"
            )
    image = _named(schema, where, image) if image else _image_column(schema, where)
    if is_image_column(schema.field(image).type):
        if has_folder:
            raise UserError(f"{where} holds the images itself, in its column {image}; leave --images out")
    elif not is_text_column(schema.field(image).type):
        raise UserError(f"column {image} of {where} holds neither images nor paths of images")
    elif not has_folder:
        raise UserError(
            f"{where} holds no images: its column {image} is plain text, which names image files; give their folder "
            "with --images"
        )
    texts = [_named(schema, where, name) for name in captions]
    texts = texts or [name for name in columns_named(schema.names, CAPTION_KEYS) if name != image]
    for name in texts:
        if not is_text_column(schema.field(name).type):
            raise UserError(f"column {name} of {where} holds {schema.field(name).type}, not texts")
    if not texts:
        raise UserError(
            f"{where} has no column of captions among {', '.join(schema.names)}; name it with --caption-columns"
        )
    used = {image, *texts}
    image_id = next(iter(columns_named(schema.names, ["image_id"])), None)
    split = next(iter(columns_named(schema.names, ["split"])), None)
    others = {}
    for field in schema:
        if field.name not in {*used, image_id, split} and column_type(field.type) is not None:
            others[field.name] = f"set_{field.name}" if field.name in TAKEN_NAMES else field.name
    return Columns(image, tuple(texts), image_id, split, others)


def _named(schema: pyarrow.Schema, where: str, name: str) -> str:
    if name not in schema.names:
        raise UserError(
            f"{where} has no column '{name}'{nearest(name, schema.names)}; it has {', '.join(schema.names)}"
        )
    return name


def _image_column(schema: pyarrow.Schema, where: str) -> str:
    """The column of images, or of their paths."""
    found = [field.name for field in schema if is_image_column(field.type)]
    named = columns_named(found or schema.names, IMAGE_KEYS)
    if named:
        return named[0]
    if len(found) == 1:
        return found[0]
    told = f"several columns of images ({', '.join(found)})" if found else "no column of images"
    raise UserError(f"{where} has {told} among {', '.join(schema.names)}; name it with --image-column")
