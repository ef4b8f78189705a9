"""The background of a fixed camera, and what stands before it.

The background is made of frames that are spread over some minutes. At every pixel it is the colour that most of them
agree on, of those where nobody was found. So a person who stands still for long is not taken for a part of it, as
methods that adapt to each frame do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .boxes import Box

# A median of fewer frames is no background.
LEAST_SAMPLES = 8
# Samples whose brightness (0 to 255) is so near show the same thing.
AGREEING = 10
# So far (0 to 255) the largest of the three colours must be from the background.
LEAST_DIFFERENCE = 30
# If more of most frames differs, the camera moves.
MOST_DIFFERENT = 0.35
# A shadow makes all colours darker by about the same share, and leaves at least so much of the light.
SHADOW_LIGHT = 0.45
SHADOW_SPREAD = 0.2
# Sizes in pixels of frames that are 400 pixels high: specks that are no person, and gaps within one person.
USUAL_HEIGHT = 400
SPECK = 3
SURE_SPECK = 5
GAP_ACROSS = 9
GAP_DOWN = 21


@dataclass(frozen=True)
class Background:
    """What a fixed camera sees where nobody is.

    Attributes:
        image: (H, W, 3) uint8.
        known: (H, W) bool, False where somebody stood in every sample.
    """

    image: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Blob:
    """A connected part of a frame that differs from the background.

    Attributes:
        box: around it.
        share: how much of the box differs.
        sure: how much of what differs is surely no shadow.
    """

    box: Box
    share: float
    sure: float


def background_of(samples: Sequence[np.ndarray], people: Sequence[Sequence[Box]]) -> Background | None:
    """The background behind frames, or None if there are too few of them or the camera moves.

    Args:
        samples: (H, W, 3) uint8 frames of one size.
        people: the boxes of people in each frame.
    """
    if len(samples) < LEAST_SAMPLES or len({sample.shape for sample in samples}) > 1:
        return None
    height, width = samples[0].shape[:2]
    free = np.ones((len(samples), height, width), bool)
    for place, boxes in enumerate(people):
        for left, top, right, bottom in boxes:
            free[place, max(int(top), 0) : max(int(bottom) + 1, 0), max(int(left), 0) : max(int(right) + 1, 0)] = False
    known = free.any(0)
    # Where somebody stood in every sample, all samples are asked.
    free |= ~known
    stack = np.stack(samples)
    image = np.empty_like(samples[0])
    for row in range(height):
        image[row] = _usual(stack[:, row], free[:, row])
    differing = [(_difference(sample, image) >= LEAST_DIFFERENCE).mean() for sample in samples]
    if np.median(differing) > MOST_DIFFERENT:
        return None
    return Background(image, known)


def _usual(values: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(W, 3) the colour that most samples agree on, in each column.

    A median would be wrong where people stand for more than half of the time.

    Args:
        values: (N, W, 3) uint8 colours.
        taken: (N, W) bool, which of them count; at least one in each column.
    """
    light = values.astype(np.int16).sum(-1) // 3
    agree = np.zeros(light.shape, np.int16)
    for sample in range(len(light)):
        agree += (np.abs(light - light[sample]) <= AGREEING) & taken[sample]
    agree[~taken] = -1
    best = np.take_along_axis(light, agree.argmax(0)[None], 0)
    return _median(values, taken & (np.abs(light - best) <= AGREEING))


def _median(values: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(W, 3) the lower median of the ``values`` (N, W, 3) that are ``taken`` (N, W), at least one in each column."""
    # Values that are not taken are sorted to the end.
    ordered = np.sort(np.where(taken[..., None], values.astype(np.int16), 256), axis=0)
    middle = (taken.sum(0) - 1) // 2
    return np.take_along_axis(ordered, np.broadcast_to(middle[None, :, None], (1, *ordered.shape[1:])), 0)[0]


def _difference(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W) int16: how far each pixel is from the background, by the colour that is furthest.

    A camera that makes the whole frame a little brighter changes nothing.
    """
    difference = image.astype(np.int16) - background
    difference -= np.median(difference[::8, ::8], axis=(0, 1)).astype(np.int16)
    red, green, blue = np.moveaxis(np.abs(difference, out=difference), -1, 0)
    # Four times as fast as .max(-1).
    return np.maximum(np.maximum(red, green), blue)


def _shadow(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(N,) bool: which pixels (N, 3) could be a shadow on the pixels (N, 3) of the background."""
    ratio = (image.astype(np.float32) + 1) / (background.astype(np.float32) + 1)
    mean = ratio.mean(-1)
    spread = ratio.max(-1) - ratio.min(-1)
    return (mean > SHADOW_LIGHT) & (mean < 1) & (spread < SHADOW_SPREAD)


def foreground(cv2: Any, image: np.ndarray, background: Background) -> np.ndarray:
    """(H, W) uint8: 2 where ``image`` surely differs from the background, 1 where it may be a shadow, 0 elsewhere."""
    # Noise and the blocks of compression are smaller than this blur.
    blurred = cv2.GaussianBlur(image, (5, 5), 0)
    behind = cv2.GaussianBlur(background.image, (5, 5), 0)
    different = _difference(blurred, behind) >= LEAST_DIFFERENCE
    mask = np.zeros(different.shape, np.uint8)
    mask[different] = np.where(_shadow(blurred[different], behind[different]), 1, 2)
    return mask


def blobs(cv2: Any, mask: np.ndarray) -> list[Blob]:
    """The connected parts of a :func:`foreground`, from left to right."""
    scale = max(mask.shape[0] / USUAL_HEIGHT, 0.25)

    def block(height: int, width: int) -> np.ndarray:
        return np.ones((max(round(height * scale), 1), max(round(width * scale), 1)), np.uint8)

    sure = cv2.morphologyEx((mask == 2).astype(np.uint8), cv2.MORPH_OPEN, block(SURE_SPECK, SURE_SPECK)) > 0
    different = cv2.morphologyEx((mask > 0).astype(np.uint8), cv2.MORPH_OPEN, block(SPECK, SPECK))
    joined = cv2.morphologyEx(different, cv2.MORPH_CLOSE, block(GAP_DOWN, GAP_ACROSS))
    count, labels = cv2.connectedComponents(joined)
    found = []
    for number in range(1, count):
        part = (labels == number) & (different > 0)
        # The box is that of what is surely no shadow: the shadow of a person lies beside him or her.
        rows = np.flatnonzero((part & sure).any(1))
        columns = np.flatnonzero((part & sure).any(0))
        if not len(rows):
            continue
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        inside = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found.append(Blob(box, float(inside.mean()), float((part & sure).sum() / part.sum())))
    return sorted(found, key=lambda blob: blob.box)
