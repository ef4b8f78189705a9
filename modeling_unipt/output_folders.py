"""The one way an output folder comes to be: built in ``<output>.partial``, then renamed.

A finished output holds ``build_settings.json``, the settings that made it. So an interrupted command leaves nothing
that looks finished, a finished output is recognised and left alone, and one made with other settings is refused.
"""

import json
import os
import shutil
import uuid
from pathlib import Path

from .user_errors import UserError

SETTINGS_FILE = "build_settings.json"


def _read_settings(folder):
    try:
        return json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _difference(made_with, settings):
    for key in sorted(set(made_with) | set(settings)):
        before, now = made_with.get(key), settings.get(key)
        if before != now:
            return f"{key} was {json.dumps(before)} and is now {json.dumps(now)}"
    return None


def start_output(output, settings, keep_partial=False):
    """Claim ``output`` for a command described by the JSON-able ``settings``.

    Returns:
        The ``Path`` of the work folder to fill, or None when ``output`` is complete with these very settings (a message
        has been printed; the command should exit 0). With ``keep_partial``, an unfinished work folder of the same
        settings is returned as it is, to be resumed; else it is emptied.

    Raises:
        UserError: ``output`` was made, or its unfinished work was begun, with other settings (the difference is named),
            or holds something that this project did not make.
    """
    output, settings = Path(output), json.loads(json.dumps(settings))
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        made_with = _read_settings(output) if output.is_dir() else None
        if made_with is None:
            raise UserError(f"{output} exists and was not made by this command; name another output or move it away")
        difference = _difference(made_with, settings)
        if difference:
            raise UserError(f"{output} was made with other settings: {difference}; name another output or delete it")
        print(f"{output} is already complete; nothing to do")
        return None
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        begun_with = _read_settings(partial)
        if keep_partial and begun_with is not None:
            difference = _difference(begun_with, settings)
            if difference:
                raise UserError(
                    f"{partial} was begun with other settings: {difference}; run that command again to finish it, "
                    f"or delete {partial}"
                )
            return partial
        shutil.rmtree(partial)
    # Made aside and renamed whole: of processes that begin together one is first, and the others find its folder.
    fresh = partial.with_name(f"{partial.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir(parents=True)
    (fresh / SETTINGS_FILE).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    try:
        os.rename(fresh, partial)
    except OSError:
        shutil.rmtree(fresh)
        if not keep_partial:
            raise UserError(f"another process is writing {output}; wait for it, or stop it first") from None
        return start_output(output, settings, keep_partial)
    if output.exists() and _read_settings(output) is not None:  # finished by another process in the meantime
        shutil.rmtree(partial)
        return start_output(output, settings, keep_partial)
    return partial


def finish_output(partial, output):
    """Rename the filled work folder, or the folder in it that holds the result, to ``output``; from here on it counts
    as complete."""
    output = Path(output)
    if output.exists():
        output.rmdir()
    os.replace(partial, output)
