"""Work cut into shards that any number of processes share through files alone: a lock, and a marker for each shard.

A shard's marker is written last, by rename, and holds what the shard found; so whatever has a marker is whole, and
everything else is done again. Shard i belongs to the process whose rank is i modulo the number of processes.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.user_errors import UserError

MARKERS = "done"
ATTEMPTS = 10


@dataclass(frozen=True)
class Team:
    """This process's ``rank`` among the ``size`` processes that run the same command."""

    rank: int
    size: int

    def shares(self, index):
        """Whether shard ``index`` belongs to this process."""
        return index % self.size == self.rank


def find_team(rank=None, size=None, environment=os.environ):
    """The team that was named, or that ``torchrun`` and ``accelerate launch`` announce (RANK, WORLD_SIZE), or just one.

    Raises:
        UserError: rank without size or the reverse, or no such rank.
    """
    if (rank is None) != (size is None):
        raise UserError("--rank and --world-size belong together; give both or neither")
    if rank is None:
        try:
            rank, size = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
        except ValueError:
            raise UserError("RANK and WORLD_SIZE must hold whole numbers, as torchrun sets them") from None
    if not 0 <= rank < size:
        raise UserError(f"rank {rank} of {size} processes cannot be: ranks run from 0 to {size - 1}")
    return Team(rank, size)


@contextlib.contextmanager
def held(path, what):
    """Hold the lock file ``path`` while the block runs; the system lets go of it when the process ends, however.

    Raises:
        UserError: another process holds it.
    """
    import fcntl

    with open(path, "a") as lock:
        for attempt in range(ATTEMPTS):  # others_at_work holds it for a moment
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if attempt == ATTEMPTS - 1:
                    raise UserError(
                        f"another process is already building {what}; wait for it, or stop it first"
                    ) from None
                time.sleep(0.02)
        yield


def others_at_work(folder, team):
    """Whether a process of another rank holds its lock, ``lock-RANK``, in ``folder``."""
    import fcntl

    for path in Path(folder).glob("lock-[0-9]*"):
        if path.name != f"lock-{team.rank}":
            with open(path) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
                except OSError:
                    return True
    return False


def _marker(folder, index):
    return Path(folder, MARKERS, f"{index:06d}.json")


def shards_to_do(folder, count, team):
    """Indices of this process's shards that have no marker yet, in order."""
    return [index for index in range(count) if team.shares(index) and not _marker(folder, index).exists()]


def mark_done(folder, index, record):
    """Write the marker of a shard whose file is in place; ``record`` is JSON-able."""
    marker = _marker(folder, index)
    marker.parent.mkdir(exist_ok=True)
    aside = marker.with_suffix(".aside")
    with open(aside, "w", encoding="utf-8") as text:
        text.write(json.dumps(record, ensure_ascii=False))
        text.flush()
        os.fsync(text.fileno())
    os.replace(aside, marker)


def record_of(folder, index):
    """What :func:`mark_done` wrote of a shard, or None."""
    marker = _marker(folder, index)
    return json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else None


def records(folder, count):
    """The records of all shards in order, or None while one is missing."""
    found = [record_of(folder, index) for index in range(count)]
    return None if None in found else found
