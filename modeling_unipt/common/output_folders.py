"""How an output folder comes to be: a command fills ``<output>.partial``, then renames it.

A finished output holds ``build_settings.json``, the settings that made it. So an interrupted command leaves nothing
that looks finished, a finished output is recognised and left alone, and one made with other settings is refused.
"""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .atomic_files import open_to_readers
from .locks import held
from .user_errors import UserError

logger = logging.getLogger(__name__)
SETTINGS_FILE = "build_settings.json"
# In a work folder, held by the process that writes there.
LOCK_FILE = "lock"


def _read_settings(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _difference(made_with: Mapping[str, Any], settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str | None:
    """The first setting that differs, in words. A key that only one side has counts as its default there."""
    for key in sorted({*made_with, *settings}):
        before = made_with.get(key, defaults.get(key))
        now = settings.get(key, defaults.get(key))
        if before != now:
            return f"{key} was {json.dumps(before)} and is now {json.dumps(now)}"
    return None


def start_output(
    output: Path | str,
    settings: Mapping[str, Any],
    keep_partial: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Path | None:
    """Claim ``output`` for a command that ``settings`` describe.

    Args:
        settings: JSON-able values by name; the same settings mean the same result.
        keep_partial: return an unfinished work folder of the same settings as it is, to be continued, instead of
            emptying it.
        defaults: the value of a setting that an older or newer version of the command does not write. So a new option
            does not make an old output "made with other settings". A setting that is missing here defaults to None.

    Returns:
        The work folder to fill, or None if ``output`` is complete with these settings. (That has been logged; the
        command should exit with status 0.)

    Raises:
        UserError: ``output`` was made, or its unfinished work was begun, with other settings (the difference is named),
            it holds something that this project did not make, or it cannot be written.
    """
    output = Path(output)
    # JSON turns tuples into lists; only after this are settings comparable to those of the file.
    settings = json.loads(json.dumps(settings))
    defaults = json.loads(json.dumps(defaults or {}))
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        made_with = _read_settings(output) if output.is_dir() else None
        if made_with is None:
            raise UserError(f"{output} exists and was not made by this command; name another output or move it away")
        difference = _difference(made_with, settings, defaults)
        if difference:
            raise UserError(f"{output} was made with other settings: {difference}; name another output or delete it")
        logger.info("%s is already complete; nothing to do", output)
        return None
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        begun_with = _read_settings(partial)
        if keep_partial and begun_with is not None:
            difference = _difference(begun_with, settings, defaults)
            if difference:
                raise UserError(
                    f"{partial} was begun with other settings: {difference}; run that command again to finish it, "
                    f"or delete {partial}"
                )
            return partial
        shutil.rmtree(partial)
    # The folder is made aside and renamed whole: of processes that start together one is first, and the others find
    # its folder with the settings in it.
    fresh = partial.with_name(f"{partial.name}.{uuid.uuid4().hex[:8]}")
    try:
        fresh.mkdir(parents=True)
        (fresh / SETTINGS_FILE).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        # The user knows the output, not the folder aside that the error would name.
        shutil.rmtree(fresh, ignore_errors=True)
        raise UserError(
            f"output {output} cannot be made ({error.strerror}); choose a place that you may write to"
        ) from None
    try:
        os.rename(fresh, partial)
    except OSError:
        shutil.rmtree(fresh)
        if not keep_partial:
            raise UserError(f"another process is writing {output}; wait for it, or stop it first") from None
        return start_output(output, settings, keep_partial, defaults)
    # Another process may have finished the output between the first look and the rename.
    if output.exists() and _read_settings(output) is not None:
        shutil.rmtree(partial)
        return start_output(output, settings, keep_partial, defaults)
    return partial


@contextmanager
def held_output(
    output: Path | str,
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    lock: str = LOCK_FILE,
    refusal: str | None = None,
) -> Iterator[Path | None]:
    """Claim ``output`` as :func:`start_output` does, going on with unfinished work, for one process at a time.

    The lock is held while the block runs. A process that is killed frees it.

    Args:
        output, settings, defaults: see :func:`start_output`.
        lock: name of the lock file in the work folder. Processes that share the work have one each.
        refusal: the sentence for the user if another process holds the lock.

    Yields:
        The work folder to fill, or None if ``output`` is complete with these settings.

    Raises:
        UserError: as ``start_output``, or another process holds the lock.
    """
    refusal = refusal or f"another process is already writing {output}; wait for it, or stop it first"
    with ExitStack() as stack:
        work = start_output(output, settings, keep_partial=True, defaults=defaults)
        while work is not None and not _lock(stack, work, lock, refusal):
            work = start_output(output, settings, keep_partial=True, defaults=defaults)
        yield work


def _lock(stack: ExitStack, work: Path, lock: str, refusal: str) -> bool:
    """Hold a lock in a work folder, or return False if that folder was finished or removed in the meantime."""
    with suppress(FileNotFoundError), ExitStack() as attempt:
        attempt.enter_context(held(work / lock, refusal))
        if (work / SETTINGS_FILE).exists():
            stack.push(attempt.pop_all())
            return True
    return False


def finish_output(partial: Path | str, output: Path | str) -> None:
    """Rename ``partial`` to ``output``, which counts as complete from here on.

    Whoever the umask lets read new files may read all of it.

    Args:
        partial: the filled work folder, or the folder in it that holds the result.
    """
    output = Path(output)
    open_to_readers(partial)
    if output.exists():
        # It is empty: start_output refuses anything else.
        output.rmdir()
    os.replace(partial, output)
    # It is removed last: while it lay in the work folder, nobody else could claim that.
    (output / LOCK_FILE).unlink(missing_ok=True)
