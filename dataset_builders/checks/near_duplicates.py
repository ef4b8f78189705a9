"""Near-duplicates among images, found by a perceptual hash of 64 bits: hashes are all that is held and compared.

duplicates = find_duplicates(hashes)  # for each image the position of the one that it repeats, or -1
"""

from array import array

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image

DISTANCE = 6
MAX_DISTANCE = 15
HASH_BITS = 64
SCANNED_IN_PYTHON = 24
SIDE = 32


def perceptual_hash(image):
    """64 bits as an int: which of the 8 x 8 lowest frequencies of the grey picture are above their median.

    The frequencies are those of the discrete cosine transform of the ``PIL.Image`` squashed to 32 x 32, in whole
    numbers, so that every machine gives the same bits; the mean brightness is not among them and the last bit is 0. Two
    encodings or sizes of one picture differ in few bits, two pictures in about half. All
    pictures of one colour have the hash 0.
    """
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0)  # the gap saves time
    grey = np.asarray(small.convert("L"), dtype=np.float64)
    frequencies = (_WAVES @ grey @ _WAVES.T).ravel()[1:]
    median = np.sort(frequencies)[len(frequencies) // 2]
    return int.from_bytes(np.packbits(frequencies > median).tobytes(), "big")


def _waves():
    angles = np.pi / (2 * SIDE) * np.outer(np.arange(8), 2 * np.arange(SIDE) + 1)
    return np.round(1024 * np.cos(angles))  # whole numbers far below 2**53 are exact as float64, in any order of sums


_WAVES = _waves()


class HashIndex:
    """Hashes in order of arrival, searched without comparing all pairs.

    The 64 bits are cut into distance + 1 bands. Two hashes that differ in at most ``distance`` bits agree in some whole
    band, so only the hashes that share a band with the one sought are compared. It takes 12 bytes a hash and band.
    """

    def __init__(self, distance=DISTANCE):
        cuts = [HASH_BITS * band // (distance + 1) for band in range(distance + 2)]
        self.distance, self.count = distance, 0
        self.bands = [
            (low, (1 << high - low) - 1, {}) for low, high in zip(cuts, cuts[1:], strict=False)
        ]  # (shift, mask, {bits of the band: (hashes, their numbers)})

    def find(self, value):
        """The number (0, 1, ...) of the first hash added that differs from ``value`` in at most ``distance`` bits, or
        None."""
        found = []
        for shift, mask, table in self.bands:
            hashes, numbers = table.get(value >> shift & mask, ((), ()))
            if len(hashes) <= SCANNED_IN_PYTHON:
                near = (i for i, other in enumerate(hashes) if (other ^ value).bit_count() <= self.distance)
                first = next(near, None)
            else:
                near = np.bitwise_count(np.frombuffer(hashes, np.uint64) ^ np.uint64(value)) <= self.distance
                first = int(near.argmax()) if near.any() else None
            if first is not None:
                found.append(numbers[first])
        return min(found, default=None)

    def add(self, value):
        for shift, mask, table in self.bands:
            hashes, numbers = table.setdefault(value >> shift & mask, (array("Q"), array("I")))
            hashes.append(value)
            numbers.append(self.count)
        self.count += 1


def find_duplicates(hashes, distance=DISTANCE):
    """Which image each image repeats.

    In source order, an image is a near-duplicate of the first image before it that is none itself and whose hash
    differs in at most ``distance`` bits; so chains of small changes do not grow.

    Args:
        hashes: (N,) uint64 array or sequence of ints.
    Returns:
        (N,) int64 array of positions, -1 for an image that repeats none.
    """
    from tqdm import tqdm

    hashes = np.asarray(hashes, dtype=np.uint64)
    distinct, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    index, originals, leader = HashIndex(distance), array("q"), np.full(len(distinct), -1, dtype=np.int64)
    order = np.argsort(firsts)
    for which in tqdm(order, desc="near-duplicates", unit="hash", disable=len(order) < 10_000):
        value = int(distinct[which])
        found = index.find(value)
        if found is None:
            index.add(value)
            originals.append(int(firsts[which]))
        leader[which] = originals[-1] if found is None else originals[found]
    duplicate_of = leader[inverse]
    return np.where(duplicate_of == np.arange(len(hashes)), -1, duplicate_of)


def mark_shard(source, target, schema, originals, drop=False):
    """Write the Parquet file ``source`` as ``target`` with the column ``duplicate_of`` filled, a row group at a time.

    Args:
        originals: image_id of a duplicate -> image_id of the one that it repeats.
        drop: leave the duplicates out.
    Returns:
        The size of the rows in memory.
    """
    size = 0
    with parquet.ParquetFile(source) as old, parquet.ParquetWriter(target, schema, compression="zstd") as new:
        for group in range(old.num_row_groups):
            table = old.read_row_group(group)
            found = [originals.get(image_id) for image_id in table["image_id"].to_pylist()]
            column = pyarrow.array(found, pyarrow.string())
            table = table.set_column(table.column_names.index("duplicate_of"), schema.field("duplicate_of"), column)
            table = table.filter(column.is_null()) if drop else table
            if len(table):
                new.write_table(table)
                size += table.nbytes
    return size
