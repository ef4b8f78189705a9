"""Near-duplicates among images, found by a perceptual hash of 64 bits. Only the hashes are held and compared.

duplicates = find_duplicates(hashes)  # for each image the position of the one that it repeats, or -1
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image
from tqdm import tqdm

DISTANCE = 6
# With more bits the bands of HashIndex hold 4 bits or fewer, and a search compares nearly everything.
MAX_DISTANCE = 15
HASH_BITS = 64
# Up to this many hashes a loop in Python is faster than a call of numpy.
SCANNED_IN_PYTHON = 24
# Both sides of the image that is hashed, in pixels, and the number of frequencies taken in each direction.
SIDE = 32
FREQUENCIES = 8


def perceptual_hash(image: Image.Image) -> int:
    """A hash of 64 bits that differs little between two encodings or sizes of one image.

    The image is squashed to 32 x 32 and its discrete cosine transform is taken. A bit says whether one of the lowest
    8 x 8 frequencies is above their median. The mean brightness is not among them, so the last bit is always 0. Two
    unrelated images differ in about half of the bits. An image of one colour has the hash 0.

    Every machine gives the same bits, because the transform is computed in whole numbers.
    """
    # reducing_gap shrinks large images in two steps, which saves time.
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0)
    grey = np.asarray(small.convert("L"), dtype=np.float64)
    frequencies = (_WAVES @ grey @ _WAVES.T).ravel()[1:]
    median = np.sort(frequencies)[len(frequencies) // 2]
    return int.from_bytes(np.packbits(frequencies > median).tobytes(), "big")


def _waves() -> np.ndarray:
    """(8, 32) the cosines of the transform, as whole numbers."""
    angles = np.pi / (2 * SIDE) * np.outer(np.arange(FREQUENCIES), 2 * np.arange(SIDE) + 1)
    # Whole numbers far below 2**53 are exact as float64, and so are their sums in any order.
    return np.round(1024 * np.cos(angles))


_WAVES = _waves()


@dataclass(frozen=True)
class _Band:
    """Some neighbouring bits of a hash, ``value >> shift & mask``, and the hashes filed under what these bits hold.

    Attributes:
        table: bits of the band -> (hashes, their numbers in order of arrival).
    """

    shift: int
    mask: int
    table: dict[int, tuple[array, array]] = field(default_factory=dict)


class HashIndex:
    """Hashes in order of arrival, searched without comparing all pairs.

    The 64 bits are cut into distance + 1 bands. Two hashes that differ in at most ``distance`` bits agree in at least
    one whole band, so a hash is compared only with those that share a band with it. Memory: 12 bytes for each hash and
    band.

    Args:
        distance: number of bits in which a near hash may differ.
    """

    def __init__(self, distance: int = DISTANCE) -> None:
        self.distance = distance
        self.count = 0
        cuts = [HASH_BITS * band // (distance + 1) for band in range(distance + 2)]
        self._bands = [_Band(low, (1 << high - low) - 1) for low, high in zip(cuts, cuts[1:], strict=False)]

    def find(self, value: int) -> int | None:
        """The number (0, 1, ...) of the first hash added that is near to ``value``, or None."""
        found = []
        for band in self._bands:
            hashes, numbers = band.table.get(value >> band.shift & band.mask, ((), ()))
            first = self._first_near(hashes, value)
            if first is not None:
                found.append(numbers[first])
        return min(found, default=None)

    def _first_near(self, hashes: array | tuple[()], value: int) -> int | None:
        """The position of the first of ``hashes`` that is near to ``value``, or None."""
        if len(hashes) > SCANNED_IN_PYTHON:
            differing = np.bitwise_count(np.frombuffer(hashes, np.uint64) ^ np.uint64(value))
            near = differing <= self.distance
            return int(near.argmax()) if near.any() else None
        for position, other in enumerate(hashes):
            if (other ^ value).bit_count() <= self.distance:
                return position
        return None

    def add(self, value: int) -> None:
        """Add a hash; its number is :attr:`count` before the call."""
        for band in self._bands:
            hashes, numbers = band.table.setdefault(value >> band.shift & band.mask, (array("Q"), array("I")))
            hashes.append(value)
            numbers.append(self.count)
        self.count += 1


def find_duplicates(hashes: Sequence[int] | np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Which image each image repeats.

    In source order, an image is a near-duplicate of the first image before it that is no near-duplicate itself and
    whose hash differs in at most ``distance`` bits. So a chain of small changes is not one group.

    Args:
        hashes: N hashes, as uint64 or int.

    Returns:
        (N,) int64 array of positions, -1 for an image that repeats none.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    # Equal hashes have equal answers, so each distinct hash is searched for once, in the order of first appearance.
    distinct, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    index = HashIndex(distance)
    originals = array("q")
    leader = np.full(len(distinct), -1, dtype=np.int64)
    for which in tqdm(order, desc="near-duplicates", unit="hash", disable=len(order) < 10_000):
        value = int(distinct[which])
        found = index.find(value)
        if found is None:
            index.add(value)
            originals.append(int(firsts[which]))
            leader[which] = firsts[which]
        else:
            leader[which] = originals[found]
    duplicate_of = leader[inverse]
    return np.where(duplicate_of == np.arange(len(hashes)), -1, duplicate_of)


def mark_shard(
    source: Path | str, target: Path | str, schema: pyarrow.Schema, originals: Mapping[str, str], drop: bool = False
) -> int:
    """Write the Parquet file ``source`` as ``target`` with the column ``duplicate_of`` filled, a row group at a time.

    Args:
        originals: image_id of a duplicate -> image_id of the one that it repeats.
        drop: leave the duplicates out.

    Returns:
        The size of the rows in memory, in bytes.
    """
    size = 0
    with parquet.ParquetFile(source) as old, parquet.ParquetWriter(target, schema, compression="zstd") as new:
        for group in range(old.num_row_groups):
            table = old.read_row_group(group)
            found = [originals.get(image_id) for image_id in table["image_id"].to_pylist()]
            column = pyarrow.array(found, pyarrow.string())
            table = table.set_column(table.column_names.index("duplicate_of"), schema.field("duplicate_of"), column)
            if drop:
                table = table.filter(column.is_null())
            if len(table):
                new.write_table(table)
                size += table.nbytes
    return size
