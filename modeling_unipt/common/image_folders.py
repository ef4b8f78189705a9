"""Finding the images in a user's folder, and counting what only looks like images."""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from .image_formats import DECODERS, EVERYDAY_SUFFIXES, FORMAT_OF_RARE_SUFFIX, IMAGE_FORMATS, IMAGE_SUFFIXES
from .user_errors import UserError

logger = logging.getLogger(__name__)
THUMBNAILS_OF_WINDOWS = "thumbs.db"
# What is left out, as it is told behind "3 files".
_MACOS = "made by macOS (__MACOSX, ._*)"
_THUMBNAILS = "holding thumbnails (@eaDir, thumbs, *_thumb)"
_WASTE = "in a waste bin"
_COPIES = "in the hidden folder of a program (.git, .ipynb_checkpoints)"
# Names of folders, in lower case.
_JUNK_FOLDERS = {
    "__macosx": _MACOS,
    ".appledouble": _MACOS,
    "@eadir": _THUMBNAILS,
    **dict.fromkeys(("thumbs", ".thumbs", "_thumbs", "thumbnail", "thumbnails", ".thumbnails"), _THUMBNAILS),
    **dict.fromkeys((".trash", ".trashes", "$recycle.bin", "#recycle", "@recycle"), _WASTE),
    **dict.fromkeys((".ipynb_checkpoints", ".git", ".stversions"), _COPIES),
}
_THUMBNAIL = re.compile(r"thumb(?:nail)?[._-](.+)|(.+)[._-]thumb(?:nail)?", re.IGNORECASE)


@dataclass(frozen=True)
class FolderListing:
    """What lies in a folder.

    Attributes:
        paths: the image files, relative to the folder, sorted.
        left_out: what else is named like an image -> how many files; see :func:`left_out_line`.
    """

    paths: list[Path]
    left_out: Mapping[str, int]


def why_left_out(path: PurePath, names_beside: Collection[str] = ()) -> str | None:
    """Why a file that is named like an image is none of the user's images, or None if it is one.

    Args:
        path: relative to what the user named.
        names_beside: the names of the files in its folder, if they are known.
    """
    for part in path.parts[:-1]:
        folder = part.lower()
        if folder in _JUNK_FOLDERS:
            return _JUNK_FOLDERS[folder]
        # Linux calls it .Trash-1000, by the number of the user.
        if folder.startswith(".trash-"):
            return _WASTE
    name = path.name.lower()
    if name.startswith("._"):
        return _MACOS
    if name.startswith((".trashed-", ".pending-")):
        return _WASTE
    if name.startswith("synophoto_thumb") or name == THUMBNAILS_OF_WINDOWS:
        return _THUMBNAILS
    # Somebody may call a real image so. A thumbnail has the image that it shows beside it.
    thumbnail = _THUMBNAIL.fullmatch(path.stem)
    if thumbnail:
        shown = thumbnail[1] or thumbnail[2]
        if any(f"{shown}{suffix}" in names_beside for suffix in (path.suffix, *EVERYDAY_SUFFIXES)):
            return _THUMBNAILS
    suffix = path.suffix.lower()
    file_format = FORMAT_OF_RARE_SUFFIX.get(suffix)
    if file_format in DECODERS and file_format not in IMAGE_FORMATS:
        return f"with the suffix {suffix}, which needs {DECODERS[file_format]}"
    return None


def left_out_line(where: Path | str, left_out: Mapping[str, int]) -> str | None:
    """A sentence that counts the files that were left out, or None if there are none."""
    if not left_out:
        return None
    parts = [f"{number:,} {'file' if number == 1 else 'files'} {what}" for what, number in left_out.items()]
    return f"left out of {where}: {'; '.join(parts)}"


def tell_left_out(where: Path | str, left_out: Mapping[str, int]) -> None:
    """Log :func:`left_out_line`, which commands show."""
    if left_out:
        logger.warning(left_out_line(where, left_out))


def list_folder(folder: Path | str) -> FolderListing:
    """All image files below ``folder``, recursively, and how many files that are named like images are left out.

    What systems and programs make beside a user's images is left out (thumbnails, ``__MACOSX``), and so are images of
    formats that cannot be decoded here. A warning counts them.

    Raises:
        UserError: the folder is missing, is not a folder, cannot be listed, or holds no image file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"folder {folder} does not exist; give the path of a folder that holds person crops")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder; give the folder that holds the person crops")

    found = []
    left_out: Counter[str] = Counter()
    for path, reason in walk_images(folder):
        if reason is None:
            found.append(path)
        else:
            left_out[reason] += 1
    counted = dict(sorted(left_out.items()))
    if not found:
        line = left_out_line(folder, counted)
        raise UserError(
            f"folder {folder} holds no images; looked, also in sub-folders, for {', '.join(EVERYDAY_SUFFIXES)} and "
            f"rarer kinds{f'; {line}' if line else ''}"
        )
    tell_left_out(folder, counted)
    return FolderListing(sorted(found, key=lambda path: path.as_posix()), counted)


def walk_images(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Every file below ``folder`` that is named like an image, relative to it, and :func:`why_left_out`.

    Raises:
        UserError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"folder {error.filename} cannot be listed ({error.strerror}); mend its permissions or move it")

    # Without onerror, os.walk would skip a folder that it cannot list, and its images would be missing unnoticed.
    for directory, _, names in os.walk(folder, onerror=refuse):
        inner = Path(directory).relative_to(folder)
        beside = set(names)
        for name in names:
            path = inner / name
            if path.suffix.lower() in IMAGE_SUFFIXES or name.lower() == THUMBNAILS_OF_WINDOWS:
                yield path, why_left_out(path, beside)
