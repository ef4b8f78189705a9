"""How every command of this project speaks and fails.

A user's mistake ends in one sentence on stderr and exit status 2, never in a bare traceback. Library code logs; a
command shows those messages on stderr.
"""

import errno
import logging
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

# What a user's own files and disks do. Any other OSError is a fault of ours and keeps its traceback.
_ERRORS_OF_THE_USERS_FILES = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links run in a circle",
}
_OUR_PACKAGES = ("modeling_unipt", "dataset_builders", "unipt_train", "unipt_space", "__main__")
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
# 128 + SIGPIPE: what a shell reports of a program whose reader, such as `head`, went away.
EXIT_CLOSED_PIPE = 141


class UserError(ValueError):
    """A mistake of the user: what is wrong, where, and how to mend it, in one sentence."""


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, without the full stop; the error's class if it has no message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


class _PlainSentences(logging.Formatter):
    """Shows a message as it is, and a warning behind the word "warning"."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"warning: {text}" if record.levelno >= logging.WARNING else text


class _Stderr(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at the time of a message; tests and progress bars replace it."""

    def __init__(self) -> None:
        # StreamHandler's own __init__ would set ``stream``, which is a property here.
        logging.Handler.__init__(self)
        self.setFormatter(_PlainSentences())

    @property
    def stream(self) -> TextIO:
        return sys.stderr


def show_log_messages() -> None:
    """Show the messages of this project's packages on stderr, from level INFO on."""
    for name in _OUR_PACKAGES:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
            logger.addHandler(_Stderr())
            logger.setLevel(logging.INFO)


def _mistake_of_the_user(error: OSError) -> str | None:
    """The sentence about a file of the user that cannot be used, or None if the error has another cause."""
    place = error.filename2 or error.filename
    where = f"{place} cannot be read or written" if place else "a file cannot be written"
    if error.errno in _ERRORS_OF_THE_USERS_FILES:
        return f"{where}: {_ERRORS_OF_THE_USERS_FILES[error.errno]}"
    if error.errno == errno.ENOENT:
        if not place:
            return f"a file cannot be read or written: {first_line(error)}"
        missing = "it" if Path(place).parent.is_dir() else "its folder"
        return f"{where}: {missing} does not exist"
    # pyarrow and safetensors raise errors without a number when the disk is full.
    if "No space left" in str(error):
        return f"{where}: {_ERRORS_OF_THE_USERS_FILES[errno.ENOSPC]}"
    return None


def _status_of(main: Callable[[], int | None]) -> int | str:
    """Call ``main()``, write out what it printed, and tell its exit status.

    The status is what ``main`` returns, or the code of the SystemExit that it raises, as argparse does for ``--help``.
    """
    try:
        status = main()
    except SystemExit as stop:
        status = stop.code
    if sys.stdout is not None:
        # Python would flush at its very end, where a closed pipe or a full disk could no longer be told.
        sys.stdout.flush()
    return status or 0


def _reader_of_stdout_is_gone() -> bool:
    """Whether a broken pipe is that of stdout, and not, say, that of a worker process that died."""
    if sys.stdout is None:
        return False
    if not hasattr(select, "poll"):
        # Windows cannot tell; most broken pipes are those of stdout.
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))


def _discard_unwritten_output() -> None:
    """Let Python's own flush of stdout at exit succeed; if it failed, it would print an error and change the status."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(line: str) -> None:
    """Write a line to stderr, at once: unbuffered, ``print`` writes its end apart, and other ranks get in between."""
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")


def run_command(main: Callable[[], int | None]) -> None:
    """Run ``main()`` as a console command and exit with its status.

    * A :class:`UserError`, or a file that cannot be read or written, becomes ``error: <sentence>`` on stderr and exit
      status 2.
    * Ctrl-C becomes exit status 130.
    * A reader of the output that goes away, as in ``unipt info GALLERY | head -1``, ends the command quietly with
      status 141.
    """
    show_log_messages()
    try:
        status = _status_of(main)
    except UserError as error:
        _tell(f"error: {error}")
        status = EXIT_MISTAKE
    except OSError as error:
        sentence = _mistake_of_the_user(error)
        if isinstance(error, BrokenPipeError) and _reader_of_stdout_is_gone():
            status = EXIT_CLOSED_PIPE
        elif sentence is not None:
            _tell(f"error: {sentence}")
            status = EXIT_MISTAKE
        else:
            raise
    except KeyboardInterrupt:
        _tell("interrupted; run the same command again to continue")
        status = EXIT_INTERRUPTED
    _discard_unwritten_output()
    sys.exit(status)
