"""Adding images to a gallery: which are new, and what is known of them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow
from tqdm.auto import tqdm

from .files import ID, NAME
from .images import ReadImage
from .metadata import fit_columns, metadata_columns
from .rows import GalleryRows

Progress = Callable[[int, int], None]
"""Called with the number of images done, and of images in all."""


@dataclass
class AddReport:
    """What `PersonGallery.add` did with each image.

    Args:
        added: number of new images, including those in ``replaced``.
        unchanged: number that were there already under the same name.
        duplicates: (name, name in the gallery) of those whose very bytes were there already under another name.
        replaced: names whose file has other bytes than when it was added; the former image is removed.
        rejected: (name, reason) of those that cannot be read.
        without_metadata: number of new images that have no row in the given metadata.
        unused_metadata: number of rows in the given metadata that match none of the new images.
    """

    added: int = 0
    unchanged: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    without_metadata: int = 0
    unused_metadata: int = 0


@dataclass(frozen=True)
class NewRows:
    """What one commit adds to a gallery.

    Attributes:
        table: ``content_hash``, ``file_name`` and metadata of the new rows.
        embeddings: (rows, dim) float32 array.
        removed: numbers of the rows that the new ones replace.
    """

    table: pyarrow.Table
    embeddings: np.ndarray
    removed: list[int]


class Staged:
    """New images on their way into a gallery, and the rows that they replace.

    Args:
        rows: of the gallery.
        rejected: the gallery's (name, reason) of images that could not be read.
        metadata: a table with the column ``file_name``, or None.

    Raises:
        UserError: ``metadata`` are not of the types that the gallery has.
    """

    def __init__(
        self, rows: GalleryRows, rejected: Iterable[tuple[str, str]], metadata: pyarrow.Table | None = None
    ) -> None:
        self.rows = rows
        self.rejected = dict(rejected)
        self.report = AddReport()
        self.metadata = None if metadata is None else fit_columns(metadata, rows.table)
        names = [] if metadata is None else metadata[NAME].to_pylist()
        self.metadata_row = {name: row for row, name in enumerate(names)}
        self.report.unused_metadata = len(names)
        self._clear()

    def _clear(self) -> None:
        self.names: list[str] = []
        self.name_of: dict[str, str] = {}
        self.embeddings: list[np.ndarray] = []
        self.removed: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def put(self, image: ReadImage, embedding: np.ndarray | None) -> None:
        """Decide about one image. ``embedding`` has the shape (dim,); it is None if the image cannot be used."""
        name = image.name
        # It may have been mended since it was rejected.
        self.rejected.pop(name, None)
        if image.reason is not None:
            self.rejected[name] = image.reason
            self.report.rejected.append((name, image.reason))
            return
        former = self.rows.row_of_name.get(name)
        if former is not None and former not in self.removed and self.rows.ids[former] != image.content_hash:
            self.removed.add(former)
            self.report.replaced.append(name)
        there = self.rows.row_of_id.get(image.content_hash)
        same_as = self.name_of.get(image.content_hash)
        if there is not None and there not in self.removed:
            same_as = self.rows.names[there]
        if same_as is None:
            self.names.append(name)
            self.name_of[image.content_hash] = name
            self.embeddings.append(embedding)
            self.report.added += 1
        elif same_as == name:
            self.report.unchanged += 1
        else:
            self.report.duplicates.append((name, same_as))

    def take(self) -> NewRows:
        """What is staged; afterwards nothing is."""
        columns = {ID: list(self.name_of), NAME: self.names}
        # With the gallery's types, which empty lists would not have.
        table = pyarrow.table(columns, self.rows.table.select([ID, NAME]).schema)
        if self.metadata is not None:
            places = [self.metadata_row.get(name) for name in self.names]
            missing = places.count(None)
            self.report.without_metadata += missing
            self.report.unused_metadata -= len(places) - missing
            found = self.metadata.take(pyarrow.array(places, pyarrow.int64()))
            for column in metadata_columns(found):
                table = table.append_column(column, found[column])
        new = NewRows(table, np.array(self.embeddings, dtype=np.float32), sorted(self.removed))
        self._clear()
        return new


@contextmanager
def reporting(progress: Progress | None, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many more images are done; without ``progress`` it moves a bar."""
    if progress is None:
        with tqdm(total=total, desc="embedding images", unit="image") as bar:
            yield bar.update
        return
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    yield advance
