"""What a gallery knows of its images. Nothing here needs a model, so `unipt info` and `unipt remove` start at once."""

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from PIL import Image

from ..common.user_errors import UserError
from .constants import KINDS
from .files import GalleryFiles, empty_rows
from .images import PathLike, StoredImages
from .metadata import Where
from .rows import GalleryRows


class GalleryRecords:
    """The images of a gallery by name and id, their metadata, and the files that hold all of it, if it is saved.

    Args:
        folder: where the images lie; their names are relative to it.
        index: kind of index, ``"exact"``, ``"hnsw"`` or ``"ivf"``; by default exact up to 500,000 images, ivf for more.
        revision: the Hub revision of the model that embeds them.

    Attributes:
        rejected: (file name, reason) of the images that could not be read.
    """

    def __init__(self, folder: PathLike = "", index: str | None = None, revision: str | None = None) -> None:
        if index is not None and index not in KINDS:
            raise UserError(f"index is {index!r}; it must be one of {', '.join(KINDS)}")
        self.folder = str(folder)
        self.index_kind = index
        self.revision = revision
        self.rejected: list[tuple[str, str]] = []
        self._rows = GalleryRows(empty_rows())
        self._files: GalleryFiles | None = None
        self._stored: StoredImages | None = None

    @classmethod
    def open(cls, folder: PathLike) -> "GalleryRecords":
        """The records of a saved gallery.

        Raises:
            UserError: ``folder`` is missing, not a gallery or damaged.
        """
        files = GalleryFiles.open(folder)
        header = files.manifest.header
        records = cls(header.folder, header.index_kind, header.revision)
        records._read(files)
        return records

    def _read(self, files: GalleryFiles) -> None:
        """Take everything from the files of a saved gallery, and stay tied to them."""
        self._files = files
        self.rejected = files.read_rejected()
        self._rows = GalleryRows(*files.read_rows())

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def file_names(self) -> list[str]:
        """Name of each image, in order of adding."""
        return [self._rows.names[row] for row in self._rows.live.tolist()]

    @property
    def ids(self) -> list[str]:
        """SHA-256 of each image's file, in the order of ``file_names``."""
        return [self._rows.ids[row] for row in self._rows.live.tolist()]

    @property
    def columns(self) -> dict[str, list[Any] | None]:
        """Metadata column -> its sorted distinct values, or None where there are more than 200."""
        return self._rows.columns

    def image_of(self, index: int) -> Image.Image:
        """The image at place ``index`` of ``file_names``, read again from its file or from the source it lies in.

        Raises:
            UnreadableImage: the file or source is gone, or was changed since the image was indexed.
        """
        # The folder of a gallery may be set anew, because its images were moved.
        if self._stored is None or self._stored.folder != self.folder:
            self._stored = StoredImages(self.folder)
        row = self._rows.live[index]
        return self._stored.read(self._rows.names[row], self._rows.ids[row])

    def remove(self, names: str | Sequence[str]) -> int:
        """Take images out of the gallery.

        Their rows stay in the gallery's files, marked as removed; `save` to a new folder writes only what is left.

        Args:
            names: a file name or id (SHA-256 of the file), or a list of them.

        Returns:
            Number of images removed.

        Raises:
            UserError: the gallery has no such image; then nothing is removed.
        """
        names = [names] if isinstance(names, str) else list(names)
        rows = self._rows.numbers(names)
        if None in rows:
            name = names[rows.index(None)]
            raise UserError(
                f"the gallery has no image with the file name or id {name} ({rows.count(None)} of {len(names)} are "
                "unknown); nothing was removed"
            )
        removed = sorted(set(rows))
        with self._writing():
            left = self._rows.changed(removed=removed)
            if self._files:
                self._files.commit(len(left), removed=removed)
            self._rows = left
        return len(removed)

    def check_where(self, where: Where | None) -> None:
        """Raise what `search` would raise about ``where``."""
        self._rows.selected(where)

    def info(self) -> dict[str, Any]:
        """What a saved gallery holds. JSON takes all of it but dates among the values of ``columns``."""
        manifest = self._files.manifest
        header = manifest.header
        entry = dataclasses.asdict(manifest.index) if manifest.index else {"kind": self.index_kind}
        index = {key: entry.get(key) for key in ("kind", "recall_at_10", "effort", "rows")}
        return {
            "images": len(self),
            "removed": len(self._rows.removed),
            "rejected": len(self.rejected),
            "folder": self.folder,
            "model": header.model,
            "revision": header.revision,
            "weights": header.weights,
            "dim": header.dim,
            "index": {**index, "trouble": self._files.index_trouble()},
            "columns": self.columns,
            "segments": len(manifest.segments),
            "bytes": self._files.size(),
        }

    def _writing(self) -> AbstractContextManager[None]:
        return self._files.writing() if self._files else nullcontext()
