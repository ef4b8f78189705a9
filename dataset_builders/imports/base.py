"""What every kind of set offers to an import, whatever form it comes in."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..checks.caption_oddities import Oddities
from ..output.parquet_dataset import ColumnType
from ..records.values import split_of
from .captions import CaptionCounts
from .store import Listing, RowStore, StoredRow

Content = Callable[[], tuple[bytes, str]]
"""Gives the bytes of an image and the name of its file, or raises UnreadableImage. It is called in some thread."""


@dataclass(frozen=True)
class FurtherColumn:
    """A column that LUPerson-T lacks: its type, and what it holds, for the dataset card."""

    type: ColumnType
    about: str


@dataclass
class ImportedSet:
    """A set that is being imported. A sub-class defines :meth:`read` and :meth:`contents`.

    Attributes:
        fingerprint: a short text that changes with the set, known after :meth:`read`.
        columns: further columns, known after :meth:`read`.
        captions: what was mended or left out among the captions.
        oddities: what is odd in the captions.
        told: sentences for the user, known after :meth:`read`.
    """

    fingerprint: str = ""
    columns: dict[str, FurtherColumn] = field(default_factory=dict)
    captions: CaptionCounts = field(default_factory=CaptionCounts)
    oddities: Oddities = field(default_factory=Oddities)
    told: list[str] = field(default_factory=list)

    def read(self, store: RowStore) -> None:
        """Read the whole set once, without decoding images, and keep its rows.

        Raises:
            UserError: something is missing or cannot be read.
        """
        raise NotImplementedError

    def contents(self, rows: Iterable[StoredRow]) -> Iterator[tuple[StoredRow, Content]]:
        """The images of rows, which come in the order of their numbers."""
        raise NotImplementedError

    def missing(self, store: RowStore) -> int:
        """How many images the set names that are not there, as far as that is known after :meth:`read`."""
        return len(store) - store.found()

    def add(
        self, store: RowStore, listing: Listing, texts: Sequence[str], backends: Sequence[str], written: Sequence[str]
    ) -> None:
        """Keep a listing with those of its texts that are captions, and look at all of them.

        Args:
            listing: without captions. The person's id is its column person_id, if the set knows it.
            texts: in their normal form, none blank.
            backends: who wrote each of them.
            written: all texts as they stand in the set, blank ones included.
        """
        noise_before = self.captions.noise
        self.captions.blank += len(written) - len(texts)
        for text, backend in zip(texts, backends, strict=True):
            caption = self.captions.usable(text)
            if caption is not None:
                listing.captions.append((caption, backend))
        self.oddities.add(listing.split, listing.known.get("person_id"), written, listing.name)
        store.add(dataclasses.replace(listing, noise=self.captions.noise > noise_before))


def split_name(value: Any) -> str | None:
    """The name of a split as our datasets write it ("valid" and "dev" are "val"), or None if ``value`` is no name."""
    known = split_of(value)
    if known is not None:
        return known
    # The split becomes a part of file names.
    return value if isinstance(value, str) and value.isidentifier() else None
