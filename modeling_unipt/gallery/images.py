"""Where a gallery's images come from, their names, and opening them again after a search.

An image has a path: that of its file, or, if it lies packed in a tar file, table or database, the path of that source
followed by the image's id in it, such as ``/data/crops.tar/cam_a/0017``. Its name in a gallery is that path, relative
to the gallery's folder if it lies below it.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
from PIL import Image

from ..common.image_files import UnreadableImage, read_image
from ..common.image_formats import IMAGE_SUFFIXES
from ..common.user_errors import UserError, first_line
from ..sources.base import FolderSource, Source
from ..sources.open import absolute_spec, is_packed_file, open_source
from ..sources.reading import decode
from ..sources.tables import DatasetSource
from .files import NAME, OWN_COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

# The columns of a dataset that can name its images; the first one that is there does.
NAME_COLUMNS = ("file_name", "image_id")
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """An image before it is read.

    Attributes:
        name: its name in the gallery.
        source: what it is read from.
        position: its place in the source.
    """

    name: str
    source: Source
    position: int

    def content(self) -> bytes:
        """The bytes of the image file; UnreadableImage says why there are none."""
        return self.source.content(self.position)[0]


@dataclass(frozen=True)
class FoundImages:
    """Images to be added, and what their sources tell of them.

    Attributes:
        metadata: a table with the column ``file_name`` and a row for each image, or None.
    """

    images: Sequence[GalleryImage]
    metadata: pyarrow.Table | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image after it was read.

    Attributes:
        name: its name in the gallery.
        content_hash: SHA-256 of its bytes, or None if it has none.
        reason: why it cannot be used, or None if it can.
    """

    name: str
    content_hash: str | None
    reason: str | None = None


def images_at(places: PathLike | Sequence[PathLike], root: str) -> FoundImages:
    """The images at one place or at a list of places.

    Args:
        places: an image file, or anything that :func:`~modeling_unipt.sources.open.open_source` opens.
        root: the gallery's folder.

    Raises:
        UserError: a place is missing, or holds no images.
    """
    if isinstance(places, (str, os.PathLike)):
        return _images_at_one(places, root)
    missing = [place for place in places if not Path(place).exists()]
    if missing:
        raise UserError(f"image {missing[0]} does not exist ({len(missing)} of {len(places)} are missing)")
    found = []
    for are_files, group in groupby(places, _is_image_file):
        if are_files:
            # Not resolved: a link in the gallery's folder keeps the name that it has there.
            found.append(_images_of_files([Path(os.path.abspath(place)) for place in group], root))
        else:
            found += [_images_at_one(place, root) for place in group]
    return joined(found)


def joined(parts: Sequence[FoundImages]) -> FoundImages:
    """The images of all parts, in order."""
    tables = [part.metadata for part in parts if part.metadata is not None]
    try:
        metadata = pyarrow.concat_tables(tables, promote_options="default") if tables else None
    except pyarrow.ArrowException as error:
        raise UserError(f"the columns of the sources do not fit each other ({first_line(error)})") from None
    return FoundImages([image for part in parts for image in part.images], metadata)


def _images_at_one(place: PathLike, root: str) -> FoundImages:
    path = Path(place)
    if _is_image_file(path):
        return _images_of_files([path.resolve()], root)
    # Without this, a missing "photo.jpg" would be looked for as a dataset on the Hub.
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.exists():
        raise UserError(f"image {path} does not exist")
    return images_of_source(open_source(place), absolute_spec(place), root)


def _is_image_file(place: PathLike) -> bool:
    return Path(place).is_file() and not is_packed_file(place)


def _images_of_files(paths: Sequence[Path], root: str) -> FoundImages:
    return images_of_source(FolderSource("", paths), "", root)


def images_of_source(source: Source, location: str, root: str) -> FoundImages:
    """All images of a source.

    Args:
        location: the absolute path of the source, or its name on the Hub; "" if the places in it are whole paths.
        root: the gallery's folder.
    """
    before = f"{Path(location).as_posix().rstrip('/')}/" if location else ""
    below = f"{Path(root).as_posix().rstrip('/')}/" if root else ""
    images = []
    for position in range(len(source)):
        # Done with texts because Path objects take ten times as long, which counts for millions of images.
        name = (before + source.place(position)).removeprefix(below)
        images.append(GalleryImage(name, source, position))
    return FoundImages(images, _named_rows(source.columns(), [image.name for image in images]))


