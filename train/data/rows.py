"""Tables of rows, of one data set or of several: one behind the other, and people of different ones kept apart."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import datasets
import numpy as np
import pyarrow

from unipt_train.data.parquet_rows import ParquetRows

Row = dict[str, Any]
PERSON = "person_id"


class Rows(Protocol):
    """What training and evaluation ask of a table; a ``datasets.Dataset`` is one, too."""

    features: datasets.Features
    column_names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | str) -> Any: ...

    def __getitems__(self, positions: Sequence[int]) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...

    def select(self, positions: Sequence[int]) -> "Rows": ...

    def select_columns(self, names: Sequence[str]) -> "Rows": ...


def arrow_column(rows: Rows, name: str) -> pyarrow.ChunkedArray:
    """A column of a table as it is stored, undecoded."""
    if isinstance(rows, ParquetRows | JoinedRows):
        return rows.arrow(name)
    return rows.select_columns([name]).with_format("arrow")[:][name]


class JoinedRows:
    """The rows of several data sets, one behind the other. It has the columns that all of them have.

    The number of a person in a data set, the column ``person_id``, says nothing in another one. So here it is another
    number: people are counted through, in the order of the data sets and of their ids.

    Args:
        parts: name -> rows, of each data set.
    """

    def __init__(self, parts: Mapping[str, Rows]) -> None:
        self.parts = dict(parts)
        self.starts = np.cumsum([0, *(len(rows) for rows in self.parts.values())])
        tables = list(self.parts.values())
        shared = [name for name in tables[0].column_names if all(name in table.column_names for table in tables)]
        self.features = datasets.Features({name: tables[0].features[name] for name in shared})
        self._people: list[dict[Any, int]] = []
        if PERSON in shared:
            count = 0
            for table in tables:
                ids = sorted(set(table[PERSON]))
                self._people.append({person: count + number for number, person in enumerate(ids)})
                count += len(ids)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self.features)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def part_of(self, position: int) -> int:
        """The number of the data set that a row belongs to."""
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def __getitem__(self, key: int | str) -> Row | list[Any]:
        """A row, or all values of a column."""
        if not isinstance(key, str):
            if not -len(self) <= key < len(self):
                raise IndexError(f"row {key} of {len(self)}")
            return self.__getitems__([key % len(self)])[0]
        values = []
        for part, rows in enumerate(self.parts.values()):
            column = rows[key]
            values += [self._people[part][person] for person in column] if key == PERSON else column
        return values

    def __getitems__(self, positions: Sequence[int]) -> list[Row]:
        """Several rows; each data set is asked once."""
        found = {}
        for part, rows in enumerate(self.parts.values()):
            start = int(self.starts[part])
            own = [position for position in dict.fromkeys(positions) if self.part_of(position) == part]
            if own:
                read = rows.__getitems__([position - start for position in own])
                found |= {position: self._apart(part, row) for position, row in zip(own, read, strict=True)}
        return [found[position] for position in positions]

    def __iter__(self) -> Iterator[Row]:
        for part, rows in enumerate(self.parts.values()):
            for row in rows:
                yield self._apart(part, row)

    def select(self, positions: Sequence[int]) -> "JoinedRows":
        """A table of some of the rows, in the order of ``positions``, which must ascend."""
        positions = np.asarray(positions, dtype=np.int64)
        if np.any(np.diff(positions) < 0):
            raise ValueError("rows of several data sets can only be selected in their order")
        cuts = np.searchsorted(positions, self.starts)
        chosen = {}
        for part, (name, rows) in enumerate(self.parts.items()):
            chosen[name] = rows.select(positions[cuts[part] : cuts[part + 1]] - self.starts[part])
        return self._like_this(chosen, list(self.features))

    def select_columns(self, names: Sequence[str]) -> "JoinedRows":
        """A table of some of the columns."""
        return self._like_this({name: rows.select_columns(names) for name, rows in self.parts.items()}, names)

    def arrow(self, name: str) -> pyarrow.ChunkedArray:
        """A column of the table, undecoded."""
        chunks = []
        for rows in self.parts.values():
            chunks += arrow_column(rows, name).chunks
        return pyarrow.chunked_array(chunks)

    def expect(self, upcoming: Callable[[], Iterator[int]], memory: int) -> None:
        """See :func:`expect`."""
        for part, rows in enumerate(self.parts.values()):
            expect(rows, partial(_within, upcoming, *self.starts[part : part + 2].tolist()), memory // len(self.parts))

    def _apart(self, part: int, row: Row) -> Row:
        row = {name: row[name] for name in self.features}
        if PERSON in row:
            row[PERSON] = self._people[part][row[PERSON]]
        return row

    def _like_this(self, parts: Mapping[str, Rows], names: Sequence[str]) -> "JoinedRows":
        """A table of ``parts`` in which people keep the numbers that they have here."""
        other = object.__new__(JoinedRows)
        other.parts = dict(parts)
        other.starts = np.cumsum([0, *(len(rows) for rows in parts.values())])
        other.features = datasets.Features({name: self.features[name] for name in names})
        other._people = self._people
        return other


def _within(upcoming: Callable[[], Iterator[int]], start: int, end: int) -> Iterator[int]:
    for position in upcoming():
        if start <= position < end:
            yield position - start


def expect(rows: Rows, upcoming: Callable[[], Iterator[int]], memory: int) -> None:
    """Tell a table which rows this process will ask it for, in this order, so that it can read them sooner.

    Args:
        upcoming: a function that begins to name the positions.
        memory: bytes of rows that may be kept until they are asked for.
    """
    if isinstance(rows, JoinedRows):
        rows.expect(upcoming, memory)
    elif isinstance(rows, ParquetRows):
        rows.expect(upcoming(), memory)
