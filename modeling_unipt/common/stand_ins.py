"""Files that are not what their name says: what a download leaves behind when it goes wrong."""

from pathlib import Path

HEAD_BYTES = 4096


def what_stands_there(head: bytes) -> str | None:
    """What a file is instead of data, such as "a Git LFS pointer, not the file itself", or None if that is not known.

    Args:
        head: the first :data:`HEAD_BYTES` bytes of the file.
    """
    return None


def refuse_stand_in(path: Path | str) -> None:
    """Look at the beginning of a file before it is parsed. A file that is missing or cannot be read is no matter here.

    Raises:
        UserError: the file is a stand-in for the data; it says what the file is and how to get the data.
    """
