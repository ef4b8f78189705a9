"""A JSON list with one entry for each image, as benchmarks and the released LUPerson-T come."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modeling_unipt.common.user_errors import UserError


@dataclass(frozen=True)
class JsonList:
    """The entries of a file, not checked yet, and the SHA-256 of the file's bytes."""

    entries: list[Any]
    sha256: str


def read_json_list(path: Path | str, of_what: str) -> JsonList:
    """Read the file.

    Args:
        of_what: what the entries are, for the message.

    Raises:
        UserError: the file cannot be read, or holds no JSON list, or an empty one.
    """
    try:
        content = Path(path).read_bytes()
        entries = json.loads(content)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} must be a JSON list of {of_what} that is not empty")
    return JsonList(entries, hashlib.sha256(content).hexdigest())


def entry_name(path: Path | str, number: int) -> str:
    """How messages call an entry."""
    return f"{path}: entry {number} (counted from 0)"


def is_path_below(value: Any) -> bool:
    """Whether an entry's value is a path that stays below the folder it is relative to."""
    if not isinstance(value, str) or not value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts
