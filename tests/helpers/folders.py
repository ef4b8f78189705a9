"""What lies in a folder."""

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Path relative to ``folder`` -> bytes, of all files in it and its sub-folders."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
