"""The formats of images that are read: their suffixes, and whether a decoder for them is there."""

import importlib
from collections.abc import Iterator

from PIL import features

EVERYDAY_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMAT_OF_RARE_SUFFIX = {
    ".jfif": "JPEG",
    ".jif": "JPEG",
    ".jpe": "JPEG",
    ".apng": "PNG",
    ".pbm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".j2c": "JPEG2000",
    ".j2k": "JPEG2000",
    ".jp2": "JPEG2000",
    ".jpf": "JPEG2000",
    ".jpx": "JPEG2000",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".jxl": "JXL",
}
IMAGE_SUFFIXES = {*EVERYDAY_SUFFIXES, *FORMAT_OF_RARE_SUFFIX}
# What to install where a format's decoder is missing.
DECODERS = {
    "AVIF": "Pillow 11.3 or later",
    "JPEG2000": "a Pillow with JPEG 2000",
    "HEIF": "the package pillow-heif",
    "JXL": "the package pillow-jxl-plugin",
}


def decodable_formats() -> Iterator[str]:
    """The formats that are read here, as Pillow calls them. Packages that add some to Pillow are made known to it."""
    # Formats are listed because Pillow knows more, and starts Ghostscript to read one of them (EPS).
    yield from ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
    # Versions before 11.3 do not know the word, and warn of it.
    if "avif" in features.modules and features.check("avif"):
        yield "AVIF"
    if features.check("jpg_2000"):
        yield "JPEG2000"
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
        yield "HEIF"
    except ImportError:
        pass
    try:
        # Importing it is what makes it known.
        importlib.import_module("pillow_jxl")
        yield "JXL"
    except ImportError:
        pass


IMAGE_FORMATS = tuple(decodable_formats())


def format_without_decoder(head: bytes) -> str | None:
    """The format of a file, by its first bytes, if it is one of :data:`DECODERS` that cannot be decoded here."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in (b"avif", b"avis"):
        found = "AVIF"
    elif brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        found = "HEIF"
    elif head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        found = "JXL"
    elif head.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        found = "JPEG2000"
    else:
        return None
    return None if found in IMAGE_FORMATS else found
