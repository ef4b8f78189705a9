"""What every image source offers, the plainest one (a folder of image files), and reading many images ahead."""

import itertools
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.image_files import UnreadableImage, find_images
from ..common.parallel import map_ahead
from .reading import MAX_BYTES, SourceImage, fingerprint, image_ids, read_source_image, readable


class Source:
    """Images in a fixed order, read at any position, from any thread, and after pickling in any process.

    Attributes:
        ids: list of unique texts, one an image.
        fingerprint: a short text that changes when the images change, as far as that is told without reading them.
    """

    def __len__(self):
        return len(self.ids)

    def name(self, position):
        """What ``rejected.jsonl`` calls the image."""
        return self.ids[position]

    def content(self, position):
        """(the bytes of an image file, its name).

        Raises:
            UnreadableImage: there are none.
        """
        raise NotImplementedError

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
        UserError: see :func:`modeling_unipt.common.image_files.find_images`.
    """

    def __init__(self, folder, paths=None):
        self.folder = Path(folder)
        self.paths = find_images(folder) if paths is None else paths
        self.ids = image_ids(self.paths)
        self.fingerprint = fingerprint(folder, self.paths)

    def name(self, position):
        return readable(self.paths[position])

    def content(self, position):
        path = self.folder / self.paths[position]
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise UnreadableImage("is not a file")  # a named pipe would wait for ever
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
