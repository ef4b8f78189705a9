"""Finding and decoding the images of a user's folder. Every image that cannot be used gets a reason."""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from .atomic_files import write_text
from .user_errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"}
# Formats are listed because Pillow knows more, and starts Ghostscript to read one of them (EPS).
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
# A small file may hold an image that fills the memory; person crops have far fewer pixels.
MAX_PIXELS = 64_000_000


class UnreadableImage(Exception):
    """An image file that cannot be used. The message is the reason that ``rejected.jsonl`` gives."""


def find_images(folder: Path | str) -> list[Path]:
    """All image files below ``folder``, recursively, as paths relative to it in sorted order.

    Raises:
        UserError: the folder is missing, is not a folder, cannot be listed, or holds no image file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"folder {folder} does not exist; give the path of a folder that holds person crops")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder; give the folder that holds the person crops")

    def refuse(error: OSError) -> None:
        raise UserError(f"folder {error.filename} cannot be listed ({error.strerror}); mend its permissions or move it")

    found = []
    # Without onerror, os.walk would skip a folder that it cannot list, and its images would be missing unnoticed.
    for directory, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                found.append(Path(directory, name).relative_to(folder))
    if not found:
        raise UserError(
            f"folder {folder} holds no images; looked, also in sub-folders, for {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return sorted(found, key=lambda path: path.as_posix())


def read_image(source: Path | str | BinaryIO) -> Image.Image:
    """Decode an image file: its first frame, upright, in RGB.

    Transparent parts become white, and 16-bit grey is scaled to 8 bits. The format is told by the file's content, not
    by its suffix.

    Args:
        source: a path, or a file object opened in binary mode.

    Raises:
        UnreadableImage: zero bytes, not an image, truncated, or more than ``MAX_PIXELS`` pixels.
    """
    if isinstance(source, (str, os.PathLike)) and os.path.isfile(source) and os.path.getsize(source) == 0:
        raise UnreadableImage("zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,} in all")
                # Cameras store an image as the sensor lay and tell in its EXIF data how to turn it.
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others.
        raise UnreadableImage(f"cannot be decoded ({type(error).__name__})") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.has_transparency_data:
        # This import loads transformers, which takes seconds, and few images need it. The function cannot stand here,
        # because image_processing_unipt.py is copied to the Hub and may not import this package.
        from ..image_processing_unipt import to_rgb

        return to_rgb(image)
    return image.convert("RGB")


def write_rejected(path: Path | str, rejected: Iterable[tuple[Path | str, str]]) -> None:
    """Write pairs of file name and reason as JSON lines; no pairs make an empty file."""
    lines = []
    for file_name, reason in rejected:
        line = json.dumps({"file_name": str(file_name), "reason": reason}, ensure_ascii=False)
        lines.append(line + "\n")
    write_text(path, "".join(lines))
