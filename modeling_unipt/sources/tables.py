"""Images in a column of a table: Parquet files read in place, or any dataset that the ``datasets`` library opens."""

import hashlib
import os
import threading
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet as parquet

from ..common.image_files import UnreadableImage
from ..common.stand_ins import refuse_stand_in
from ..common.user_errors import UserError, first_line
from .base import Source
from .columns import columns_to_know, known_columns
from .reading import MAX_BYTES, readable, unique_ids
from .saved import hub_splits, saved_splits

if TYPE_CHECKING:
    from datasets import Dataset

# A row group may hold gigabytes; so many rows of it are decoded at once, and so many such pieces are kept.
CHUNK_ROWS = 16
CHUNKS_KEPT = 8
RENAME_IT = "rename the column of the person crops to 'image'"

# Columns of text that name image files, if no column holds images themselves; the first one that is there does.
PATH_COLUMNS = ("image", "image_path", "img_path", "file_path", "file_name")

Cell = Mapping[str, Any] | bytes | str | None
"""What stands in a column of images: {"bytes", "path"}, or bytes alone, or the path of an image file, or nothing."""


def image_column(schema: pyarrow.Schema, where: Path | str, wanted: str | None = None, remedy: str = RENAME_IT) -> str:
    """The name of the column that holds images: ``wanted``, else the one called "image", else the only one.

    Args:
        schema: images are a struct of bytes and path, as ``datasets`` stores them, or, without any such column, binary,
            or, without these, paths of image files in one of :data:`PATH_COLUMNS` or in ``wanted``.
        where: what the user named.
        remedy: what the user can do about several columns.
    Raises:
        UserError: ``wanted`` holds no images, or there is no column of images, or several and none is called "image".
    """
    structs = []
    binaries = []
    texts = []
    for field in schema:
        if pyarrow.types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type}:
            structs.append(field.name)
        elif pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            binaries.append(field.name)
        elif pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type):
            texts.append(field.name)
    if wanted is not None:
        if wanted not in structs + binaries + texts:
            told = ", ".join(structs + binaries) or "none"
            raise UserError(f"column {wanted} of {where} holds no images; those do: {told}")
        return wanted
    if "image" in structs + binaries:
        return "image"
    found = structs or binaries or [name for name in PATH_COLUMNS if name in texts][:1]
    if not found:
        raise UserError(f"{where} has no column of images among {', '.join(schema.names)}")
    if len(found) > 1:
        raise UserError(f"{where} has {len(found)} columns of images ({', '.join(found)}); {remedy}")
    return found[0]


def _content(value: Cell, fallback: str, folders: Sequence[str] = ("",)) -> tuple[bytes, str]:
    """The bytes and the name of the image in a cell.

    Args:
        fallback: its name, without suffix, if the cell has none.
        folders: what a path in the cell may be relative to; "" is the working folder.
    """
    data = None
    path = None
    if isinstance(value, Mapping):
        data = value.get("bytes")
        path = value.get("path")
    elif isinstance(value, str):
        path = value
    else:
        data = value
    if data is None and path:
        files = (_file_bytes(os.path.join(folder, path)) for folder in folders)
        data = next((found for found in files if found is not None), None)
    if data is None:
        raise UnreadableImage(f"{path} is named and its bytes are not stored" if path else "no image in this row")
    return data, Path(path).name if path else f"{fallback}.jpg"


