"""Finding and decoding the images of a user's folder, with every refusal given a reason."""

import json
import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from .user_errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"}
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")  # not EPS: Pillow would start Ghostscript on it
MAX_PIXELS = 64_000_000


class UnreadableImage(Exception):
    """An image file that cannot be used; the message is the reason written to ``rejected.jsonl``."""


def find_images(folder):
    """All image files below ``folder``, recursively, as paths relative to it in sorted order.

    Raises:
        UserError: the folder is missing, is not a folder, cannot be listed, or holds no image file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"folder {folder} does not exist; give the path of a folder that holds person crops")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder; give the folder that holds the person crops")

    def refuse(error):
        raise UserError(f"folder {error.filename} cannot be listed ({error.strerror}); mend its permissions or move it")

    found = []
    for directory, subdirectories, names in os.walk(folder, onerror=refuse):
        subdirectories.sort()
        found += [
            Path(directory, name).relative_to(folder) for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    if not found:
        raise UserError(
            f"folder {folder} holds no images; looked, also in sub-folders, for {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return sorted(found, key=lambda path: path.as_posix())


def read_image(source):
    """Decode a path or binary file object to an upright RGB ``PIL.Image``: its first frame, transparency over white,
    16-bit grey scaled to 8 bits. What the file is counts, not its suffix.

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
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({type(error).__name__})") from None


def _to_rgb(image):
    if image.mode.startswith("I") or image.has_transparency_data:
        from ..image_processing_unipt import (
            to_rgb,  # loads transformers, which takes seconds and most images never need
        )

        return to_rgb(image)
    return image.convert("RGB")


def write_rejected(path, rejected):
    """Write ``[(file name, reason), ...]`` as ``rejected.jsonl``; an empty list writes an empty file."""
    with open(path, "w", encoding="utf-8") as lines:
        for file_name, reason in rejected:
            lines.write(json.dumps({"file_name": str(file_name), "reason": reason}, ensure_ascii=False) + "\n")
