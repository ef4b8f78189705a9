"""The rows of an import, kept on disk while the set is read, so that memory does not grow with it.

store = RowStore("luperson-mllm")
store.add(listing)              # an image that was listed before gets the captions of both
for row in store.rows("train"):
    row.image_id, row.captions
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from modeling_unipt.common.user_errors import UserError

# SQLite keeps so much in memory, and as much again while it sorts. More of it is filled by large sets alone, and the
# system caches the file anyway.
CACHE_KIB = 1_024
ROWS_A_TRANSACTION = 10_000
TABLES = """
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, key TEXT, file INTEGER, split TEXT, name TEXT, short TEXT, place TEXT,
    captions TEXT, known TEXT, noise INTEGER, repeated INTEGER DEFAULT 0,
    UNIQUE (key, split)
);
CREATE TABLE refused (name TEXT, reason TEXT);
CREATE TABLE repeats (row INTEGER, file INTEGER, captions TEXT);
CREATE INDEX repeats_of_row ON repeats (row, file);
"""
Captions = list[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """An image as a set lists it, once or several times.

    Attributes:
        number: of its place in the set; later listings have larger ones.
        key: the same text for all listings of one image.
        file: number of the file that lists it.
        split: name of its split.
        name: its path, or what else the set calls it.
        place: where its bytes are, for whoever reads them; None if they are nowhere.
        captions: pairs of a text and the name of who wrote it.
        known: column -> what else the set says of the image.
        noise: whether a text was left out that was no caption, and not blank.
        short: its id in the dataset, if no other image has the same; None: the name without suffix.
    """

    number: int
    key: str
    file: int
    split: str
    name: str
    place: str | None
    captions: Captions
    known: dict[str, Any] = field(default_factory=dict)
    noise: bool = False
    short: str | None = None


@dataclass(frozen=True)
class StoredRow:
    """One image with the captions of all its listings; see :class:`Listing`."""

    number: int
    split: str
    name: str
    image_id: str
    place: str | None
    captions: Captions
    known: dict[str, Any]
    noise: bool


class RowStore:
    """The distinct images of a set, in a database file that vanishes with the process.

    Args:
        output: the dataset that is to be written. The file lies in its folder, or in the nearest one that exists.

    Attributes:
        repeated: listings of an image that the same file had listed before.
        contradicting: listings that say something else of an image than its first listing, captions aside.

    Raises:
        UserError: the file cannot be made.
    """

    def __init__(self, output: Path | str) -> None:
        self.output = Path(output)
        self.repeated = 0
        self.contradicting = 0
        self._ids: str | None = None
        self._path = _existing_folder(self.output) / f".rows-{uuid.uuid4().hex[:12]}.sqlite"
        with self._told():
            # The writer reads rows in its own thread and decodes images in others, so one connection is enough.
            self._rows = sqlite3.connect(self._path, isolation_level=None)
            # Nobody reads the file after a crash, so it needs neither a journal nor to reach the disk.
            self._rows.execute("PRAGMA journal_mode = OFF")
            self._rows.execute("PRAGMA synchronous = OFF")
            self._rows.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._rows.executescript(TABLES)
            self._rows.execute("BEGIN")
        self._since_commit = 0
        # An open file without a name is removed by the system, however the process ends. (Windows refuses this.)
        with suppress(OSError):
            os.unlink(self._path)

    def __len__(self) -> int:
        """The number of distinct images; one that is in two splits counts twice."""
        (count,) = self._one("SELECT count(*) FROM rows")
        return count

    def add(self, listing: Listing) -> None:
        """Keep a listing, or put its captions behind those of an earlier one of the same image in the same split."""
        with self._told():
            added = self._rows.execute(
                "INSERT OR IGNORE INTO rows (number, key, file, split, name, short, place, captions, known, noise) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    listing.number,
                    listing.key,
                    listing.file,
                    listing.split,
                    listing.name,
                    _stem(listing.name) if listing.short is None else listing.short,
                    listing.place,
                    json.dumps(listing.captions),
                    json.dumps(listing.known),
                    listing.noise,
                ),
            ).rowcount
            if not added:
                self._add_to_earlier(listing)
            self._since_commit += 1
            if self._since_commit == ROWS_A_TRANSACTION:
                self._rows.execute("COMMIT")
                self._rows.execute("BEGIN")
                self._since_commit = 0

    def _add_to_earlier(self, listing: Listing) -> None:
        number, file, known = self._one(
            "SELECT number, file, known FROM rows WHERE key = ? AND split = ?", listing.key, listing.split
        )
        in_same_file = file == listing.file or self._one(
            "SELECT 1 FROM repeats WHERE row = ? AND file = ?", number, listing.file
        )
        self.repeated += bool(in_same_file)
        earlier = json.loads(known)
        told = {name: value for name, value in listing.known.items() if value is not None}
        if any(earlier.get(name) not in (None, value) for name, value in told.items()):
            self.contradicting += 1
        known_now = told | {name: value for name, value in earlier.items() if value is not None}
        self._rows.execute(
            "UPDATE rows SET repeated = 1, known = ?, place = coalesce(place, ?), noise = noise OR ? WHERE number = ?",
            (json.dumps(known_now), listing.place, listing.noise, number),
        )
        self._rows.execute("INSERT INTO repeats VALUES (?, ?, ?)", (number, listing.file, json.dumps(listing.captions)))

    def refuse(self, name: str, reason: str) -> None:
        """Keep what is wrong with a listing that cannot become a row."""
        with self._told():
            self._rows.execute("INSERT INTO refused VALUES (?, ?)", (name, reason))

    def refused(self) -> Iterator[tuple[str, str]]:
        """Name and reason of every listing that :meth:`refuse` was called for."""
        yield from self._rows.execute("SELECT name, reason FROM refused ORDER BY rowid")

    def found(self) -> int:
        """The number of distinct images that have a place."""
        (count,) = self._one("SELECT count(*) FROM rows WHERE place IS NOT NULL")
        return count

    def in_several_splits(self) -> int:
        """The number of images that are listed in more than one split. They are a row in each."""
        (count,) = self._one("SELECT count(*) FROM (SELECT 1 FROM rows GROUP BY key HAVING count(*) > 1)")
        return count

    def splits(self) -> dict[str, int]:
        """Split -> number of its images, in the order in which the set names the splits."""
        found = self._rows.execute("SELECT split, count(*) FROM rows GROUP BY split ORDER BY min(number)")
        return dict(found.fetchall())

    def rows(self, split: str) -> Iterator[StoredRow]:
        """The images of a split in the order of their first listings. Ids are unique among all splits."""
        with self._told():
            if self._ids is None:
                self._ids = self._unique_ids()
            rows = self._rows.execute(
                f"SELECT number, name, {self._ids}, place, captions, known, noise, repeated FROM rows "
                "WHERE split = ? ORDER BY number",
                (split,),
            )
        for number, name, image_id, place, captions, known, noise, repeated in rows:
            texts = [tuple(pair) for pair in json.loads(captions)]
            if repeated:
                texts = self._with_repeats(number, texts)
            yield StoredRow(number, split, name, image_id, place, texts, json.loads(known), bool(noise))

    def _with_repeats(self, number: int, captions: Captions) -> Captions:
        """The captions of all listings; a pair that was there already is not put there again."""
        seen = set(captions)
        for (more,) in self._rows.execute("SELECT captions FROM repeats WHERE row = ? ORDER BY rowid", (number,)):
            for text, backend in json.loads(more):
                if (text, backend) not in seen:
                    seen.add((text, backend))
                    captions.append((text, backend))
        return captions

    def _unique_ids(self) -> str:
        """The column that holds one unique id for each image, as :func:`modeling_unipt.sources.reading.image_ids` gives
        them: the short ones, or if two are equal the names.
        """
        for column in ("short", "name"):
            self._rows.execute(f"CREATE INDEX by_{column} ON rows ({column})")
            if not self._one(f"SELECT 1 FROM rows GROUP BY {column} HAVING count(*) > 1 LIMIT 1"):
                return column
        self._number_equal_names()
        return "name"

    def _number_equal_names(self) -> None:
        """Put ``~2``, ``~3`` and so on behind names that repeat."""
        # The list is read whole, because the loop changes the names.
        for (name,) in self._rows.execute("SELECT name FROM rows GROUP BY name HAVING count(*) > 1").fetchall():
            numbers = self._rows.execute("SELECT number FROM rows WHERE name = ? ORDER BY number", (name,)).fetchall()
            suffix = 2
            for (number,) in numbers[1:]:
                while self._one("SELECT 1 FROM rows WHERE name = ?", f"{name}~{suffix}"):
                    suffix += 1
                self._rows.execute("UPDATE rows SET name = ? WHERE number = ?", (f"{name}~{suffix}", number))

    def _one(self, question: str, *values: Any) -> Any:
        return self._rows.execute(question, values).fetchone()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of the database, such as a full disk, into a sentence."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the rows of {self.output} cannot be kept in {self._path.parent} while they are read ({error}); "
                "choose an output on a disk with more room that you may write to"
            ) from None

    def close(self) -> None:
        """Forget all rows."""
        self._rows.close()
        with suppress(OSError):
            os.unlink(self._path)


def _existing_folder(output: Path) -> Path:
    """The folder of ``output``, or the nearest one above it that exists."""
    folder = output.absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _stem(name: str) -> str:
    try:
        return PurePosixPath(name).with_suffix("").as_posix()
    except ValueError:
        # A name such as "." has no suffix to leave out.
        return name
