"""Rows that will be needed soon are kept when their row group is read for another one.

Training takes rows in a random order, and each costs the reading of a piece of its row group. The order is known
beforehand, so that one reading can serve several rows. What is kept depends on nothing but speed and memory: the rows
are the same with and without it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

Row = dict[str, Any]
Fetch = Callable[[Sequence[int], Callable[[int], bool]], dict[int, Row]]


class ReadAhead:
    """A store of rows that are needed soon.

    Args:
        fetch: reads rows by their positions, and those in the same row groups of which the function says so.
        upcoming: the positions that will be asked for, in this order.
        count: how many of them are looked at beforehand, and so how many rows are kept at most.
    """

    def __init__(self, fetch: Fetch, upcoming: Iterator[int], count: int) -> None:
        self.fetch = fetch
        self.upcoming = upcoming
        self.count = count
        # How often each row will be asked for among the next ones.
        self.coming: Counter[int] = Counter()
        self.kept: dict[int, Row] = {}

    def take(self, positions: Sequence[int]) -> dict[int, Row]:
        """The rows of some positions, which are meant to be the next ones."""
        missing_ahead = self.count + len(positions) - self.coming.total()
        self.coming.update(islice(self.upcoming, max(0, missing_ahead)))
        for position in positions:
            if self.coming[position]:
                self.coming[position] -= 1
        missing = [position for position in positions if position not in self.kept]
        if missing:
            self.kept |= self.fetch(missing, self._is_wanted)
        taken = {position: self.kept[position] for position in positions}
        for position in taken:
            if self.coming[position] <= 0:
                del self.coming[position]
                del self.kept[position]
        return taken

    def _is_wanted(self, position: int) -> bool:
        return position in self.coming and position not in self.kept
