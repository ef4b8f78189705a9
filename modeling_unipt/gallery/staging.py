"""Adding pictures to a gallery: which are new, and what is known of them."""

import os
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .files import ID, NAME
from .metadata import check_metadata, fit_columns, metadata_columns, read_metadata


@dataclass
class AddReport:
    """What `PersonGallery.add` did with each picture.

    Args:
        added: number of new pictures, those in ``replaced`` among them.
        unchanged: number that were there already under the same name.
        duplicates: (name, name in the gallery) of those whose very bytes were there already under another name.
        replaced: names whose file has other bytes than when it was added; the former picture is removed.
        rejected: (name, reason) of those that cannot be read.
        without_metadata: number of new pictures of which the given metadata say nothing.
        unused_metadata: number of rows of the metadata that name no new picture.
    """

    added: int = 0
    unchanged: int = 0
    duplicates: list = field(default_factory=list)
    replaced: list = field(default_factory=list)
    rejected: list = field(default_factory=list)
    without_metadata: int = 0
    unused_metadata: int = 0


class Staged:
    """New pictures on their way into a gallery, and the rows that they replace.

    Args:
        rows (`GalleryRows`): of the gallery.
        rejected: the gallery's list of (name, reason).
        metadata (`pyarrow.Table`, *optional*): see `PersonGallery.add`.

    Raises:
        UserError: ``metadata`` are not of the types that the gallery has.
    """

    def __init__(self, rows, rejected, metadata=None):
        self.rows, self.rejected, self.report = rows, dict(rejected), AddReport()
        self.metadata = None if metadata is None else fit_columns(metadata, rows.table)
        names = [] if metadata is None else metadata[NAME].to_pylist()
        self.metadata_row = {name: row for row, name in enumerate(names)}
        self.report.unused_metadata = len(names)
        self._clear()

    def _clear(self):
        self.names, self.name_of, self.embeddings, self.removed = [], {}, [], set()

    def __len__(self):
        return len(self.names)

    def put(self, name, content_hash, reason, embedding):
        """Decide about one picture that was read, or not read for a ``reason``."""
        self.rejected.pop(name, None)
        if reason is not None:
            self.rejected[name] = reason
            self.report.rejected.append((name, reason))
            return
        former, there = self.rows.row_of_name.get(name), self.rows.row_of_id.get(content_hash)
        if former is not None and former not in self.removed and self.rows.ids[former] != content_hash:
            self.removed.add(former)
            self.report.replaced.append(name)
        same_as = self.name_of.get(content_hash)
        if there is not None and there not in self.removed:
            same_as = self.rows.names[there]
        if same_as is None:
            self.names.append(name)
            self.name_of[content_hash] = name
            self.embeddings.append(embedding)
            self.report.added += 1
        elif same_as == name:
            self.report.unchanged += 1
        else:
            self.report.duplicates.append((name, same_as))

    def take(self):
        """(table of new rows, their (rows, dim) embeddings, numbers of replaced rows); afterwards nothing is staged."""
        import pyarrow

        table = pyarrow.table({ID: list(self.name_of), NAME: self.names}, self.rows.table.select([ID, NAME]).schema)
        if self.metadata is not None:
            places = [self.metadata_row.get(name) for name in self.names]
            self.report.without_metadata += places.count(None)
            self.report.unused_metadata -= len(places) - places.count(None)
            found = self.metadata.take(pyarrow.array(places, pyarrow.int64()))
            for column in metadata_columns(found):
                table = table.append_column(column, found[column])
        taken = table, np.array(self.embeddings, dtype=np.float32), sorted(self.removed)
        self._clear()
        return taken


def metadata_table(metadata):
    """``metadata`` as `PersonGallery.add` takes them, as a checked `pyarrow.Table`, or None."""
    if metadata is None:
        return None
    if isinstance(metadata, (str, os.PathLike)):
        return read_metadata(metadata)
    return check_metadata(metadata, "the metadata")


@contextmanager
def reporting(progress, total):
    """Gives a function that is told how many more pictures are done; without ``progress`` it moves a bar."""
    if progress is None:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc="embedding images", unit="image") as bar:
            yield bar.update
        return
    done = 0

    def advance(more):
        nonlocal done
        done += more
        progress(done, total)

    yield advance
