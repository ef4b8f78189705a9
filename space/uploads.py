"""What users send: its limits, file types told by content, and archives that are unpacked without trust."""

import os
import re
import shutil
import stat
import time
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gradio.utils import get_upload_folder
from PIL import Image

from modeling_unipt.common.image_files import UnreadableImage, read_image
from modeling_unipt.common.image_formats import IMAGE_FORMATS, IMAGE_SUFFIXES
from modeling_unipt.common.user_errors import UserError

MEGABYTE = 1 << 20
MILLION = 1_000_000
FILE_BYTES = 50 * MEGABYTE
TOTAL_BYTES = 100 * MEGABYTE
UNPACKED_BYTES = 250 * MEGABYTE
MOST_IMAGES = 2000
MOST_PIXELS = 25 * MILLION
CHUNK_BYTES = MEGABYTE
LONGEST_NAME = 80


@dataclass
class Taken:
    """What came of an upload.

    Attributes:
        names: relative paths of the images that were taken.
        refused: (name, reason) of each file that was not.
    """

    names: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def upload_folder() -> Path:
    """The folder in which Gradio keeps uploads."""
    return Path(get_upload_folder()).resolve()


def uploaded(path: object) -> Path:
    """``path``, which came with a request, if it is the path of an uploaded file.

    Raises:
        UserError: it is not, for example because it leads to another folder, or the file is too large.
    """
    try:
        # resolve() follows links and "..", so that the check below sees where the path really leads.
        resolved = Path(path).resolve()
    except (TypeError, ValueError, OSError):
        resolved = None
    if resolved is None or not resolved.is_relative_to(upload_folder()) or not resolved.is_file():
        raise UserError("there is no such upload; send the file again")
    if resolved.stat().st_size > FILE_BYTES:
        raise UserError(f"{resolved.name} has more than {FILE_BYTES // MEGABYTE} MB")
    return resolved


def open_image(path: object) -> Image.Image:
    """An uploaded image, upright and in RGB.

    Raises:
        UserError: ``path`` is no upload, or its file is no image, too large or damaged.
    """
    path = uploaded(path)
    reason = refusal(path)
    if reason is None:
        try:
            return read_image(path)
        except UnreadableImage as error:
            reason = str(error)
    raise UserError(f"{path.name} cannot be used: {reason}")


def refusal(path: Path) -> str | None:
    """Why a file is no image to work with, or None if it is one. Only the beginning of the file is read."""
    if path.stat().st_size == 0:
        return "it is empty"
    try:
        with warnings.catch_warnings():
            # Pillow warns of half the size at which it raises the error. Our own limit is lower than both.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        return f"it has more than {MOST_PIXELS // MILLION} million pixels"
    except Exception:  # Pillow's readers raise many kinds
        return f"its content is not an image ({', '.join(IMAGE_FORMATS)})"
    if width * height > MOST_PIXELS:
        return f"it has {width} x {height} pixels, more than {MOST_PIXELS // MILLION} million"
    return None


def take(paths: Iterable[object], folder: Path) -> Taken:
    """Copy uploaded images, and those in uploaded zip files, into ``folder`` under safe names.

    The uploads themselves stay, because Gradio may share one file between users who sent the same.

    Raises:
        UserError: there is no image, or there are too many; or a zip file is damaged, encrypted, would unpack to more
            than the limit, or would write outside of the folder. Then ``folder`` may hold some files, which nobody
            should use.
    """
    taken = Taken()
    files = [uploaded(path) for path in paths]
    if sum(path.stat().st_size for path in files) > TOTAL_BYTES:
        raise UserError(f"the files have more than {TOTAL_BYTES // MEGABYTE} MB together; send fewer")
    for path in files:
        if zipfile.is_zipfile(path):
            _unpack(path, folder, taken)
            continue
        reason = refusal(path)
        if reason:
            taken.refused.append((path.name, reason))
            continue
        _check_count(len(taken.names) + 1)
        name = _free_name(path.name, taken)
        shutil.copyfile(path, folder / name)
        taken.names.append(name)
    if not taken.names:
        example = ""
        if taken.refused:
            name, reason = taken.refused[0]
            example = f"; {name}: {reason}"
        raise UserError(f"there is no image among the files{example}")
    return taken


