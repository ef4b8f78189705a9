"""One image of a source: the bytes to store, its unique id, its perceptual hash; and reading many ahead in threads."""

import hashlib
import io
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_unipt.image_files import IMAGE_FORMATS, UnreadableImage, read_image
from modeling_unipt.map_ahead import map_ahead

from .near_duplicates import perceptual_hash

JPEG_QUALITY = 95
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class SourceImage:
    """One usable image.

    Attributes:
        data: bytes to store, a JPEG or PNG that any decoder shows upright and in RGB.
        file_name: base name with the suffix that fits ``data``.
        hash: see :func:`dataset_builders.near_duplicates.perceptual_hash`.
        pixels: what ``prepare`` made of the decoded image, or None.
    """

    data: bytes
    file_name: str
    hash: int
    pixels: np.ndarray | None


def readable(path):
    """A path as text; bytes of a file name that are not UTF-8 are written as escapes."""
    return Path(path).as_posix().encode("utf-8", "backslashreplace").decode()


def unique_ids(*candidates):
    """The first of several namings (iterables of text) that repeats nothing, as a list; where all do, the last one with
    ``~2``, ``~3`` and so on behind what repeats."""
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


def image_ids(paths):
    """Unique ids of relative paths: without the suffix, or with it throughout where two files differ only there."""
    return unique_ids((readable(path.with_suffix("")) for path in paths), (readable(path) for path in paths))


def fingerprint(folder, paths):
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


def read_source_image(data, name, prepare=None, check=None):
    """Decode the bytes of one image file once.

    The bytes themselves are kept when they are a still, opaque RGB JPEG or PNG without EXIF data (which may turn the
    picture and may tell where it was taken); else the decoded picture is encoded anew, as JPEG where it was one, else
    as PNG.

    Args:
        name: of the file; its base name becomes ``file_name``.
        prepare: function of the decoded RGB ``PIL.Image`` whose result is kept as ``pixels``.
        check: function of the decoded image and its hash that raises :class:`UnreadableImage` to refuse it.
    Raises:
        UnreadableImage: the image cannot be used; the message is the reason.
    """
    if not data:
        raise UnreadableImage("zero bytes")
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"more than {MAX_BYTES:,} bytes")
    image = read_image(io.BytesIO(data))
    image_hash = perceptual_hash(image)
    if check:
        check(image, image_hash)
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
    return SourceImage(data, name, image_hash, prepare(image) if prepare else None)


def read_batches(source, positions, batch_size, workers, prepare=None, check=None):
    """Read images of a source in order, two batches ahead, in threads (Pillow decodes without the GIL).

    Args:
        source: see :class:`dataset_builders.image_sources.Source`.
        positions: range or list of positions in it.
        prepare, check: see :func:`read_source_image`.
    Yields:
        Lists of up to ``batch_size`` pairs (position, SourceImage or the reason of its refusal).
    """

    def read(position):
        try:
            return position, source.read(position, prepare, check)
        except UnreadableImage as refusal:
            return position, str(refusal)

    images = map_ahead(read, positions, workers, 3 * batch_size)
    while batch := list(itertools.islice(images, batch_size)):
        yield batch
