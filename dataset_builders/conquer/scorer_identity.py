"""Which scorer a dataset or a calibration was made with, in words that tell when it is another."""

import hashlib
import os
import re
from pathlib import Path

from modeling_unipt.common.user_errors import UserError

from .calibration import CALIBRATION_FILE

SCORER_FILES = {".safetensors", ".bin", ".json", ".txt", ".model"}


def scorer_identity(name):
    """The scorer's name and, for a folder, a hash of its files' content; what calibrates it is no part of it.

    Raises:
        UserError: ``name`` can be neither a folder that exists nor a name on the Hub.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
            raise UserError(f"scorer '{name}' is neither a folder with a CLIP model nor a name on the Hub")
        return name
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in SCORER_FILES and path.is_file() and path.name != CALIBRATION_FILE:
            digest.update(path.name.encode())
            with open(path, "rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{os.path.basename(os.path.abspath(name))}, {digest.hexdigest()[:12]}"
