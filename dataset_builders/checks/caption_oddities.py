"""What is odd in a data set of captions: counted while its rows pass by, told, and listed in its card.

oddities = Oddities()
for each image:
    oddities.add("train", 17, ["A man in red.", "He walks."], "imgs/0017.jpg")
for line in oddities.lines():
    print(line)
card += oddities.card_section()
if strict:
    oddities.refuse()
"""

import hashlib
import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import markdown_table

from .caption_texts import Kind, odd_kinds

HEADING = "## What is odd in this data"
# Of a long example so many characters are shown.
_SHOWN = 80
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Found:
    """One kind of oddity in a data set.

    Attributes:
        what: what was counted, in the plural, such as "captions with markup".
        number: how many there are, in words where it needs some.
        example: where to look for one.
        is_fault: whether ``--strict`` refuses it.
    """

    what: str
    number: str
    example: str
    is_fault: bool


class Oddities:
    """Counts what is odd in the rows of a data set.

    Who is described by which text is kept in a temporary file of SQLite, with hashes for the texts. So memory does not
    grow with the data set.

    Attributes:
        captions: how many were looked at.
        flagged: how many of them have a fault of their own. A language is none.
    """

    def __init__(self) -> None:
        self.captions = 0
        self.flagged = 0
        self._counts: Counter[Kind] = Counter()
        self._examples: dict[Kind, str] = {}
        # The empty name stands for a file that the system removes when it is closed, or when this process ends.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE said (split TEXT, person TEXT, text INTEGER, name TEXT)")
        self._rows: list[tuple[str, str, int | None, str]] = []

    def add(self, split: str, person_id: int | str | None, captions: Sequence[str], name: str) -> None:
        """Look at one image.

        Args:
            split: the split that the image is in.
            person_id: whom the image shows, or None where the data set does not know.
            captions: its captions as they stand in the file, blank ones included; any may lack its normal form.
            name: what to call the image in an example, such as its path.

        Raises:
            UserError: the temporary file cannot be written.
        """
        hashes: list[int | None] = []
        for caption in captions:
            form = normal_caption(caption)
            kinds = odd_kinds(form)
            self.captions += 1
            self.flagged += any(kind.is_fault for kind in kinds)
            for kind in kinds:
                self._counts[kind] += 1
                if kind not in self._examples:
                    self._examples[kind] = f'"{_shortened(form)}" of {name}' if form else name
            if form:
                hashes.append(_hash(form))
        if person_id is not None:
            # A person without any text is still in a split.
            self._rows += [(split, str(person_id), each, name) for each in hashes or [None]]
            if len(self._rows) >= _ROWS_AT_ONCE:
                self._flush()

    def found(self) -> list[Found]:
        """All that was found, in a fixed order of kinds.

        Raises:
            UserError: the temporary file cannot be written.
        """
        self._flush()
        with _full_disk_told():
            return [*self._people_in_several_splits(), *self._texts_on_several_people(), *self._odd_captions()]

    def lines(self) -> list[str]:
        """One sentence for each kind of oddity that was found, with its count and an example; for the console."""
        return [f"odd: {each.what}: {each.number}, such as {each.example}" for each in self.found()]

    def card_section(self) -> str:
        """The part "What is odd in this data" of a card, as Markdown that ends with a newline; "" where nothing is."""
        found = self.found()
        if not found:
            return ""
        table = markdown_table(("what", "number", "such as"), [_cells(each) for each in found])
        about = "Counted in the captions as the files have them, before any of them was left out."
        return f"{HEADING}\n\n{about}\n\n{table}\n"

    def refuse(self) -> None:
        """Refuse the data set if anything was counted but another language, which the option ``--strict`` asks for.

        Raises:
            UserError: something was counted; the sentence says what, and how to go on.
        """
        faults = [f"{each.what}: {each.number}, such as {each.example}" for each in self.found() if each.is_fault]
        if faults:
            raise UserError(
                f"--strict refuses this data, in which something is odd ({'; '.join(faults)}); correct the "
                "annotation, or leave out --strict to have this told and listed in the card"
            )

    def _flush(self) -> None:
        with _full_disk_told():
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO said VALUES (?, ?, ?, ?)", self._rows)
            self._database.execute("COMMIT")
        self._rows = []

    def _people_in_several_splits(self) -> list[Found]:
        pairs = self._database.execute(
            "SELECT person, split FROM said GROUP BY person, split ORDER BY person, min(rowid)"
        )
        people: Counter[tuple[str, ...]] = Counter()
        examples: dict[tuple[str, ...], str] = {}
        for person, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
            splits = tuple(split for _, split in group)
            if len(splits) > 1:
                people[splits] += 1
                examples.setdefault(splits, person)
        found = []
        for splits, count in people.items():
            what = f"ids of people who are in {' and in '.join(splits)}"
            found.append(Found(what, f"{count:,}", f"id {examples[splits]}", is_fault=True))
        return found

    def _texts_on_several_people(self) -> list[Found]:
        shared = (
            "SELECT split, text, count(*) AS captions, min(rowid) AS place FROM said WHERE text IS NOT NULL "
            "GROUP BY split, text HAVING min(person) <> max(person)"
        )
        # Of the columns beside an aggregate min() SQLite takes those of the row that has the least.
        of_splits = f"SELECT split, count(*), sum(captions), text, min(place) AS first FROM ({shared}) GROUP BY split"
        found = []
        for split, texts, captions, text, _ in self._database.execute(f"{of_splits} ORDER BY first").fetchall():
            said = self._database.execute("SELECT person, name FROM said WHERE split = ? AND text = ?", (split, text))
            first = next(said)
            other = next(row for row in said if row[0] != first[0])
            what = f"texts of {split} that describe several people"
            number = f"{texts:,} ({captions:,} captions)"
            example = f"that of {first[1]} (id {first[0]}) and {other[1]} (id {other[0]})"
            found.append(Found(what, number, example, is_fault=True))
        return found

    def _odd_captions(self) -> list[Found]:
        # The commonest first; of equal counts the one that was met first.
        return [
            Found(kind.what, f"{count:,}", self._examples[kind], kind.is_fault)
            for kind, count in self._counts.most_common()
        ]


@contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(
            f"the temporary file in which captions are compared cannot be written ({error}); make room in the folder "
            "of temporary files, or name another one by TMPDIR"
        ) from None


def _hash(form: str) -> int:
    # Tokenizers of both kinds of model lower the case.
    digest = hashlib.blake2b(form.lower().encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _shortened(form: str) -> str:
    return form if len(form) <= _SHOWN else form[:_SHOWN].rstrip() + " …"


def _cells(found: Found) -> tuple[str, str, str]:
    """A row of the card's table. The example is shown as code, because it may hold markup."""
    example = found.example.replace("`", "'").replace("|", "¦")
    return found.what, found.number, f"`{example}`"
