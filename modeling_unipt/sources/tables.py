"""Images in a column of a table: Parquet files read in place, or any dataset that the ``datasets`` library opens."""

import hashlib
import os
import threading
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

from ..common.image_files import UnreadableImage
from ..common.user_errors import UserError, first_line
from .base import Source
from .reading import MAX_BYTES, readable, unique_ids

CHUNK_ROWS = 16
CHUNKS_KEPT = 8


def image_column(schema, where):
    """The name of the column that holds images: the one called "image", else the only one.

    Args:
        schema: Arrow schema; images are a struct of bytes and path, as ``datasets`` stores them, or plain binary.
    Raises:
        UserError: there is none, or several and none of them is called "image".
    """
    found = [
        field.name
        for field in schema
        if _is_binary(field.type)
        or (pyarrow.types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type})
    ]
    if "image" in found or len(found) == 1:
        return "image" if "image" in found else found[0]
    told = f"several columns of images ({', '.join(found)})" if found else f"no column of images among {schema.names}"
    raise UserError(f"{where} has {told}; name the column of the person crops 'image'")


def _is_binary(kind):
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def _content(value, fallback):
    """(bytes, name) of a cell, which is bytes or {"bytes", "path"}."""
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if data is None and path and os.path.isfile(path):
        try:
            with open(path, "rb") as file:
                data = file.read(min(os.path.getsize(path), MAX_BYTES + 1))
        except OSError as error:
            raise UnreadableImage(f"cannot be read ({error.strerror or type(error).__name__})") from None
    if data is None:
        raise UnreadableImage(f"{path} is named and its bytes are not stored" if path else "no image in this row")
    return data, Path(path).name if path else f"{fallback}.jpg"


def _row_ids(columns):
    """Unique ids of rows: the column image_id, else the row's number.

    Args:
        columns: list of (owner, image ids or None, number of rows), one a file.
    """
    own, owned, begin = [], [], 0
    for owner, column, rows in columns:
        ids = column if column is not None else [None] * rows
        named = [f"{begin + row:08d}" if name is None else str(name) for row, name in enumerate(ids)]
        own += named
        owned += [f"{owner}/{name}" for name in named]
        begin += rows
    return unique_ids(own, owned)


def _footer(path):
    """The bytes in which a Parquet file says where and how large each piece of it is; they change with its content."""
    with open(path, "rb") as file:
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

    def __init__(self, path, files, split=None):
        if split is not None:
            kept = [file for file in files if file.stem == split or file.stem.startswith(f"{split}-")]
            if not kept:
                known = sorted({file.stem.partition("-")[0] for file in files})
                raise UserError(f"{path} has no split '{split}'; its files are called {', '.join(known)}")
            files = kept
        self.files, self.starts, digest, columns = [str(file) for file in files], [], hashlib.sha256(), []
        for file in files:
            try:
                with parquet.ParquetFile(file) as opened:
                    facts, schema = opened.metadata, opened.schema_arrow
                    column = image_column(schema, file)
                    ids = opened.read(["image_id"])["image_id"].to_pylist() if "image_id" in schema.names else None
            except (OSError, pyarrow.ArrowException) as error:
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

    def content(self, position):
        with self._lock:
            if position not in self._rows:
                self._read_up_to(position)
            value = self._rows[position]
        return _content(value, self.ids[position])

    def _read_up_to(self, position):
        number = bisect_right(self.first_rows, position) - 1
        column, starts = self.starts[number]
        group = bisect_right(starts, position - self.first_rows[number]) - 1
        place = (number, group)
        try:
            if self._place != place or position < self._next:
                self._next = self.first_rows[number] + starts[group]
                file = parquet.ParquetFile(self.files[number], pre_buffer=False, buffer_size=1 << 16)
                self._pieces = file.iter_batches(CHUNK_ROWS, row_groups=[group], columns=[column], use_threads=False)
                self._place = place
            while self._next <= position:
                values = next(self._pieces).column(0).to_pylist()
                self._rows |= {self._next + row: value for row, value in enumerate(values)}
                self._next += len(values)
                for old in list(self._rows)[: -CHUNK_ROWS * CHUNKS_KEPT]:
                    del self._rows[old]
        except (OSError, StopIteration, pyarrow.ArrowException) as error:
            self._place = None
            raise UnreadableImage(f"its row cannot be read from the Parquet file ({type(error).__name__})") from None

    def _restore(self):
        self._lock, self._rows, self._place, self._next, self._pieces = threading.Lock(), {}, None, 0, None

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._restore()


class DatasetSource(Source):
    """The rows of a map-style dataset of the ``datasets`` library, whose Arrow files are mapped, not loaded.

    Args:
        where: what the user named.
        parts: the datasets to put one behind another, split -> ``datasets.Dataset``.
    Raises:
        UserError: there is no column of images, or no row.
    """

    def __init__(self, where, parts):
        from datasets import Image, concatenate_datasets

        found = []
        for part in parts.values():
            column = image_column(part.features.arrow_schema, where)
            images = part.select_columns([column])
            images = images if column == "image" else images.rename_column(column, "image")
            found.append(images.cast_column("image", Image(decode=False)))
        self.ids = _row_ids(
            [
                (split, list(part["image_id"]) if "image_id" in part.column_names else None, len(part))
                for split, part in parts.items()
            ]
        )
        if not self.ids:
            raise UserError(f"{where} has no rows")
        digest = hashlib.sha256(repr([(split, part._fingerprint) for split, part in parts.items()]).encode())
        self.fingerprint = f"dataset of {len(self.ids)} rows, {digest.hexdigest()[:12]}"
        self.rows = concatenate_datasets(found)

    def content(self, position):
        return _content(self.rows[position]["image"], self.ids[position])

    @classmethod
    def from_hub(cls, spec):
        """``name`` or ``name:split`` on the Hub or in its cache.

        Raises:
            UserError: it cannot be loaded.
        """
        from datasets import load_dataset

        name, _, split = spec.partition(":")
        try:
            loaded = load_dataset(name)
        except Exception as error:  # hub, network, format and configuration errors: all mean "no dataset of this name"
            raise UserError(
                f"folder {name} does not exist, and no dataset of that name can be loaded ({first_line(error)})"
            ) from None
        return cls(name, _one_split(loaded, split, name))

    @classmethod
    def from_disk(cls, path, split=None):
        """A folder that ``save_to_disk`` wrote.

        Raises:
            UserError: it cannot be loaded.
        """
        from datasets import load_from_disk

        try:
            loaded = load_from_disk(str(path))
        except Exception as error:  # missing and broken files raise many kinds
            raise UserError(f"{path} cannot be read as a saved dataset ({type(error).__name__}: {error})") from None
        return cls(path, _one_split(loaded if isinstance(loaded, dict) else {"train": loaded}, split, path))


def _one_split(parts, split, where):
    if split and split not in parts:
        raise UserError(f"{where} has no split '{split}'; it has {', '.join(parts)}")
    return {split: parts[split]} if split else dict(parts)
