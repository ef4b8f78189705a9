"""Locks between processes, as files. The system releases a lock when its process ends, however it ends.

Where Python has no ``fcntl``, as on Windows and a few others, filelock uses what the system has instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .user_errors import UserError

# A process that only looks whether a lock is held takes the lock for a moment. A claim waits that long for it to go.
CLAIM_SECONDS = 0.5
CLAIM_AGAIN_SECONDS = 0.02
# Looks last microseconds each, so nobody waits that long unless a looking process was halted.
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
        lock.acquire(timeout=CLAIM_SECONDS, poll_interval=CLAIM_AGAIN_SECONDS)
    except Timeout:
        raise UserError(refusal) from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path | str) -> bool:
    """Whether a process holds the lock file ``path``. Any number of processes may ask at once.

    Those who ask take turns by a lock of their own, the file ``.looking`` beside ``path``. Otherwise one of them could
    meet another one that has ``path`` only for its look, and take it for the holder.

    Raises:
        UserError: another process has been looking for ``LOOK_SECONDS``.
    """
    path = Path(path)
    if not path.exists():
        return False
    lookers = FileLock(path.with_name(LOOKERS_FILE))
    try:
        lookers.acquire(timeout=LOOK_SECONDS, poll_interval=CLAIM_AGAIN_SECONDS)
    except Timeout:
        raise UserError(
            f"another process has held {lookers.lock_file} for {LOOK_SECONDS} seconds; end it and try again"
        ) from None
    try:
        lock = FileLock(path)
        lock.acquire(blocking=False)
        lock.release()
        return False
    except Timeout:
        return True
    finally:
        lookers.release()