def _unpack(path: Path, folder: Path, taken: Taken) -> None:
    """Write the images of a zip file into ``folder``, and count them in ``taken``."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            # Before anything is written, so that a bad archive is refused whole.
            _check_entries(path.name, entries, len(taken.names))
            bytes_left = UNPACKED_BYTES
            for entry in entries:
                # What the entry is shows only when it is unpacked; until then it has a name that is none of the user's.
                aside = folder / ".part"
                bytes_left = _write_entry(archive, entry, aside, bytes_left, path.name)
                reason = refusal(aside)
                if reason:
                    taken.refused.append((entry.filename, reason))
                    aside.unlink()
                    continue
                name = _free_name(entry.filename, taken)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                aside.rename(folder / name)
                taken.names.append(name)
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and lzma raise many kinds
        raise UserError(
            f"the archive {path.name} cannot be unpacked; it is damaged or of an unusual kind ({type(error).__name__})"
        ) from None


def _check_entries(name: str, entries: Sequence[zipfile.ZipInfo], images_before: int) -> None:
    """Refuse an archive called ``name`` by what its table of contents claims."""
    _check_count(images_before + len(entries))
    for entry in entries:
        # Windows separates folders by a backslash and has drives.
        inside = entry.filename.replace("\\", "/")
        if PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts or re.match(r"[A-Za-z]:", inside):
            raise UserError(f"the archive {name} holds the path {entry.filename}, which leads out of it")
        # The upper half of this field is the mode of a Unix file.
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"the archive {name} holds a link, {entry.filename}; pack the images themselves")
        encrypted = entry.flag_bits & 1
        if encrypted:
            raise UserError(f"the archive {name} is encrypted; pack it without a password")
    if sum(entry.file_size for entry in entries) > UNPACKED_BYTES:
        raise _too_large_unpacked(name)


def _too_large_unpacked(name: str) -> UserError:
    return UserError(f"the archive {name} unpacks to more than {UNPACKED_BYTES // MEGABYTE} MB; send fewer images")


def _check_count(count: int) -> None:
    if count > MOST_IMAGES:
        raise UserError(f"there are more than {MOST_IMAGES:,} files; send fewer")


def _write_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, bytes_left: int, name: str) -> int:
    """Unpack one entry to ``path``; returns how many bytes may still be unpacked.

    The bytes are counted as they come: the size that the table of contents claims may be a lie.
    """
    with archive.open(entry) as source, open(path, "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            bytes_left -= len(chunk)
            if bytes_left < 0:
                raise _too_large_unpacked(name)
            file.write(chunk)
    return bytes_left


def _free_name(name: str, taken: Taken) -> str:
    """A relative path for an image that its user calls ``name``: it can do no harm and is not yet used."""
    parts = []
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        # Dots at the edges would hide a file, or climb out of the folder.
        harmless = re.sub(r"[^\w.\- ]", "_", part).strip(". ")
        if harmless:
            parts.append(harmless[-LONGEST_NAME:])
    path = PurePosixPath(*(parts or ["image"]))
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        # The gallery finds images by their suffix and reads them by their content.
        path = path.with_name(path.name + ".img.jpg")
    used = set(taken.names)
    free = path
    number = 1
    while str(free) in used:
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return str(free)


def sweep(age: float) -> None:
    """Delete uploads that nobody has touched for ``age`` seconds: they were taken over, or their user gave up."""
    oldest = time.time() - age
    root = upload_folder()
    # From the bottom up, so that folders are empty when their turn comes.
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except OSError:  # a request has just deleted it
                continue
        try:
            if Path(folder) != root:
                os.rmdir(folder)
        except OSError:  # it is not empty
            continue
