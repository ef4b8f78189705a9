"""Why a decoded image is refused: its quality, or that it occurs in a benchmark. Nothing is refused unless asked."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.sources.base import read_batches

from .near_duplicates import DISTANCE, HashIndex, perceptual_hash

SHARPNESS_SIDE = 128
EXCLUDE_BATCH = 64


@dataclass(frozen=True)
class Limit:
    """One limit of the quality filter: the command-line option, its number where ``--filter`` is given, its help."""

    option: str
    default: float
    help: str


LIMITS = (
    Limit("--min-side", 48, "shorter side in pixels, at least"),
    Limit("--min-aspect", 1.0, "height / width, at least"),
    Limit("--max-aspect", 5.0, "height / width, at most"),
    Limit(
        "--min-sharpness",
        50.0,
        "variance of the Laplacian of the grey picture, shrunk to a shorter side of "
        f"{SHARPNESS_SIDE} where it is larger; a lower one is blurred; at least",
    ),
    Limit("--min-contrast", 8.0, "standard deviation of the grey values 0 .. 255; a lower one is uniform; at least"),
)


@dataclass(frozen=True)
class QualityFilter:
    """Limits that an image must keep, each a number or None for no such limit; see :data:`LIMITS`."""

    min_side: float | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    min_sharpness: float | None = None
    min_contrast: float | None = None

    def reason(self, image):
        """Why the RGB ``PIL.Image`` is refused, or None."""
        width, height = image.size
        if self.min_side is not None and min(width, height) < self.min_side:
            return f"shorter side is {min(width, height)} pixels, less than {self.min_side:g}"
        aspect = height / width
        if self.min_aspect is not None and aspect < self.min_aspect:
            return f"height / width is {aspect:.2f}, less than {self.min_aspect:g}"
        if self.max_aspect is not None and aspect > self.max_aspect:
            return f"height / width is {aspect:.2f}, more than {self.max_aspect:g}"
        if self.min_contrast is None and self.min_sharpness is None:
            return None
        grey = image.convert("L")
        if self.min_contrast is not None and (contrast := float(np.std(grey))) < self.min_contrast:
            return f"uniform: standard deviation of grey is {contrast:.1f}, less than {self.min_contrast:g}"
        if self.min_sharpness is not None and (sharp := sharpness(grey)) < self.min_sharpness:
            return f"blurred: variance of the Laplacian is {sharp:.1f}, less than {self.min_sharpness:g}"
        return None


def sharpness(image):
    """Variance of the 4-neighbour Laplacian of a ``PIL.Image`` in grey, at the size that a model would see.

    An image of fewer than 3 pixels in a direction has no inner pixel and counts as 0.
    """
    grey, shorter = image.convert("L"), min(image.size)
    if shorter > SHARPNESS_SIDE:
        size = [max(1, round(side * SHARPNESS_SIDE / shorter)) for side in image.size]
        grey = grey.resize(size, Image.Resampling.BOX)
    if min(grey.size) < 3:
        return 0.0
    values = np.asarray(grey, dtype=np.float32)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((4 * values[1:-1, 1:-1] - around).var())


class Exclusion:
    """The hashes of the images of benchmarks, which a training set must not hold."""

    def __init__(self, distance=DISTANCE):
        self.index, self.names = HashIndex(distance), []

    def add(self, label, source, workers=1):
        """Hash all images of a source; those that cannot be read cannot be excluded.

        Args:
            label: the benchmark's name in the reasons.
            source: see :func:`modeling_unipt.sources.open.open_source`.
        Returns:
            The number of images that could not be read.
        """
        from tqdm import tqdm

        unread = 0
        with tqdm(total=len(source), desc=f"hashing {label}", unit="image") as bar:
            for batch in read_batches(source, range(len(source)), EXCLUDE_BATCH, workers, examine=perceptual_hash):
                for position, image in batch:
                    if isinstance(image, str):
                        unread += 1
                        continue
                    self.index.add(image.examined)
                    self.names.append((label, source.ids[position]))
                bar.update(len(batch))
        return unread

    def reason(self, image_hash):
        """Why an image of this hash is refused, or None."""
        found = self.index.find(image_hash)
        return None if found is None else "also in {}: its image {}".format(*self.names[found])


class ImageChecks:
    """What the builder passes as ``examine`` to a source: refuse by quality, then by exclusion; else give the hash.

    These run in the reading threads, before the model; what needs the scorer is refused behind the embedding, by
    :class:`dataset_builders.checks.subject_check.SubjectCheck`.
    """

    def __init__(self, quality=None, exclusion=None):
        self.quality, self.exclusion = quality or QualityFilter(), exclusion or Exclusion()

    def __call__(self, image: Image.Image) -> int:
        """The perceptual hash of a usable image; raises :class:`UnreadableImage` for any other."""
        image_hash = perceptual_hash(image)
        reason = self.quality.reason(image) or self.exclusion.reason(image_hash)
        if reason:
            raise UnreadableImage(reason)
        return image_hash
