"""The images that a dataset is built from: their ids, the bytes to store, and reading them ahead in worker threads."""

import hashlib
import io
import itertools
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_unipt.image_files import UnreadableImage, read_image

JPEG_QUALITY = 95


@dataclass(frozen=True)
class SourceImage:
    """One usable image.

    Attributes:
        data: bytes to store, a JPEG or PNG that any decoder shows upright and in RGB.
        file_name: base name with the suffix that fits ``data``.
        pixels: what ``prepare`` made of the decoded image, or None.
    """

    data: bytes
    file_name: str
    pixels: np.ndarray | None


def readable(path):
    """A path as text; bytes of a file name that are not UTF-8 are written as escapes."""
    return Path(path).as_posix().encode("utf-8", "backslashreplace").decode()


def image_ids(paths):
    """Unique ids of relative paths: without the suffix, or with it throughout where two files differ only there."""
    ids = [readable(path.with_suffix("")) for path in paths]
    return ids if max(Counter(ids).values()) == 1 else [readable(path) for path in paths]


def fingerprint(folder, paths):
    """A short text that changes when a file is added, removed, renamed or changes its size."""
    digest, total = hashlib.sha256(), 0
    for path in paths:
        try:
            size = (Path(folder) / path).stat().st_size
        except OSError:
            size = -1
        total += max(size, 0)
        digest.update(f"{path.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
    return f"{len(paths)} files, {total} bytes, {digest.hexdigest()[:12]}"


def read_source_image(path, prepare=None):
    """Read and decode one file once.

    The file's own bytes are kept when they are a still RGB JPEG or PNG without EXIF data (which may turn the picture
    and may tell where it was taken); else the decoded picture is encoded anew, as JPEG where it was one, else as PNG.

    Args:
        prepare: function of the decoded RGB ``PIL.Image`` whose result is kept as ``pixels``.
    Raises:
        UnreadableImage: the file cannot be used.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read ({type(error).__name__})") from None
    if not data:
        raise UnreadableImage("zero bytes")
    image = read_image(io.BytesIO(data))
    with Image.open(io.BytesIO(data)) as header:
        encoding, suffix = ("JPEG", ".jpg") if header.format in ("JPEG", "MPO") else ("PNG", ".png")
        plain = header.format == encoding and header.mode == "RGB" and getattr(header, "n_frames", 1) == 1
        plain = plain and not header.getexif()
    name = readable(Path(path).name)
    if not plain:
        encoded = io.BytesIO()
        image.save(encoded, encoding, **({"quality": JPEG_QUALITY} if encoding == "JPEG" else {}))
        data = encoded.getvalue()
    if not plain or Path(name).suffix.lower() not in (suffix, ".jpeg" if encoding == "JPEG" else suffix):
        name = Path(name).stem + suffix
    return SourceImage(data, name, prepare(image) if prepare else None)


def read_batches(folder, paths, batch_size, workers, prepare=None):
    """Read ``paths`` below ``folder`` in order, two batches ahead, in threads (Pillow decodes without the GIL).

    Yields:
        Lists of up to ``batch_size`` pairs (position in ``paths``, SourceImage or the reason of its refusal).
    """

    def read(position):
        try:
            return position, read_source_image(Path(folder) / paths[position], prepare)
        except UnreadableImage as refusal:
            return position, str(refusal)

    batches = iter(range(0, len(paths), batch_size))
    with ThreadPoolExecutor(workers) as pool:
        begun = deque()
        try:
            for start in itertools.chain(batches, [None, None]):
                if start is not None:
                    positions = range(start, min(start + batch_size, len(paths)))
                    begun.append([pool.submit(read, position) for position in positions])
                if len(begun) > 2 or (start is None and begun):
                    yield [future.result() for future in begun.popleft()]
        finally:
            for future in itertools.chain.from_iterable(begun):
                future.cancel()
