"""Which column of a dataset of images and texts holds what."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow
from pyarrow import types

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest

from ..output.parquet_dataset import ColumnType
from .layouts import CAPTION_KEYS, IMAGE_KEYS, columns_named
from .table_files import TableFile

# Columns of LUPerson-T. A further column with one of these names gets "set_" before it.
TAKEN_NAMES = (
    "image",
    "image_id",
    "captions",
    "caption_scores",
    "caption_backends",
    "attributes",
    "attribute_probabilities",
    "duplicate_of",
)


@dataclass(frozen=True)
class Columns:
    """Which column of a set holds what.

    Attributes:
        image: bytes, a structure of bytes and path as ``datasets`` stores them, or the path of an image file.
        captions: a text or a list of texts each.
        image_id: name of the image, or None.
        split: name of its split, or None.
        others: the set's further columns that are kept: name -> name in our dataset.
    """

    image: str
    captions: tuple[str, ...]
    image_id: str | None
    split: str | None
    others: dict[str, str]

    @property
    def all(self) -> list[str]:
        """The names of the columns to read."""
        one = [self.image, *self.captions, self.image_id, self.split, *self.others]
        return list(dict.fromkeys(name for name in one if name is not None))


def column_type(kind: pyarrow.DataType) -> ColumnType | None:
    """The type of a further column as :mod:`dataset_builders.output.parquet_dataset` writes it, or None for none."""
    if types.is_dictionary(kind):
        return column_type(kind.value_type)
    if types.is_struct(kind):
        inner = {field.name: column_type(field.type) for field in kind}
        return None if not inner or None in inner.values() else inner
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = column_type(kind.value_type)
        return None if inner is None else [inner]
    if types.is_string(kind) or types.is_large_string(kind):
        return "string"
    if types.is_integer(kind):
        return "int64"
    if types.is_floating(kind):
        return "float32" if kind.bit_width < 64 else "float64"
    return "bool" if types.is_boolean(kind) else None


def is_image_column(kind: pyarrow.DataType) -> bool:
    """Whether a column holds images themselves: bytes, or a structure of bytes and path."""
    if types.is_struct(kind):
        return {"bytes", "path"} <= {field.name for field in kind}
    return types.is_binary(kind) or types.is_large_binary(kind)


def is_text_column(kind: pyarrow.DataType) -> bool:
    """Whether a column holds texts, or lists of texts."""
    inner = column_type(kind)
    return inner == "string" or inner == ["string"]


def find_columns(
    files: Sequence[TableFile], where: str, image: str | None, captions: Sequence[str], has_folder: bool
) -> Columns:
    """Which column of a dataset holds what.

    Args:
        files: the dataset's.
        where: what the user named.
        image: the column of images that the user names, or None.
        captions: the columns of captions that the user names, or none.
        has_folder: whether the user named a folder of images.

    Raises:
        UserError: a column is missing or holds something else, or the files have different columns.
    """
    schema = files[0].schema()
    for file in files[1:]:
        if file.schema().names != schema.names:
            raise UserError(
                f"{files[0].path.name} and {file.path.name} of {where} have different columns; import them singly"
            )
    image = _named(schema, where, image) if image else _image_column(schema, where)
    if is_image_column(schema.field(image).type):
        if has_folder:
            raise UserError(f"{where} holds the images itself, in its column {image}; leave --images out")
    elif not is_text_column(schema.field(image).type):
        raise UserError(f"column {image} of {where} holds neither images nor paths of images")
    elif not has_folder:
        raise UserError(
            f"{where} holds no images: its column {image} is plain text, which names image files; give their folder "
            "with --images"
        )
    texts = [_named(schema, where, name) for name in captions]
    texts = texts or [name for name in columns_named(schema.names, CAPTION_KEYS) if name != image]
    for name in texts:
        if not is_text_column(schema.field(name).type):
            raise UserError(f"column {name} of {where} holds {schema.field(name).type}, not texts")
    if not texts:
        raise UserError(
            f"{where} has no column of captions among {', '.join(schema.names)}; name it with --caption-columns"
        )
    used = {image, *texts}
    image_id = next(iter(columns_named(schema.names, ["image_id"])), None)
    split = next(iter(columns_named(schema.names, ["split"])), None)
    others = {}
    for field in schema:
        if field.name not in {*used, image_id, split} and column_type(field.type) is not None:
            others[field.name] = f"set_{field.name}" if field.name in TAKEN_NAMES else field.name
    return Columns(image, tuple(texts), image_id, split, others)


def _named(schema: pyarrow.Schema, where: str, name: str) -> str:
    if name not in schema.names:
        raise UserError(
            f"{where} has no column '{name}'{nearest(name, schema.names)}; it has {', '.join(schema.names)}"
        )
    return name


def _image_column(schema: pyarrow.Schema, where: str) -> str:
    """The column of images, or of their paths."""
    found = [field.name for field in schema if is_image_column(field.type)]
    named = columns_named(found or schema.names, IMAGE_KEYS)
    if named:
        return named[0]
    if len(found) == 1:
        return found[0]
    told = f"several columns of images ({', '.join(found)})" if found else "no column of images"
    raise UserError(f"{where} has {told} among {', '.join(schema.names)}; name it with --image-column")
