"""What users send: limits, file types by content, and archives unpacked without trust."""

import os
import re
import shutil
import stat
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modeling_unipt.common.image_files import IMAGE_FORMATS, IMAGE_SUFFIXES, UnreadableImage, read_image
from modeling_unipt.common.user_errors import UserError

MEGABYTE, MILLION = 1 << 20, 1_000_000
FILE_BYTES, TOTAL_BYTES, UNPACKED_BYTES = 50 * MEGABYTE, 100 * MEGABYTE, 250 * MEGABYTE
PICTURES, PIXELS = 2000, 25 * MILLION
CHUNK, LONGEST_NAME = 1 << 20, 80


@dataclass
class Taken:
    """What came of an upload: relative names of the pictures, and (name, reason) of what was refused."""

    names: list = field(default_factory=list)
    refused: list = field(default_factory=list)


def upload_folder():
    """The folder that Gradio puts uploads in."""
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder()).resolve()


def uploaded(path):
    """``path``, which came with a request, as the path of an uploaded file.

    Raises:
        UserError: it is none, for example because it leads elsewhere.
    """
    try:
        path = Path(path).resolve()
    except (TypeError, ValueError, OSError):
        path = None
    if path is None or not path.is_relative_to(upload_folder()) or not path.is_file():
        raise UserError("there is no such upload; send the file again")
    if path.stat().st_size > FILE_BYTES:
        raise UserError(f"{path.name} has more than {FILE_BYTES // MEGABYTE} MB")
    return path


def open_picture(path):
    """An uploaded picture as an upright RGB ``PIL.Image``.

    Raises:
        UserError: no upload, no picture, too large or damaged.
    """
    path = uploaded(path)
    reason = refusal(path)
    if reason is None:
        try:
            return read_image(path)
        except UnreadableImage as error:
            reason = str(error)
    raise UserError(f"{path.name} cannot be used: {reason}")


def refusal(path):
    """Why a file is no picture to work with, read from its first bytes; None if it is one."""
    from PIL import Image

    if path.stat().st_size == 0:
        return "it is empty"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        return f"it has more than {PIXELS // MILLION} million pixels"
    except Exception:  # Pillow's readers raise many kinds
        return f"its content is not a picture ({', '.join(IMAGE_FORMATS)})"
    if width * height > PIXELS:
        return f"it has {width} x {height} pixels, more than {PIXELS // MILLION} million"
    return None


def take(paths, folder):
    """Put uploaded pictures, and those in uploaded zip files, into ``folder``, by safe names.

    The uploads themselves stay: Gradio may share one file between users who sent the same.

    Returns:
        `Taken`

    Raises:
        UserError: too many or too much, or a zip file that is damaged, encrypted, or would unpack to more than the
            limit or out of the folder. Then ``folder`` may hold some files; nothing of it should be used.
    """
    taken, paths = Taken(), [uploaded(path) for path in paths]
    if sum(path.stat().st_size for path in paths) > TOTAL_BYTES:
        raise UserError(f"the files have more than {TOTAL_BYTES // MEGABYTE} MB together; send fewer")
    for path in paths:
        if zipfile.is_zipfile(path):
            _unpack(path, folder, taken)
        else:
            reason = refusal(path)
            if reason:
                taken.refused.append((path.name, reason))
            else:
                _check_count(len(taken.names) + 1)
                name = _free_name(path.name, taken)
                shutil.copyfile(path, folder / name)
                taken.names.append(name)
    if not taken.names:
        first = f"; {taken.refused[0][0]}: {taken.refused[0][1]}" if taken.refused else ""
        raise UserError(f"there is no picture among the files{first}")
    return taken


def _unpack(path, folder, taken):
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(path.name, entries, len(taken.names))
            left = UNPACKED_BYTES
            for entry in entries:
                aside = folder / ".part"
                left = _write(archive, entry, aside, left, path.name)
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
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"the archive {path.name} is damaged or of an unusual kind ({type(error).__name__})") from None
    except Exception as error:  # zlib.error, lzma.LZMAError
        raise UserError(f"the archive {path.name} cannot be unpacked ({type(error).__name__})") from None


def _check_entries(name, entries, before):
    _check_count(before + len(entries))
    for entry in entries:
        inside = entry.filename.replace("\\", "/")
        if PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts or re.match(r"[A-Za-z]:", inside):
            raise UserError(f"the archive {name} holds the path {entry.filename}, which leads out of it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"the archive {name} holds a link, {entry.filename}; pack the pictures themselves")
        if entry.flag_bits & 1:
            raise UserError(f"the archive {name} is encrypted; pack it without a password")
    if sum(entry.file_size for entry in entries) > UNPACKED_BYTES:
        raise _bomb(name)


def _bomb(name):
    return UserError(f"the archive {name} unpacks to more than {UNPACKED_BYTES // MEGABYTE} MB; send fewer pictures")


def _check_count(count):
    if count > PICTURES:
        raise UserError(f"there are more than {PICTURES:,} files; send fewer")


def _write(archive, entry, path, left, name):
    """Unpack one entry to ``path``, whatever size it says it has; returns how many bytes are left to unpack."""
    with archive.open(entry) as source, open(path, "wb") as file:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _bomb(name)
            file.write(chunk)
    return left


def _free_name(name, taken):
    """A relative path for a picture called ``name`` by its user: no harm in it, and not yet used."""
    parts = [re.sub(r"[^\w.\- ]", "_", part).strip(". ") for part in PurePosixPath(name.replace("\\", "/")).parts]
    path = PurePosixPath(*[part[-LONGEST_NAME:] for part in parts if part] or ["picture"])
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        path = path.with_name(path.name + ".img.jpg")
    free, number, used = path, 1, set(taken.names)
    while str(free) in used:
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return str(free)


def sweep(age):
    """Delete what has lain in the upload folder, untouched, for ``age`` seconds: uploads taken over or given up."""
    import time

    oldest = time.time() - age
    for folder, _, names in os.walk(upload_folder(), topdown=False):
        for name in names:
            path = Path(folder, name)
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except OSError:  # another request deals with it
                continue
        try:
            if Path(folder) != upload_folder():
                os.rmdir(folder)
        except OSError:  # not empty
            continue
