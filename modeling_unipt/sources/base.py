"""What every image source offers, the plainest one (a folder of image files), and reading many images ahead."""

import itertools
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow
from PIL import Image

from ..common.image_files import UnreadableImage
from ..common.image_folders import list_folder
from ..common.parallel import map_ahead
from .reading import MAX_BYTES, SourceImage, fingerprint, image_ids, read_source_image, readable


class Source:
    """Images in a fixed order. Any position can be read, from any thread, and in another process after pickling.

    A sub-class sets ``ids`` and ``fingerprint`` and defines :meth:`content`.

    Attributes:
        ids: one unique text for each image.
        fingerprint: a short text that changes when the images change, as far as that shows without reading them.
        reads_in_order: whether reading at a position after the last one is much cheaper than reading before it.
        left_out: what else is named like an image -> how many files;
            see :func:`modeling_unipt.common.image_folders.left_out_line`.
    """

    ids: list[str]
    fingerprint: str
    reads_in_order: bool = False
    left_out: Mapping[str, int] = MappingProxyType({})

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, position: int) -> str:
        """What ``rejected.jsonl`` calls the image."""
        return self.ids[position]

    def place(self, position: int) -> str:
        """Where the image lies in the source, unlike any other: the path of a file, else the image's id."""
        return self.ids[position].lstrip("/")

    def content(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image file, and the file's name.

        Raises:
            UnreadableImage: there are none.
        """
        raise NotImplementedError

    def columns(self) -> pyarrow.Table | None:
        """What else the source tells of each image: a table of single values, one row an image, or None."""
        return None

    def read(
        self,
        position: int,
        prepare: Callable[[Image.Image], np.ndarray] | None = None,
        examine: Callable[[Image.Image], Any] | None = None,
    ) -> SourceImage:
        """Read and decode one image; for arguments and errors see :func:`read_source_image`."""
        return read_source_image(*self.content(position), prepare, examine)


class FolderSource(Source):
    """Image files below a folder.

    Args:
        paths: relative to the folder; default: all image files, also in sub-folders, sorted.
    Raises:
        UserError: see :func:`modeling_unipt.common.image_folders.list_folder`.
    """

    def __init__(self, folder: Path | str, paths: Sequence[Path] | None = None) -> None:
        self.folder = Path(folder)
        if paths is None:
            listing = list_folder(folder)
            paths = listing.paths
            self.left_out = listing.left_out
        self.paths = list(paths)
        self.ids = image_ids(self.paths)
        self.fingerprint = fingerprint(folder, self.paths)

    def name(self, position: int) -> str:
        return readable(self.paths[position])

    def place(self, position: int) -> str:
        return self.name(position)

    def content(self, position: int) -> tuple[bytes, str]:
        return file_content(self.folder / self.paths[position])


def file_content(path: Path) -> tuple[bytes, str]:
    """The bytes of an image file, and the file's name.

    Raises:
        UnreadableImage: it is missing, is no regular file, is too large or cannot be read.
    """
    try:
        facts = path.stat()
        # A named pipe would be waited for without end.
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadableImage("is not a file")
        if facts.st_size > MAX_BYTES:
            raise UnreadableImage(f"more than {MAX_BYTES:,} bytes")
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        told = getattr(error, "strerror", None) or type(error).__name__
        raise UnreadableImage(f"cannot be read ({told})") from None


def read_batches(
    source: Source,
    positions: Sequence[int],
    batch_size: int,
    workers: int,
    prepare: Callable[[Image.Image], np.ndarray] | None = None,
    examine: Callable[[Image.Image], Any] | None = None,
) -> Iterator[list[tuple[int, SourceImage | str]]]:
    """Read images of a source in order, two batches ahead, in threads (Pillow decodes without the GIL).

    Args:
        positions: positions of the images in the source.
        workers: number of threads.
        prepare: see :func:`read_source_image`.
        examine: see :func:`read_source_image`.

    Yields:
        Lists of up to ``batch_size`` pairs: a position, and its :class:`SourceImage` or the reason of its refusal.
    """

    def read(position: int) -> tuple[int, SourceImage | str]:
        try:
            return position, source.read(position, prepare, examine)
        except UnreadableImage as refusal:
            return position, str(refusal)

    images = map_ahead(read, positions, workers, 3 * batch_size)
    while batch := list(itertools.islice(images, batch_size)):
        yield batch
