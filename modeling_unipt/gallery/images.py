"""Where a gallery's pictures come from: a folder, a list of files, or a dataset."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from ..common.image_files import UnreadableImage, find_images, read_image
from ..common.user_errors import UserError, first_line
from .files import NAME, OWN_COLUMNS

NAME_COLUMNS = ("file_name", "image_id")  # of a dataset, the first that is there


@dataclass(frozen=True)
class Picture:
    """A picture before it is read: its name in the gallery, and its file or the file's bytes."""

    name: str
    source: Path | bytes

    def read(self):
        """((self, SHA-256 of the bytes or None, reason why it cannot be used or None), ``PIL.Image`` or None)."""
        try:
            data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        except OSError as error:
            return (self, None, f"cannot be read ({error.strerror or type(error).__name__})"), None
        content_hash = hashlib.sha256(data).hexdigest()
        try:
            if not data:
                raise UnreadableImage("zero bytes")
            return (self, content_hash, None), read_image(io.BytesIO(data))
        except UnreadableImage as reason:
            return (self, content_hash, str(reason)), None


def pictures_at(images, root):
    """`Picture`s of a folder, searched with its sub-folders, or of one file or a list of files.

    Their names are paths relative to ``root`` where they lie below it, else absolute ones.

    Raises:
        UserError: a folder or file is missing, or nothing is there.
    """
    if isinstance(images, (str, os.PathLike)):
        folder = Path(images).resolve()
        paths = [folder] if folder.is_file() else [folder / name for name in find_images(folder)]
    else:
        paths = [Path(os.path.abspath(path)) for path in images]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(f"image {missing[0]} does not exist ({len(missing)} of {len(paths)} are missing)")
    return [Picture(_name_of(path, root), path) for path in paths]


def _name_of(path, root):
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.as_posix()


def pictures_of_dataset(dataset, split, image_column):
    """The `Picture`s of a `datasets.Dataset` or of one given by its name, and the table of their metadata.

    Returns:
        (number of pictures, iterable of `Picture`, `pyarrow.Table` with a row each picture and ``file_name``)

    Raises:
        UserError: it cannot be loaded, is a stream or several splits, or has no or several image columns.
    """
    from datasets import ClassLabel, Dataset, Image, Value, load_dataset

    from .metadata import plain, scalar_columns

    name = "the dataset"
    if isinstance(dataset, (str, os.PathLike)):
        name = f"dataset {dataset}"
        try:
            dataset = load_dataset(str(dataset), split=split)
        except Exception as error:  # datasets and huggingface_hub raise many kinds
            raise UserError(f"{name} cannot be loaded: {first_line(error)}") from error
    if not isinstance(dataset, Dataset):
        kind = type(dataset).__name__
        raise UserError(f"{name} is a {kind}; give one split of it, not streamed, as load_dataset(..., split=...) does")
    found = [column for column, feature in dataset.features.items() if isinstance(feature, Image)]
    if image_column is None and len(found) != 1:
        raise UserError(
            f"{name} has {len(found)} image columns ({', '.join(found) or 'none'}); name one: image_column="
        )
    image_column = image_column or found[0]
    if image_column not in found:
        raise UserError(f"column {image_column} of {name} holds no images; those do: {', '.join(found) or 'none'}")

    features = {column: feature for column, feature in dataset.features.items() if column != image_column}
    kept = [column for column, feature in features.items() if isinstance(feature, (Value, ClassLabel, dict))]
    images = dataset.select_columns([image_column]).cast_column(image_column, Image(decode=False))
    known = dataset.select_columns(kept).with_format("arrow")[:] if kept else None
    if known is not None:
        for column in kept:
            if isinstance(features[column], ClassLabel):
                labels = [
                    None if label is None else features[column].int2str(label) for label in known[column].to_pylist()
                ]
                known = known.set_column(known.column_names.index(column), column, [labels])
        known = plain(scalar_columns(known))
    names = _names(images, image_column, known)
    pictures = (Picture(name, _source(row[image_column])) for name, row in zip(names, images, strict=True))
    return len(images), pictures, _with_names(known, names)


def _names(images, image_column, known):
    """A name for each row: of `NAME_COLUMNS`, or of the image files; with the row's number where names repeat."""
    column = next((name for name in NAME_COLUMNS if known is not None and name in known.column_names), None)
    if column:
        names = [None if name is None else str(name) for name in known[column].to_pylist()]
    else:
        names = [row[image_column]["path"] for row in images]
    if None not in names and len(set(names)) == len(names):
        return names
    return [f"{row:06d}" if name is None else f"{row:06d}-{Path(name).name}" for row, name in enumerate(names)]


def _with_names(known, names):
    import pyarrow

    column = pyarrow.array(names, pyarrow.string())
    if known is None:
        return pyarrow.table({NAME: column})
    reserved = [name for name in (*OWN_COLUMNS, *NAME_COLUMNS) if name in known.column_names]
    return known.drop_columns(reserved).append_column(NAME, column)


def _source(image):
    return Path(image["path"] or "") if image["bytes"] is None else image["bytes"]
