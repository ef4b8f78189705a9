"""Rows of Parquet files, read where they lie: no second copy in a cache, and never more than one row group in memory.

A row group is the smallest piece of a Parquet file that can be found by itself, and its rows come one after the other.
So a row costs as much as all those before it in its group. The files that this project writes have groups of 256 rows.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from modeling_unipt.common.user_errors import UserError, first_line
from unipt_train.data.read_ahead import ReadAhead

# So many rows become Arrow arrays at once. What stands before a row in its group is thrown away.
PIECE_ROWS = 16
# Each holds a file open.
FILES_OPEN = 128

Row = dict[str, Any]


class ParquetShards:
    """The row groups of the Parquet files of one split, one behind the other.

    It may be pickled or forked: every process opens the files for itself.

    Args:
        files: all with the same columns.

    Attributes:
        schema: of the first file.
        starts: (groups + 1,) the number of the first row of each row group, and at the end the number of rows.

    Raises:
        UserError: a file cannot be read as Parquet.
    """

    def __init__(self, files: Sequence[Path | str]) -> None:
        self.files = [str(file) for file in files]
        self.schema = None
        self.same_columns = True
        # For each group (number of its file, its number in that file), and its bytes by column when uncompressed.
        self.places: list[tuple[int, int]] = []
        self.sizes: list[dict[str, int]] = []
        rows = [0]
        for number, file in enumerate(self.files):
            try:
                metadata = parquet.read_metadata(file)
                schema = metadata.schema.to_arrow_schema()
            except (OSError, pyarrow.ArrowException) as error:
                raise UserError(f"{file} cannot be read as Parquet ({first_line(error)})") from None
            self.schema = self.schema or schema
            self.same_columns &= schema.equals(self.schema)
            for group in range(metadata.num_row_groups):
                facts = metadata.row_group(group)
                # A shard without rows has one group without rows.
                if facts.num_rows:
                    self.places.append((number, group))
                    self.sizes.append(_bytes_by_column(facts))
                    rows.append(rows[-1] + facts.num_rows)
        self.starts = np.array(rows)
        self._restore()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def groups_of(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The number of the row group of each row."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def read(self, group: int, rows: Sequence[int], columns: Sequence[str]) -> list[Row]:
        """Rows of one group.

        Args:
            rows: their numbers, ascending.
            columns: names of the columns to read.

        Raises:
            UserError: the file cannot be read.
        """
        number, group_of_file = self.places[group]
        begin = int(self.starts[group])
        found = []
        try:
            pieces = self._opened(number).iter_batches(
                PIECE_ROWS, row_groups=[group_of_file], columns=list(columns), use_threads=False
            )
            while len(found) < len(rows):
                piece = next(pieces)
                end = begin + piece.num_rows
                here = []
                for row in rows[len(found) :]:
                    if row >= end:
                        break
                    here.append(row - begin)
                if here:
                    found += piece.take(here).to_pylist()
                begin = end
        except (OSError, StopIteration, pyarrow.ArrowException) as error:
            raise UserError(f"{self.files[number]} cannot be read any more ({first_line(error)})") from None
        return found

    def column(self, name: str) -> pyarrow.ChunkedArray:
        """A whole column."""
        tables = []
        for number, file in enumerate(self.files):
            try:
                tables.append(self._opened(number).read([name], use_threads=False))
            except (OSError, pyarrow.ArrowException) as error:
                raise UserError(f"{file} cannot be read any more ({first_line(error)})") from None
        return pyarrow.concat_tables(tables).column(0)

    def _opened(self, number: int) -> parquet.ParquetFile:
        if self._process != os.getpid():
            # What was opened before a fork belongs to the parent.
            self._restore()
        if number not in self._open:
            # Mapped and without buffers of its own, pyarrow reads no further than it is asked to.
            self._open[number] = parquet.ParquetFile(
                self.files[number], memory_map=True, pre_buffer=False, buffer_size=0
            )
            if len(self._open) > FILES_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def _restore(self) -> None:
        self._process = os.getpid()
        self._open: OrderedDict[int, parquet.ParquetFile] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_open", "_process")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._restore()


def _bytes_by_column(group: parquet.RowGroupMetaData) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for index in range(group.num_columns):
        facts = group.column(index)
        name = facts.path_in_schema.partition(".")[0]
        sizes[name] = sizes.get(name, 0) + facts.total_uncompressed_size
    return sizes


class ParquetRows:
    """A table of the rows of Parquet files, which is used as a ``datasets.Dataset`` is.

    Args:
        shards: where the rows lie.
        features: the columns, and how they are decoded.
        indices: (rows,) numbers of the rows that belong to the table, in its order; None: all.
    """

    def __init__(self, shards: ParquetShards, features: datasets.Features, indices: np.ndarray | None = None) -> None:
        self.shards = shards
        self.features = features
        self.indices = np.arange(len(shards)) if indices is None else indices
        self.ascends = bool(np.all(np.diff(self.indices) > 0))
        self._ahead: ReadAhead | None = None
        # Columns that are stored in a simpler form than they are used in: images as bytes, a text that stands alone.
        self._bytes_alone = []
        self._texts_alone = []
        for name, feature in features.items():
            stored = shards.schema.field(name).type
            if isinstance(feature, datasets.Image) and not pyarrow.types.is_struct(stored):
                self._bytes_alone.append(name)
            if isinstance(feature, datasets.List) and pyarrow.types.is_string(stored):
                self._texts_alone.append(name)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self.features)

    @property
    def row_bytes(self) -> float:
        """The mean size of a row in memory: its bytes, and about as much as Python adds to its columns."""
        total = sum(size for sizes in self.shards.sizes for name, size in sizes.items() if name in self.features)
        return total / max(1, len(self.shards)) + 500 * len(self.features)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: int | str) -> Row | list[Any]:
        """A row, or all values of a column."""
        if isinstance(key, str):
            return self.arrow(key).to_pylist()
        if not -len(self) <= key < len(self):
            raise IndexError(f"row {key} of {len(self)}")
        return self.__getitems__([key % len(self)])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Row]:
        """Several rows, each row group of which is read once."""
        positions = [int(position) for position in positions]
        found = self._ahead.take(positions) if self._ahead else self.fetch(positions)
        return [self.decoded(found[position]) for position in positions]

    def expect(self, upcoming: Iterator[int], memory: int) -> None:
        """Be told which rows :meth:`__getitems__` will be asked for by this process, in this order.

        Args:
            memory: bytes of rows that may be kept until they are asked for.
        """
        self._ahead = ReadAhead(self.fetch, upcoming, int(memory / self.row_bytes))

    def __iter__(self) -> Iterator[Row]:
        groups = self.shards.groups_of(self.indices)
        for _, run in groupby(range(len(self)), key=groups.__getitem__):
            positions = list(run)
            found = self.fetch(positions)
            for position in positions:
                yield self.decoded(found.pop(position))

    def select(self, positions: Sequence[int] | np.ndarray) -> "ParquetRows":
        """A table of some of the rows, in the order of ``positions``."""
        return ParquetRows(self.shards, self.features, self.indices[np.asarray(positions, dtype=np.int64)])

    def select_columns(self, names: Sequence[str]) -> "ParquetRows":
        """A table of some of the columns; the others are not read."""
        return ParquetRows(self.shards, datasets.Features({name: self.features[name] for name in names}), self.indices)

    def arrow(self, name: str) -> pyarrow.ChunkedArray:
        """A column of the table, undecoded."""
        column = self.shards.column(name)
        if len(self) == len(column) and np.array_equal(self.indices, np.arange(len(column))):
            return column
        return column.take(pyarrow.array(self.indices))

    def fetch(self, positions: Sequence[int], also: Callable[[int], bool] | None = None) -> dict[int, Row]:
        """Rows as they are stored, by their positions in the table.

        Args:
            positions: the rows that are needed.
            also: says of the position of another row whether to return it, too, if it lies in the same row group.
        """
        needed = np.unique(np.asarray(positions, dtype=np.int64))
        groups = self.shards.groups_of(self.indices[needed])
        found = {}
        for group in np.unique(groups):
            wanted = needed[groups == group].tolist()
            if also is not None and self.ascends:
                # Then the rows of a group stand together.
                begin, end = np.searchsorted(self.indices, self.shards.starts[group : group + 2]).tolist()
                wanted = sorted({*wanted, *filter(also, range(begin, end))})
            row_of = {position: int(self.indices[position]) for position in wanted}
            rows = sorted(set(row_of.values()))
            read = dict(zip(rows, self.shards.read(int(group), rows, self.column_names), strict=True))
            found |= {position: read[row] for position, row in row_of.items()}
        return found

    def cast_column(self, name: str, feature: Any) -> "ParquetRows":
        """The table with a column that is decoded otherwise."""
        return ParquetRows(self.shards, datasets.Features({**self.features, name: feature}), self.indices)

    def decoded(self, row: Row) -> Row:
        """A row as it is stored -> as it is used, with its images opened."""
        row |= {name: {"bytes": row[name], "path": None} for name in self._bytes_alone}
        row |= {name: [row[name]] for name in self._texts_alone}
        return self.features.decode_example(row)
