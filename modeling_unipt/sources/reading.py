"""One image of a source: its unique id and the bytes to store."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.image_files import UnreadableImage, read_image
from ..common.image_formats import IMAGE_FORMATS

JPEG_QUALITY = 95
# 256 MiB. No crop of a person is that large, and a few such files at once would fill the memory.
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
    taken = set(ids)
    seen: set[str] = set()
    # The next number to try for each name: many copies of one name would take quadratic time from 2 on.
    numbers: dict[str, int] = {}
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
    digest = hashlib.sha256()
    total = 0
    for path in paths:
        try:
            size = (Path(folder) / path).stat().st_size
        except (OSError, ValueError):  # a name with a zero byte is a ValueError
            size = -1
        total += max(size, 0)
        digest.update(f"{path.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
    return f"{len(paths)} files, {total} bytes, {digest.hexdigest()[:12]}"


def decode(data: bytes) -> Image.Image:
    """The upright RGB image in the bytes of one image file; see :func:`~modeling_unipt.common.image_files.read_image`.

    Raises:
        UnreadableImage: the image cannot be used; the message is the reason.
    """
    if not data:
        raise UnreadableImage("zero bytes")
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"more than {MAX_BYTES:,} bytes")
    return read_image(io.BytesIO(data))


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
    image = decode(data)
    # First of all, because a refusal makes the work below needless.
    examined = examine(image) if examine else None
    with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as header:
        # MPO is a JPEG with further images behind it, as some cameras write.
        is_jpeg = header.format in ("JPEG", "MPO")
        is_plain = (
            header.format in ("JPEG", "PNG")
            and header.mode == "RGB"
            and getattr(header, "n_frames", 1) == 1
            and not header.has_transparency_data
            and not header.getexif()
        )
    name = readable(Path(name).name)
    if not is_plain:
        encoded = io.BytesIO()
        if is_jpeg:
            image.save(encoded, "JPEG", quality=JPEG_QUALITY)
        else:
            image.save(encoded, "PNG")
        data = encoded.getvalue()
    suffixes = (".jpg", ".jpeg") if is_jpeg else (".png",)
    if not is_plain or Path(name).suffix.lower() not in suffixes:
        name = Path(name).stem + suffixes[0]
    return SourceImage(data, name, examined, prepare(image) if prepare else None)
