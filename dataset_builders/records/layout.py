"""The one description of how a set of annotated images is laid out, and the samples that it gives."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_unipt.common.user_errors import UserError

from .entries import Entry, read_entries
from .values import SPLITS, path_of, person_of, split_of, texts_of


@dataclass(frozen=True)
class Kept:
    """What else of an entry goes into the dataset, as a column of its own.

    Attributes:
        key: key of the entry. An entry may lack it.
        type: the column's type, as :mod:`dataset_builders.output.parquet_dataset` writes it.
        about: what the column holds, for the dataset card.
    """

    key: str
    type: Any
    about: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a set of annotated images keeps what.

    Of several keys for the image, the person or the split an entry's first one counts. Of several keys for captions
    all count, in this order.

    Attributes:
        title: the set's name as its authors write it.
        annotations: possible names of the annotation, of which the first that is there counts. A pattern with ``*``
            may match several files, and so may names that are joined by " + ": "train.json + test.json".
        images: folder that paths are relative to, below the set's own folder; "" for that folder itself.
        image: possible keys of an entry's path.
        captions: possible keys of an entry's captions.
        person: possible keys of the person's id; empty if the set has none.
        split: possible keys of the split. Where an entry lacks them, the name of its list or its file says it.
            Empty if the set has no splits.
        kept: column -> what else is kept.
        hints: key of an entry -> what it means if the key is missing.
    """

    title: str
    annotations: tuple[str, ...]
    images: str = ""
    image: tuple[str, ...] = ("file_path",)
    captions: tuple[str, ...] = ("captions",)
    person: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    kept: Mapping[str, Kept] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What one entry says of one image.

    Attributes:
        where: how messages call the entry.
        path: of the image, as written.
        captions: in their normal form, none of them blank.
        caption_keys: for each caption, the key that it stood under.
        blank: number of captions that were blank.
        person: the person's id, a whole number where it is one; None if the layout has none.
        split: "train", "val" or "test"; None if the layout has no splits.
        kept: column -> the value as it stands in the entry, or None if the entry lacks it.
    """

    where: str
    path: str
    captions: list[str]
    caption_keys: list[str]
    blank: int
    person: int | str | None
    split: str | None
    kept: dict[str, Any]


def find_annotation(layout: Layout, folder: Path | str) -> list[Path]:
    """The annotation files in a folder, sorted; empty if there is none."""
    for names in layout.annotations:
        found = [sorted(Path(folder).glob(name)) for name in names.split(" + ")]
        if all(found):
            return [path for paths in found for path in paths]
    return []


def read_samples(layout: Layout, files: Iterable[Path | str]) -> Iterator[Sample]:
    """What annotation files say, entry by entry. Memory does not grow with the files.

    Raises:
        UserError: see :func:`~.entries.read_entries` and :func:`sample_of`.
    """
    for file in files:
        for entry in read_entries(file, layout.image, layout.captions):
            yield sample_of(layout, entry, split_of(Path(file).stem.split("_")[0]))


def sample_of(layout: Layout, entry: Entry, split_of_file: str | None = None) -> Sample:
    """What an entry says.

    Args:
        split_of_file: the split of an entry that names none itself, and whose list names none.

    Raises:
        UserError: the entry lacks a key, or a value is not what it should be; the message begins with ``entry.where``.
    """
    values = entry.values
    path_key = _key_of(layout, entry, layout.image)
    path = path_of(values[path_key])
    if path is None:
        folder = f"{layout.images}/" if layout.images else "the folder of the images"
        raise UserError(f"{entry.where}: '{path_key}' must be a path below {folder}, not {values[path_key]!r}")
    captions: list[str] = []
    caption_keys: list[str] = []
    blank = 0
    _key_of(layout, entry, layout.captions)
    for key in layout.captions:
        if key in values:
            texts = texts_of(values[key])
            if texts is None or texts == type(texts)([], 0):
                raise UserError(f"{entry.where}: '{key}' must be a list of texts that is not empty")
            captions += texts.texts
            caption_keys += [key] * len(texts.texts)
            blank += texts.blank
    person = None
    if layout.person:
        key = _key_of(layout, entry, layout.person)
        person = person_of(values[key])
        if person is None:
            raise UserError(f"{entry.where}: '{key}' must be a whole number, not {values[key]!r}")
    kept = {column: values.get(kept.key) for column, kept in layout.kept.items()}
    return Sample(entry.where, path, captions, caption_keys, blank, person, _split(layout, entry, split_of_file), kept)


def _split(layout: Layout, entry: Entry, split_of_file: str | None) -> str | None:
    if not layout.split:
        return None
    outside = split_of(entry.group) or split_of_file
    if outside is not None and not any(key in entry.values for key in layout.split):
        return outside
    value = entry.values[_key_of(layout, entry, layout.split)]
    split = split_of(value)
    if split is None:
        raise UserError(f"{entry.where} has the split '{value}', which is none of {', '.join(SPLITS)}")
    return split


def _key_of(layout: Layout, entry: Entry, keys: tuple[str, ...]) -> str:
    """The first of the keys that the entry has."""
    for key in keys:
        if key in entry.values:
            return key
    hint = f"; {layout.hints[keys[0]]}" if keys[0] in layout.hints else ""
    raise UserError(f"{entry.where} lacks the key '{keys[0]}'{hint}")
