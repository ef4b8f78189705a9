"""What tells a dataset from others, wherever its folder lies and however it is called."""

import hashlib
import json
from pathlib import Path

from modeling_unipt.common.output_folders import SETTINGS_FILE

# Texts about a dataset, which may change while it stays the same.
ABOUT = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")
DIGITS = 12


def dataset_digest(dataset: Path | str) -> str | None:
    """Hexadecimal digits that are the same for every copy of a dataset folder; None for a name on the Hub.

    A folder that this project wrote is recognised by the settings that made it: of a benchmark these hold digests of
    its annotation and of its images. Of another folder the names and sizes of its files count.
    """
    folder = Path(dataset)
    if not folder.is_dir():
        return None
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        told = json.dumps({name: value for name, value in settings.items() if name != "license"}, sort_keys=True)
    except (OSError, ValueError, AttributeError):
        told = "\n".join(_files(folder))
    return hashlib.sha256(told.encode()).hexdigest()[:DIGITS]


def _files(folder: Path) -> list[str]:
    names = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not is_hidden and path.name not in ABOUT:
            names.append(f"{name.as_posix()} {path.stat().st_size}")
    return sorted(names)
