"""Why a decoded image is refused: its quality, or that it occurs in a benchmark. Nothing is refused unless asked."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.sources.base import Source, read_batches

from .image_names import Person, person_of_name, telling_name
from .near_duplicates import DISTANCE, HashIndex, perceptual_hash

# Sharpness depends on an image's size, so larger images are shrunk to about what a model sees.
SHARPNESS_SIDE = 128
EXCLUDE_BATCH = 64


@dataclass(frozen=True)
class Limit:
    """One limit of the quality filter.

    Attributes:
        name: the field of :class:`QualityFilter`.
        default: the number that ``--filter`` sets.
        help: what the limit is about, for ``--help``.
    """

    name: str
    default: float
    help: str

    @property
    def option(self) -> str:
        """The command-line option, such as ``--min-side``."""
        return "--" + self.name.replace("_", "-")


LIMITS = (
    Limit("min_side", 48, "least number of pixels of the shorter side"),
    Limit("min_aspect", 1.0, "least height / width"),
    Limit("max_aspect", 5.0, "greatest height / width"),
    Limit(
        "min_sharpness",
        50.0,
        "least sharpness; a less sharp image counts as blurred. Sharpness is the variance of the Laplacian of the grey "
        f"image; an image whose shorter side has more than {SHARPNESS_SIDE} pixels is first shrunk to that",
    ),
    Limit(
        "min_contrast",
        8.0,
        "least standard deviation of the grey values, which run from 0 to 255; an image below it counts as uniform",
    ),
)


@dataclass(frozen=True)
class QualityFilter:
    """Limits that an image must keep. None stands for no such limit; see :data:`LIMITS`."""

    min_side: float | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    min_sharpness: float | None = None
    min_contrast: float | None = None

    def set_limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: limit for name, limit in dataclasses.asdict(self).items() if limit is not None}

    def reason(self, image: Image.Image) -> str | None:
        """Why the RGB image is refused, or None."""
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
        if self.min_contrast is not None:
            contrast = float(np.std(grey))
            if contrast < self.min_contrast:
                return f"uniform: standard deviation of grey is {contrast:.1f}, less than {self.min_contrast:g}"
        if self.min_sharpness is not None:
            sharp = sharpness(grey)
            if sharp < self.min_sharpness:
                return f"blurred: variance of the Laplacian is {sharp:.1f}, less than {self.min_sharpness:g}"
        return None


def sharpness(image: Image.Image) -> float:
    """Variance of the 4-neighbour Laplacian of an image in grey, at the size that a model would see.

    An image of fewer than 3 pixels in a direction has no inner pixel and counts as 0.
    """
    grey = image.convert("L")
    shorter = min(image.size)
    if shorter > SHARPNESS_SIDE:
        size = [max(1, round(side * SHARPNESS_SIDE / shorter)) for side in image.size]
        grey = grey.resize(size, Image.Resampling.BOX)
    if min(grey.size) < 3:
        return 0.0
    values = np.asarray(grey, dtype=np.float32)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((4 * values[1:-1, 1:-1] - around).var())


class Exclusion:
    """The images of benchmarks, and the people in them, which a training set must not hold.

    An image is known by its hash or its file name, a person by the file names of the set that both images come from.

    Args:
        distance: number of differing bits up to which two hashes count as the same image.

    Attributes:
        index: the hashes.
        names: (name of the benchmark, image_id) of each hash.
    """

    def __init__(self, distance: int = DISTANCE) -> None:
        self.index = HashIndex(distance)
        self.names: list[tuple[str, str]] = []
        # What was added -> (name of the benchmark, image_id) of the first such image.
        self._file_names: dict[str, tuple[str, str]] = {}
        self._people: dict[Person, tuple[str, str]] = {}

    def add(self, label: str, source: Source, workers: int = 1, root: str = "") -> int:
        """Take all images of a benchmark. Images that cannot be read can be excluded by their names only.

        Args:
            label: the benchmark's name in the reasons.
            workers: number of threads that read and decode images.
            root: where the source is, whose folders may tell which set the images come from.

        Returns:
            The number of images that could not be read.
        """
        for position, image_id in enumerate(source.ids):
            self._add_name(source.name(position), (label, image_id), root)
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

    def reason(self, image_hash: int) -> str | None:
        """Why an image of this hash is refused, or None."""
        found = self.index.find(image_hash)
        if found is None:
            return None
        label, image_id = self.names[found]
        return f"also in {label}: its image {image_id}"

    def reason_of_name(self, name: str, root: str = "") -> str | None:
        """Why an image of this name is refused, or None.

        Args:
            name: path of the image in its source.
            root: where the source is.
        """
        found = self._file_names.get(telling_name(name) or "")
        if found is not None:
            return f"also in {found[0]}: its image {found[1]} has the same file name"
        person = person_of_name(f"{root}/{name}")
        if person is None:
            return None
        # Where one of both paths does not tell the part, the number alone decides.
        parts = (person.part, "") if person.part else ("", "train", "test")
        for part in parts:
            found = self._people.get(Person(person.title, person.number, part))
            if found is not None:
                return f"shows person {person.number} of {person.title}, as in {found[0]}: its image {found[1]}"
        return None

    def _add_name(self, name: str, image: tuple[str, str], root: str) -> None:
        file_name = telling_name(name)
        if file_name is not None:
            self._file_names.setdefault(file_name, image)
        person = person_of_name(f"{root}/{name}")
        if person is not None:
            self._people.setdefault(person, image)


class ImageChecks:
    """What the builder passes as ``examine`` to a source: it refuses an image, or gives its hash.

    The checks run in the reading threads, before the model. What needs the scorer is refused after the embedding, by
    :class:`dataset_builders.checks.subject_check.SubjectCheck`.

    Args:
        quality: looked at first; default: no limits.
        exclusion: looked at second; default: nothing is excluded.
    """

    def __init__(self, quality: QualityFilter | None = None, exclusion: Exclusion | None = None) -> None:
        self.quality = quality or QualityFilter()
        self.exclusion = exclusion or Exclusion()

    def __call__(self, image: Image.Image) -> int:
        """The perceptual hash of an RGB image.

        Raises:
            UnreadableImage: the image is refused; the message is the reason.
        """
        image_hash = perceptual_hash(image)
        reason = self.quality.reason(image) or self.exclusion.reason(image_hash)
        if reason:
            raise UnreadableImage(reason)
        return image_hash
