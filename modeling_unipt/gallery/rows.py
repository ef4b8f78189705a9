"""The rows of a gallery in memory: what is known of each picture, and which of them still count."""

from functools import cached_property

import numpy as np

from .files import ID, NAME
from .metadata import distinct_values, matching, metadata_columns


class GalleryRows:
    """All rows ever added, numbered as in the gallery's files, of which some are removed.

    Args:
        table (`pyarrow.Table`): ``content_hash``, ``file_name`` and the metadata of each row.
        removed: numbers of the rows that no longer count.

    Attributes:
        ids, names: SHA-256 and file name of each row.
        mask (bool array of shape (rows,)): whether a row counts.
        live (int array): numbers of the rows that count; a picture's place in the gallery is its place in here.
        row_of_name, row_of_id: row numbers of those that count.
    """

    def __init__(self, table, removed=()):
        self.table, self.removed = table.combine_chunks(), sorted(removed)
        self.ids, self.names = table[ID].to_pylist(), table[NAME].to_pylist()
        self.mask = np.ones(len(table), dtype=bool)
        self.mask[self.removed] = False
        self.live = np.flatnonzero(self.mask)
        live = self.live.tolist()
        self.row_of_name = {self.names[row]: row for row in live}
        self.row_of_id = {self.ids[row]: row for row in live}
        self.metadata_columns = metadata_columns(self.table)

    def __len__(self):
        return len(self.live)

    @cached_property
    def columns(self):
        """Metadata column -> its sorted distinct values, or None where there are more than 200."""
        return distinct_values(self.table.take(self.live))

    def selected(self, where=None):
        """The rows that count and fulfil ``where``, as a mask; None where all rows do without any condition."""
        if where:
            return self.mask & matching(self.table, where)
        return self.mask if self.removed else None

    def metadata(self, row):
        """Column -> value of one row."""
        return {column: self.table[column][row].as_py() for column in self.metadata_columns}

    def numbers(self, names):
        """The row number, or None, of each file name or id."""
        return [self.row_of_name.get(name, self.row_of_id.get(name)) for name in names]

    def changed(self, more=None, removed=()):
        """`GalleryRows` with the rows of the table ``more`` behind these, and further ones removed."""
        import pyarrow

        table = self.table if more is None else pyarrow.concat_tables([self.table, more], promote_options="default")
        return GalleryRows(table, [*self.removed, *removed])
