"""The one description of how a set of annotated images is laid out, and the samples that it gives."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_unipt.common.user_errors import UserError

from .entries import Entry, Keys, Unreadable, read_entries
from .values import SPLITS, as_type, path_of, person_of, split_of, texts_of


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

    Of several keys for the image, the person or the split the first that an entry has counts. Of several keys for
    captions all count, in this order.

    Attributes:
        title: the set's name as its authors write it.
        annotations: possible names of the annotation file, of which the first that is there counts. A pattern with
            ``*`` may match several files. Names joined by " + " belong together. Of a name that ends in ``.json``
            JSON Lines may end in ``.jsonl``.
        images: possible folders that paths are relative to, below the set's own folder; "" is that folder itself.
        image: possible keys of an entry's path.
        suffixes: what a file's name may end in where entries name images without their suffix.
        captions: possible keys of an entry's captions.
        person: possible keys of the person's id; empty if the set has none.
        split: possible keys of the split; empty if the set has no splits.
        shares: split -> its number of entries, in the file's order, where neither an entry nor its list or file says
            the split. None stands for all that are left.
        kept: column -> what else is kept.
        hints: key of an entry -> what it means if the key is missing.
    """

    title: str
    annotations: tuple[str, ...]
    images: tuple[str, ...] = ("",)
    image: tuple[str, ...] = ("file_path",)
    suffixes: tuple[str, ...] = ()
    captions: tuple[str, ...] = ("captions", "caption")
    person: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    shares: Mapping[str, int | None] = field(default_factory=dict)
    kept: Mapping[str, Kept] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> Keys:
        """The keys by which an entry is told."""
        return Keys(self.image, self.captions)


@dataclass(frozen=True)
class Sample:
    """What one entry says of one image.

    Attributes:
        where: how messages call the entry.
        path: of the image, as written.
        captions: in their normal form, none of them blank; there may be none.
        caption_keys: for each caption, the key that it stood under.
        written: the captions as they stand in the file, blank ones included.
        person: the person's id, a whole number where it is one; None if the layout has none.
        split: "train", "val" or "test"; None if the layout has no splits.
        kept: column -> its value, in the column's type; None if the entry lacks it.
    """

    where: str
    path: str
    captions: list[str]
    caption_keys: list[str]
    written: list[str]
    person: int | str | None
    split: str | None
    kept: dict[str, Any]


def find_annotation(layout: Layout, folder: Path | str) -> list[Path]:
    """The annotation files in a folder, in order; empty if there is none."""
    for suffix in (".json", ".jsonl"):
        for names in layout.annotations:
            found = [sorted(Path(folder).glob(name.replace(".json", suffix))) for name in names.split(" + ")]
            if all(found):
                return [path for paths in found for path in paths]
    return []


def read_samples(layout: Layout, files: Iterable[Path | str]) -> Iterator[Sample]:
    """What annotation files say, entry by entry. Memory does not grow with the files.

    Raises:
        UserError: see :func:`~.entries.read_entries` and :func:`sample_of`.
    """
    for file in files:
        split = split_of_file(file)
        for entry in read_entries(file, layout.keys):
            yield sample_of(layout, entry, split)


def split_of_file(file: Path | str) -> str | None:
    """The split that a file's name begins or ends with, as in ``train_reid.json``, or None."""
    words = Path(file).stem.replace("-", "_").split("_")
    return split_of(words[0]) or split_of(words[-1])


def sample_of(layout: Layout, entry: Entry, split_of_file: str | None = None) -> Sample:
    """What an entry says.

    Args:
        split_of_file: the split of an entry that names none itself, and whose list names none.

    Raises:
        UserError: the entry lacks a key, or a value is not what it should be; the message begins with ``entry.where``.
    """
    values = entry.values
    if isinstance(values, Unreadable):
        raise UserError(f"{entry.where} {values}")
    if not isinstance(values, dict):
        raise UserError(f"{entry.where} is not a mapping")
    for keys in (layout.image, layout.captions, layout.person):
        if keys:
            _first_key(layout, entry, keys)
    split = _split(layout, entry, split_of_file)
    captions: list[str] = []
    caption_keys: list[str] = []
    written: list[str] = []
    for key in layout.captions:
        if key not in values:
            continue
        texts = texts_of(values[key])
        if texts is None:
            raise UserError(f"{entry.where}: '{key}' must be a list of texts, not {values[key]!r:.100}")
        captions += texts.texts
        caption_keys += [key] * len(texts.texts)
        written += texts.written
    person = None
    if layout.person:
        key = _first_key(layout, entry, layout.person)
        person = person_of(values[key])
        if person is None:
            raise UserError(f"{entry.where}: '{key}' must be a whole number, not {values[key]!r}")
    key = _first_key(layout, entry, layout.image)
    path = path_of(values[key])
    if path is None:
        folder = f"{layout.images[0]}/" if layout.images[0] else "the image folder"
        raise UserError(f"{entry.where}: '{key}' must be a path below {folder}, not {values[key]!r}")
    kept = {column: _kept(entry, each) for column, each in layout.kept.items()}
    return Sample(entry.where, path, captions, caption_keys, written, person, split, kept)


def _split(layout: Layout, entry: Entry, split_of_file: str | None) -> str | None:
    if not layout.split:
        return None
    if not any(key in entry.values for key in layout.split):
        outside = split_of(entry.group) or split_of_file or _share(layout, entry.number)
        if outside is not None:
            return outside
    value = entry.values[_first_key(layout, entry, layout.split)]
    split = split_of(value)
    if split is None:
        raise UserError(f"{entry.where} has the split {value!r:.60}, which is none of {', '.join(SPLITS)}")
    return split


def _share(layout: Layout, number: int) -> str | None:
    """The split of the entry at a position, if the layout shares entries out in order."""
    end = 0
    for split, entries in layout.shares.items():
        if entries is None or number < end + entries:
            return split
        end += entries
    return None


def _kept(entry: Entry, kept: Kept) -> Any:
    value = entry.values.get(kept.key)
    try:
        return as_type(value, kept.type)
    except (TypeError, ValueError):
        raise UserError(f"{entry.where}: '{kept.key}' cannot be read as {kept.about}: {value!r:.100}") from None


def _first_key(layout: Layout, entry: Entry, keys: tuple[str, ...]) -> str:
    """The first of the keys that the entry has."""
    for key in keys:
        if key in entry.values:
            return key
    hint = f"; {layout.hints[keys[0]]}" if keys[0] in layout.hints else ""
    raise UserError(f"{entry.where} lacks the key '{keys[0]}'{hint}")