def images_of_dataset(dataset: "Dataset | PathLike", split: str, image_column: str | None) -> FoundImages:
    """The images of a ``datasets.Dataset``, or of one given by its name.

    Raises:
        UserError: it cannot be loaded, is a stream or several splits, or has no or several columns of images.
    """
    from datasets import Dataset, load_dataset

    where = "the dataset"
    if isinstance(dataset, (str, os.PathLike)):
        where = f"dataset {dataset}"
        try:
            dataset = load_dataset(str(dataset), split=split)
        except Exception as error:  # datasets and huggingface_hub raise many kinds
            raise UserError(f"{where} cannot be loaded: {first_line(error)}") from error
    if not isinstance(dataset, Dataset):
        kind = type(dataset).__name__
        raise UserError(
            f"{where} is a {kind}; give one split of it, not streamed, as load_dataset(..., split=...) does"
        )
    source = DatasetSource(where, {split: dataset}, image_column, "name one of them: image_column=")
    known = source.columns()
    names = _names_of_rows(source, known)
    images = [GalleryImage(name, source, position) for position, name in enumerate(names)]
    return FoundImages(images, _named_rows(known, names))


def _names_of_rows(source: DatasetSource, known: pyarrow.Table | None) -> list[str]:
    """A name for each row: of `NAME_COLUMNS`, or of the image files; with the row's number where names repeat."""
    column = next((name for name in NAME_COLUMNS if known is not None and name in known.column_names), None)
    if column is not None:
        names = [None if name is None else str(name) for name in known[column].to_pylist()]
    else:
        names = [row["image"] and row["image"]["path"] for row in source.rows]
    if None not in names and len(set(names)) == len(names):
        return names
    return [f"{row:06d}" if name is None else f"{row:06d}-{Path(name).name}" for row, name in enumerate(names)]


def _named_rows(known: pyarrow.Table | None, names: list[str]) -> pyarrow.Table | None:
    """What a source tells of its images, with their names in the gallery in place of the names that it has itself."""
    if known is None:
        return None
    reserved = [name for name in (*OWN_COLUMNS, *NAME_COLUMNS) if name in known.column_names]
    if len(reserved) == known.num_columns:
        return None
    return known.drop_columns(reserved).append_column(NAME, pyarrow.array(names, pyarrow.string()))


Fetched = tuple[GalleryImage, bytes | UnreadableImage | None]


def fetched(images: Iterable[GalleryImage]) -> Iterator[Fetched]:
    """Each image with its bytes, if its source has to be read in order: the threads that call `read` keep none."""
    for image in images:
        content = None
        if image.source.reads_in_order:
            try:
                content = image.content()
            except UnreadableImage as refusal:
                content = refusal
        yield image, content


def read(item: Fetched) -> tuple[ReadImage, Image.Image | None]:
    """What is known of an image that `fetched` gave, and its pixels, or None if it cannot be used."""
    image, content = item
    try:
        if isinstance(content, UnreadableImage):
            raise content
        data = image.content() if content is None else content
    except UnreadableImage as refusal:
        return ReadImage(image.name, None, str(refusal)), None
    content_hash = hashlib.sha256(data).hexdigest()
    try:
        return ReadImage(image.name, content_hash), decode(data)
    except UnreadableImage as refusal:
        return ReadImage(image.name, content_hash, str(refusal)), None


class StoredImages:
    """Opens the images of a gallery again: their files, or the sources in which they lie packed.

    Args:
        folder: the gallery's folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        # Opened sources, and where each image lies in them; None for what cannot be opened.
        self._sources: dict[str, tuple[Source, dict[str, int]] | None] = {}

    def read(self, name: str, content_hash: str) -> Image.Image:
        """The image called ``name``.

        Raises:
            UnreadableImage: it is gone or damaged, or its source is gone or holds other images now.
        """
        path = Path(self.folder, name)
        if path.is_file():
            return read_image(path)
        for location, place in self._candidates(name, path):
            opened = self._open(location)
            if opened is None or place not in opened[1]:
                continue
            source, positions = opened
            data, _ = source.content(positions[place])
            # Rows are named by their number: after a change of the source it may be another person's.
            if hashlib.sha256(data).hexdigest() == content_hash:
                return decode(data)
        raise UnreadableImage("is gone or was changed since it was indexed")

    def _candidates(self, name: str, path: Path) -> Iterator[tuple[str, str]]:
        """Sources that may hold the image, and its place there: the gallery's own, and the nearest file or folder."""
        folder = Path(self.folder)
        # A relative folder is the name of a dataset on the Hub, or "." of a gallery that knows no folder: the working
        # folder is not searched.
        if self.folder and not Path(name).is_absolute() and (folder.is_absolute() or not folder.exists()):
            yield self.folder, name
        if path.is_absolute():
            for parent in path.parents:
                if parent.exists():
                    yield str(parent), path.relative_to(parent).as_posix()
                    return

    def _open(self, location: str) -> tuple[Source, dict[str, int]] | None:
        if location not in self._sources:
            try:
                source = open_source(location)
                places = {source.place(position): position for position in range(len(source))}
                self._sources[location] = (source, places)
            except UserError:
                self._sources[location] = None
        return self._sources[location]
