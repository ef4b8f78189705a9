"""Decoding the image files of a user. Every image that cannot be used gets a reason."""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from .atomic_files import write_text
from .image_formats import DECODERS, IMAGE_FORMATS, format_without_decoder
from .stand_ins import HEAD_BYTES, what_stands_there

# A small file may hold an image that fills the memory; person crops have far fewer pixels.
MAX_PIXELS = 64_000_000


class UnreadableImage(Exception):
    """An image file that cannot be used. The message is the reason that ``rejected.jsonl`` gives."""


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
        raise UnreadableImage(_why_not_decoded(_head_of(source), error)) from None


def _why_not_decoded(head: bytes, error: Exception) -> str:
    """What the beginning of the file says, or else what Pillow says."""
    stands_there = what_stands_there(head)
    if stands_there:
        return f"is {stands_there}"
    missing = format_without_decoder(head)
    if missing:
        return f"cannot be decoded ({missing}, which needs {DECODERS[missing]})"
    return f"cannot be decoded ({type(error).__name__})"


def _head_of(source: Path | str | BinaryIO) -> bytes:
    """The first bytes of a file, or nothing if it cannot be read."""
    try:
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as file:
                return file.read(HEAD_BYTES)
        source.seek(0)
        return source.read(HEAD_BYTES)
    except (OSError, ValueError):  # a closed file is a ValueError
        return b""


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
