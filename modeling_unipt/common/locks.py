"""Locks between processes, as files. The system releases a lock when its process ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .user_errors import UserError

# Somebody who looks whether a lock is held takes it for a moment; a real claim waits that long.
CLAIM_SECONDS = 0.5
LOOK_SECONDS = 10
LOOKERS_FILE = ".looking"


@contextmanager
def held(path: Path | str, refusal: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs. The file is made if it is missing, and stays.

    Args:
        refusal: the sentence for the user if another process holds the lock.

    Raises:
        UserError: another process holds the lock.
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=CLAIM_SECONDS, poll_interval=0.02)
    except Timeout:
        raise UserError(refusal) from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path | str) -> bool:
    """Whether a process holds the lock file ``path``. Any number of processes may ask at once.

    Those who ask take turns by a lock of their own, ``.looking`` beside ``path``: otherwise one of them would take
    another, who holds ``path`` only to look, for its holder.
    """
    path = Path(path)
    if not path.exists():
        return False
    with FileLock(path.with_name(LOOKERS_FILE), timeout=LOOK_SECONDS):
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False
