"""One image of a source: its unique id and the bytes to store."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.image_files import IMAGE_FORMATS, UnreadableImage, read_image

JPEG_QUALITY = 95
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class SourceImage:
    """One usable image.

    Attributes:
        data: the bytes to store: a JPEG or PNG that every decoder shows upright and in RGB.
        file_name: base name, with the suffix that fits ``data``.
        examined: what ``examine`` returned for the decoded image, or None.
        pixels: what ``prepare`` returned for the decoded image, or None.
    """

    data: bytes
    file_name: str
    examined: Any
    pixels: np.ndarray | None


def readable(path: Path | str) -> str:
    """A path as text. Bytes of a file name that are not UTF-8 are written as escapes."""
    return Path(path).as_posix().encode("utf-8", "backslashreplace").decode()


def unique_ids(*candidates: Iterable[str]) -> list[str]:
    """The first of several namings that repeats no name.

    If all of them repeat names, the last one is taken, with ``~2``, ``~3`` and so on behind what repeats.
    """
    for candidate in candidates:
        ids = list(candidate)
        if len(set(ids)) == len(ids):
            return ids
    taken, seen, numbers = set(ids), set(), {}
    for position, name in enumerate(ids):
        if name in seen:
            number = numbers.get(name, 2)
            while f"{name}~{number}" in taken:
                number += 1
            numbers[name] = number + 1
            ids[position] = f"{name}~{number}"
            taken.add(ids[position])
        seen.add(name)
    return ids


def image_ids(paths: Sequence[Path]) -> list[str]:
    """Unique ids of relative paths: without suffixes, or all with suffixes if two files differ only there."""
    return unique_ids((readable(path.with_suffix("")) for path in paths), (readable(path) for path in paths))


def fingerprint(folder: Path | str, paths: Sequence[Path]) -> str:
    """A short text that changes when a file is added, removed, renamed or changes its size."""
    digest, total = hashlib.sha256(), 0
    for path in paths:
        try:
            size = (Path(folder) / path).stat().st_size
        except (OSError, ValueError):  # a name with a zero byte is a ValueError
            size = -1
        total += max(size, 0)
        digest.update(f"{path.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
    return f"{len(paths)} files, {total} bytes, {digest.hexdigest()[:12]}"


def read_source_image(
    data: bytes,
    name: str,
    prepare: Callable[[Image.Image], np.ndarray] | None = None,
    examine: Callable[[Image.Image], Any] | None = None,
) -> SourceImage:
    """Decode the bytes of one image file once.

    The bytes themselves are kept if they are a still, opaque RGB JPEG or PNG without EXIF data. (EXIF data may turn the
    image, and may tell where it was taken.) Otherwise the decoded image is encoded anew: as JPEG if it was one, else
    as PNG.

    Args:
        name: name of the file; its base name becomes ``file_name``.
        prepare: called with the decoded RGB image; its result is kept as ``pixels``.
        examine: called with the decoded RGB image; its result is kept as ``examined``. It may raise
            :class:`UnreadableImage` to refuse the image.

    Raises:
        UnreadableImage: the image cannot be used; the message is the reason.
    """
    if not data:
        raise UnreadableImage("zero bytes")
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"more than {MAX_BYTES:,} bytes")
    image = read_image(io.BytesIO(data))
    examined = examine(image) if examine else None
    with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as header:
        encoding, suffix = ("JPEG", ".jpg") if header.format in ("JPEG", "MPO") else ("PNG", ".png")
        plain = header.format == encoding and header.mode == "RGB" and getattr(header, "n_frames", 1) == 1
        plain = plain and not header.has_transparency_data and not header.getexif()
    name = readable(Path(name).name)
    if not plain:
        encoded = io.BytesIO()
        image.save(encoded, encoding, **({"quality": JPEG_QUALITY} if encoding == "JPEG" else {}))
        data = encoded.getvalue()
    if not plain or Path(name).suffix.lower() not in (suffix, ".jpeg" if encoding == "JPEG" else suffix):
        name = Path(name).stem + suffix
    return SourceImage(data, name, examined, prepare(image) if prepare else None)
