"""The one way a file is replaced: it is written aside, forced to disk, then renamed.

So a reader finds the former file or the new one, whole, even if the writer is killed at any moment.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PREFIX = ".aside-"


def open_to_readers(path: Path | str) -> None:
    """Let those read and write a file, or the files below a folder, whom the umask lets read and write new files.

    Some libraries, safetensors among them, write files that only their owner may read, whatever the umask says.
    """
    # The umask can only be read by setting it. A file that a thread makes in between gets the strictest one.
    umask = os.umask(0o077)
    os.umask(umask)
    path = Path(path)
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_symlink() or not file.is_file():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        allowed = mode | (0o666 & ~umask)
        if allowed != mode:
            # Some file systems have no modes, and a file of somebody else keeps its own.
            with suppress(OSError):
                file.chmod(allowed)


@contextmanager
def written_aside(path: Path | str) -> Iterator[Path]:
    """Give a path to write to. When the block ends without an error, that file replaces ``path``.

    The path to write to has the suffix of ``path``, because Pillow and matplotlib choose the format by it. If the
    block fails, what it wrote is removed and ``path`` stays as it was. A killed process leaves a file that begins with
    ``.aside-``; the next writer of ``path`` overwrites it. For the same reason two processes must not write one path at
    the same time; where they could, a lock of :mod:`.locks` is needed.

    Raises:
        OSError: the folder is missing or cannot be written to, or the disk is full. Its ``filename`` is ``path``.
    """
    path = Path(path)
    aside = path.with_name(PREFIX + path.name)
    try:
        yield aside
        open_to_readers(aside)
        # Without this a crash of the machine may leave the new name with an empty file.
        with open(aside, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(aside, path)
    except BaseException as error:
        # Whatever is wrong with the folder stops this too; the first error is the one to tell.
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.filename == os.fspath(aside):
            # The user knows nothing of the file aside.
            error.filename = os.fspath(path)
            error.filename2 = None
        raise


def write_text(path: Path | str, text: str) -> None:
    """Replace the file ``path`` by ``text`` in UTF-8; for errors see :func:`written_aside`."""
    with written_aside(path) as aside:
        # Windows would write other line ends, and a file's digest would depend on the system.
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, content: Any, indent: int | None = 2) -> None:
    """Replace the file ``path`` by ``content`` as JSON and a final newline; for errors see :func:`written_aside`."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")
