"""Work cut into shards that any number of processes share through files alone: a lock, and a marker for each shard.

A shard's marker is written last, when the shard's file is complete, and holds what is remembered of the shard. So a
shard with a marker is whole, and a shard without one is made again. Shard i belongs to the process whose rank is i
modulo the number of processes.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_unipt.common import locks
from modeling_unipt.common.atomic_files import write_json
from modeling_unipt.common.user_errors import UserError

MARKERS = "done"
Record = dict[str, Any]


@dataclass(frozen=True)
class Team:
    """This process's ``rank`` among the ``size`` processes that run the same command."""

    rank: int
    size: int

    def shares(self, index: int) -> bool:
        """Whether shard ``index`` belongs to this process."""
        return index % self.size == self.rank


def find_team(rank: int | None = None, size: int | None = None, environment: Mapping[str, str] = os.environ) -> Team:
    """The team that the arguments name, or that ``torchrun`` and ``accelerate launch`` announce, or one process alone.

    Args:
        environment: where the launchers announce RANK and WORLD_SIZE.

    Raises:
        UserError: only one of rank and size is named, or there is no such rank.
    """
    if (rank is None) != (size is None):
        raise UserError("--rank and --world-size belong together; give both or neither")
    if rank is None:
        try:
            rank = int(environment.get("RANK", 0))
            size = int(environment.get("WORLD_SIZE", 1))
        except ValueError:
            raise UserError("RANK and WORLD_SIZE must hold whole numbers, as torchrun sets them") from None
    if not 0 <= rank < size:
        raise UserError(f"rank {rank} of {size} processes cannot be: ranks run from 0 to {size - 1}")
    return Team(rank, size)


def lock_of(folder: Path | str, team: Team) -> Path:
    """The lock file of this process in the work folder."""
    return Path(folder, f"lock-{team.rank}")


@contextmanager
def held(path: Path | str, output: Path | str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs. The system releases it when the process ends, however it ends.

    Args:
        output: what this process builds, for the message.

    Raises:
        UserError: another process holds the lock.
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    with locks.held(path, already_building(output)):
        yield


def already_building(output: Path | str) -> str:
    """The sentence for a user whose ``output`` another process builds."""
    return f"another process is already building {output}; wait for it, or stop it first"


def others_at_work(folder: Path | str, team: Team) -> bool:
    """Whether a process of another rank holds its lock in ``folder``."""
    own = lock_of(folder, team)
    return any(locks.is_held(path) for path in Path(folder).glob("lock-[0-9]*") if path != own)


def _marker(folder: Path | str, index: int) -> Path:
    return Path(folder, MARKERS, f"{index:06d}.json")


def shards_to_do(folder: Path | str, count: int, team: Team) -> list[int]:
    """Indices of this process's shards that have no marker yet, in order."""
    return [index for index in range(count) if team.shares(index) and not _marker(folder, index).exists()]


def mark_done(folder: Path | str, index: int, record: Record) -> None:
    """Write the marker of a shard whose file is in place.

    Args:
        record: what is remembered of the shard, JSON-able.
    """
    marker = _marker(folder, index)
    marker.parent.mkdir(exist_ok=True)
    write_json(marker, record, indent=None)


def record_of(folder: Path | str, index: int) -> Record | None:
    """What :func:`mark_done` wrote of a shard, or None."""
    marker = _marker(folder, index)
    return json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else None


def records(folder: Path | str, count: int) -> list[Record] | None:
    """The records of all shards in order, or None if one is missing."""
    found = []
    for index in range(count):
        record = record_of(folder, index)
        if record is None:
            return None
        found.append(record)
    return found
