"""Sets whose annotation names image files: JSON in any shape, and tables."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import file_content

from ..records.entries import Entry, read_entries
from ..records.json_files import file_sha256
from ..records.layout import Sample, sample_of
from ..records.paths import ImageFolder, PathTally, coverage_line
from ..records.values import split_of
from .base import Content, FurtherColumn, ImportedSet, split_name
from .layouts import ImportLayout
from .store import Listing, RowStore, StoredRow

# If more than this share of the entries is broken, the file has another layout.
MOST_BROKEN = 0.25


class AnnotatedSet(ImportedSet):
    """Image files that annotation files name.

    Args:
        described: the set's description.
        files: the annotation files.
        images: the folder that paths are relative to.
        fix_paths: take the spelling of a path that exists on disk.
        caption_backend: who wrote the captions, if the user says it.
    """

    def __init__(
        self,
        described: ImportLayout,
        files: Sequence[Path],
        images: Path,
        fix_paths: bool = False,
        caption_backend: str | None = None,
    ) -> None:
        super().__init__()
        self.caption_backend = caption_backend
        self.described = described
        self.files = files
        self.images = images
        self.fix_paths = fix_paths
        self.split_key = "split"
        self._tally = PathTally(ImageFolder(images, described.layout.images[0]))
        self._sizes = hashlib.sha256()
        self._bytes = 0
        for column, kept in described.layout.kept.items():
            self.columns[column] = FurtherColumn(kept.type, kept.about)

    def entries(self, file: Path) -> Iterator[Entry]:
        """The entries of one annotation file."""
        return read_entries(file, self.described.layout.keys, broken_lines=True)

    def sample(self, entry: Entry) -> Sample:
        """What an entry says.

        Raises:
            UserError: it cannot be used; the message begins with ``entry.where``.
        """
        return sample_of(self.described.layout, entry)

    def read(self, store: RowStore) -> None:
        broken = 0
        first_error = None
        numbers = itertools.count()
        for file_number, file in enumerate(self.files):
            for entry in tqdm(self.entries(file), desc=f"reading {file.name}", unit="entry", disable=None):
                number = next(numbers)
                try:
                    sample = self.sample(entry)
                    split = self._split(entry)
                except UserError as error:
                    broken += 1
                    first_error = first_error or error
                    # The list of refused images is published with the dataset; whose folders they lay in is not.
                    name = entry.where.replace(str(file), file.name, 1)
                    store.refuse(name, str(error).removeprefix(entry.where).lstrip(": "))
                else:
                    self._keep(store, number, file_number, split, sample)
        listed = next(numbers)
        if first_error is not None and broken > listed * MOST_BROKEN:
            raise first_error
        sums = "".join(f", annotation {file_sha256(file)[:12]}" for file in self.files)
        self.fingerprint = f"{listed} files, {self._bytes} bytes, {self._sizes.hexdigest()[:12]}{sums}"
        first = self.files[0]
        named = first if len(self.files) == 1 else first.parent / f"*{first.suffix}"
        respelled = self._tally.check(named, self.fix_paths)
        coverage = coverage_line(named, self._tally.images, len(store), store.found())
        self.told += [line for line in (respelled, coverage) if line is not None]

    def _keep(self, store: RowStore, number: int, file_number: int, split: str, sample: Sample) -> None:
        place = self._tally.find(sample.path)
        path = PurePosixPath(place or sample.path).as_posix()
        listing = Listing(number, path, file_number, split, path, place, [], sample.kept)
        file_name = self.files[file_number].name
        backends = [self.caption_backend or self.described.written_by(file_name, key) for key in sample.caption_keys]
        self.add(store, listing, sample.captions, backends, sample.written)
        try:
            size = (self.images / inside(path)).stat().st_size
        except (OSError, ValueError):  # a name with a zero byte is a ValueError
            size = -1
        self._bytes += max(size, 0)
        self._sizes.update(f"{path}\0{size}\0".encode())

    def _split(self, entry: Entry) -> str:
        """The split that an entry names, or the name of its list; else "train"."""
        value = entry.values.get(self.split_key)
        if value is None:
            return split_of(entry.group) or "train"
        split = split_name(value)
        if split is None:
            raise UserError(f"{entry.where} has the split {value!r}, which is no name")
        return split

    def contents(self, rows: Iterable[StoredRow]) -> Iterator[tuple[StoredRow, Content]]:
        for row in rows:
            yield row, partial(file_content, self.images / inside(row.place or row.name))


def inside(path: str) -> str:
    """A path that is missing in the image folder, such that it cannot name a file outside of it."""
    return path.lstrip("/")