def _file_bytes(path: str) -> bytes | None:
    """The bytes of a file, or None if there is no such file."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            # One byte more than is allowed shows that the image is too large.
            return file.read(min(os.path.getsize(path), MAX_BYTES + 1))
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise UnreadableImage(f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})") from None


def _row_ids(columns: Iterable[tuple[str, Sequence[Any] | None, int]]) -> list[str]:
    """Unique ids of rows: the column image_id, else the row's number.

    Args:
        columns: for each file its name, its image ids or None, and its number of rows.
    """
    own: list[str] = []
    owned: list[str] = []
    for owner, column, rows in columns:
        ids = column if column is not None else [None] * rows
        begin = len(own)
        named = [f"{begin + row:08d}" if name is None else str(name) for row, name in enumerate(ids)]
        own += named
        owned += [f"{owner}/{name}" for name in named]
    return unique_ids(own, owned)


def _concatenated(tables: Sequence[pyarrow.Table], where: Path | str) -> pyarrow.Table:
    try:
        # A column that one table lacks is filled up with nulls.
        return pyarrow.concat_tables(tables, promote_options="default")
    except pyarrow.ArrowException as error:
        raise UserError(
            f"the columns of {where} have different types in different files ({first_line(error)})"
        ) from None


def _footer(path: Path) -> bytes:
    """The bytes in which a Parquet file says where and how large each piece of it is; they change with its content."""
    with open(path, "rb") as file:
        # A Parquet file ends with the length of its footer, four bytes, and the four bytes "PAR1".
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return file.read(length)


class ParquetSource(Source):
    """Rows of Parquet files. A row group is read forward in small pieces, so that memory holds no more than a few rows;
    going back begins the row group again.

    Args:
        path: what the user named.
        files: the Parquet files.
        split: keep only the files named after it, such as ``train-00000-of-00001.parquet``; None keeps all.
    Raises:
        UserError: a file cannot be read, has no column of images, or there is no row in any.
    """

    reads_in_order = True

    def __init__(self, path: Path | str, files: Sequence[Path], split: str | None = None) -> None:
        if split is not None:
            kept = [file for file in files if file.stem == split or file.stem.startswith(f"{split}-")]
            if not kept:
                known = sorted({file.stem.partition("-")[0] for file in files})
                raise UserError(f"{path} has no split '{split}'; its files are called {', '.join(known)}")
            files = kept
        self.path = str(path)
        self.files = [str(file) for file in files]
        # For each file its column of images, and the rows at which its row groups begin and end.
        self.starts: list[tuple[str, list[int]]] = []
        columns = []
        digest = hashlib.sha256()
        for file in files:
            try:
                with parquet.ParquetFile(file) as opened:
                    facts = opened.metadata
                    schema = opened.schema_arrow
                    column = image_column(schema, file)
                    ids = opened.read(["image_id"])["image_id"].to_pylist() if "image_id" in schema.names else None
            except (OSError, pyarrow.ArrowException) as error:
                refuse_stand_in(file)
                raise UserError(f"{file} cannot be read as Parquet ({type(error).__name__}: {error})") from None
            digest.update(f"{readable(file.name)}\0{column}\0{file.stat().st_size}\0".encode() + _footer(file))
            columns.append((readable(file.stem), ids, facts.num_rows))
            sizes = (facts.row_group(group).num_rows for group in range(facts.num_row_groups))
            self.starts.append((column, list(accumulate(sizes, initial=0))))
        self.ids = _row_ids(columns)
        if not self.ids:
            raise UserError(f"{path} holds Parquet files without a row")
        self.fingerprint = f"{len(files)} Parquet files, {len(self.ids)} rows, {digest.hexdigest()[:12]}"
        self.first_rows = list(accumulate((rows for _, _, rows in columns), initial=0))
        self._restore()

    def content(self, position: int) -> tuple[bytes, str]:
        with self._lock:
            if position not in self._rows:
                self._read_up_to(position)
            value = self._rows[position]
        file = self.files[bisect_right(self.first_rows, position) - 1]
        return _content(value, self.ids[position], (os.path.dirname(file), self.path, ""))

    def columns(self) -> pyarrow.Table:
        tables = []
        for file, (column, _) in zip(self.files, self.starts, strict=True):
            try:
                with parquet.ParquetFile(file) as opened:
                    schema = opened.schema_arrow
                    tables.append(known_columns(opened.read(columns_to_know(schema, column)), schema))
            except (OSError, pyarrow.ArrowException) as error:
                raise UserError(f"{file} cannot be read as Parquet ({type(error).__name__}: {error})") from None
        return _concatenated(tables, self.path)

    def _read_up_to(self, position: int) -> None:
        """Read on, or begin the row group of ``position`` again, until its row is among those kept."""
        number = bisect_right(self.first_rows, position) - 1
        column, starts = self.starts[number]
        group = bisect_right(starts, position - self.first_rows[number]) - 1
        place = (number, group)
        try:
            if self._place != place or position < self._next:
                self._next = self.first_rows[number] + starts[group]
                # Without buffers and threads of its own, pyarrow would read the whole row group at once.
                file = parquet.ParquetFile(self.files[number], pre_buffer=False, buffer_size=1 << 16)
                self._pieces = file.iter_batches(CHUNK_ROWS, row_groups=[group], columns=[column], use_threads=False)
                self._place = place
            while self._next <= position:
                values = next(self._pieces).column(0).to_pylist()
                for row, value in enumerate(values, self._next):
                    self._rows[row] = value
                self._next += len(values)
                for old in list(self._rows)[: -CHUNK_ROWS * CHUNKS_KEPT]:
                    del self._rows[old]
        except (OSError, StopIteration, pyarrow.ArrowException) as error:
            self._place = None
            raise UnreadableImage(f"its row cannot be read from the Parquet file ({type(error).__name__})") from None

    def _restore(self) -> None:
        """Start without an open file: neither it nor the lock can be pickled."""
        self._lock = threading.Lock()
        self._rows: dict[int, Cell] = {}
        self._place: tuple[int, int] | None = None
        self._next = 0
        self._pieces = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._restore()


class DatasetSource(Source):
    """The rows of a map-style dataset of the ``datasets`` library, whose Arrow files are mapped, not loaded.

    Args:
        where: what the user named.
        parts: the datasets to put one behind another, by the name of their split.
        wanted: see :func:`image_column`.
        remedy: see :func:`image_column`.
    Raises:
        UserError: there is no column of images, or no row.
    """

    def __init__(
        self, where: Path | str, parts: "Mapping[str, Dataset]", wanted: str | None = None, remedy: str = RENAME_IT
    ) -> None:
        from datasets import Image, concatenate_datasets

        self.where = str(where)
        self.parts = dict(parts)
        # For each part, the name of its column of images.
        self.image_columns: list[str] = []
        images = []
        ids = []
        for split, part in self.parts.items():
            column = image_column(part.features.arrow_schema, where, wanted, remedy)
            self.image_columns.append(column)
            selected = part.select_columns([column])
            if column != "image":
                selected = selected.rename_column(column, "image")
            images.append(selected.cast_column("image", Image(decode=False)))
            ids.append((split, list(part["image_id"]) if "image_id" in part.column_names else None, len(part)))
        self.ids = _row_ids(ids)
        if not self.ids:
            raise UserError(f"{where} has no rows")
        digest = hashlib.sha256(repr([(split, part._fingerprint) for split, part in self.parts.items()]).encode())
        self.fingerprint = f"dataset of {len(self.ids)} rows, {digest.hexdigest()[:12]}"
        self.rows = concatenate_datasets(images)

    def content(self, position: int) -> tuple[bytes, str]:
        return _content(self.rows[position]["image"], self.ids[position])

    def columns(self) -> pyarrow.Table | None:
        tables = []
        for part, column in zip(self.parts.values(), self.image_columns, strict=True):
            schema = part.features.arrow_schema
            names = columns_to_know(schema, column)
            if not names:
                return None
            tables.append(known_columns(part.select_columns(names).with_format("arrow")[:], schema))
        return _concatenated(tables, self.where)

    @classmethod
    def from_hub(cls, spec: str) -> "DatasetSource":
        """A dataset on the Hugging Face Hub, or a copy of it in the cache.

        Args:
            spec: ``name`` or ``name:split``.

        Raises:
            UserError: it cannot be loaded.
        """
        name, _, split = spec.partition(":")
        return cls(name, _one_split(hub_splits(name, f"folder {name}"), split, name))

    @classmethod
    def from_disk(cls, path: Path, split: str | None = None) -> "DatasetSource":
        """A folder that ``save_to_disk`` wrote.

        Raises:
            UserError: it cannot be loaded.
        """
        return cls(path, _one_split(saved_splits(path), split, path))


def _one_split(parts: "Mapping[str, Dataset]", split: str | None, where: Path | str) -> "Mapping[str, Dataset]":
    """All parts, or the one that ``split`` names."""
    if not split:
        return parts
    if split not in parts:
        raise UserError(f"{where} has no split '{split}'; it has {', '.join(parts)}")
    return {split: parts[split]}
