"""The rows of a gallery in memory: what is known of each image, and which of them still count."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow

from .files import ID, NAME
from .metadata import Where, distinct_values, matching, metadata_columns


class GalleryRows:
    """All rows ever added, numbered as in the gallery's files, of which some are removed.

    Args:
        table: ``content_hash``, ``file_name`` and the metadata of each row.
        removed: numbers of the rows that no longer count.

    Attributes:
        ids: SHA-256 of each row's image file.
        names: file name of each row.
        mask: bool array of shape (rows,), whether a row counts.
        live: int array, the numbers of the rows that count; an image's place in the gallery is its place in here.
        row_of_name: file name -> row number, of those that count.
        row_of_id: SHA-256 -> row number, of those that count.
    """

    def __init__(self, table: pyarrow.Table, removed: Iterable[int] = ()) -> None:
        self.table = table.combine_chunks()
        self.removed = sorted(removed)
        self.ids: list[str] = table[ID].to_pylist()
        self.names: list[str] = table[NAME].to_pylist()
        self.mask = np.ones(len(table), dtype=bool)
        self.mask[self.removed] = False
        self.live = np.flatnonzero(self.mask)
        live = self.live.tolist()
        self.row_of_name = {self.names[row]: row for row in live}
        self.row_of_id = {self.ids[row]: row for row in live}
        self.metadata_columns = metadata_columns(self.table)

    def __len__(self) -> int:
        return len(self.live)

    @cached_property
    def columns(self) -> dict[str, list[Any] | None]:
        """Metadata column -> its sorted distinct values, or None where there are more than 200."""
        return distinct_values(self.table.take(self.live))

    def selected(self, where: Where | None = None) -> np.ndarray | None:
        """The rows that count and fulfil ``where``, as a mask; None where all rows do without any condition."""
        if where:
            return self.mask & matching(self.table, where)
        return self.mask if self.removed else None

    def metadata(self, row: int) -> dict[str, Any]:
        """Column -> value of one row."""
        return {column: self.table[column][row].as_py() for column in self.metadata_columns}

    def numbers(self, names: Sequence[str]) -> list[int | None]:
        """The row number, or None, of each file name or id."""
        return [self.row_of_name.get(name, self.row_of_id.get(name)) for name in names]

    def changed(self, more: pyarrow.Table | None = None, removed: Iterable[int] = ()) -> "GalleryRows":
        """New rows: these, those of the table ``more`` behind them, and further ones removed."""
        table = self.table if more is None else pyarrow.concat_tables([self.table, more], promote_options="default")
        return GalleryRows(table, [*self.removed, *removed])
