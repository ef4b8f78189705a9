"""The background of a fixed camera, and what stands before it.

The background is the median of frames that are spread over some minutes, at every pixel of those where nobody was
found. So a person who stands still for long is not taken for a part of it, as methods that adapt to each frame do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .boxes import Box

# A median of fewer frames is no background.
LEAST_SAMPLES = 8
# So far (0 to 255) the largest of the three colours must be from the background.
LEAST_DIFFERENCE = 30
# If more of most frames differs, the camera moves.
MOST_DIFFERENT = 0.35
# A shadow makes all colours darker by about the same share, and leaves at least so much of the light.
SHADOW_LIGHT = 0.45
SHADOW_SPREAD = 0.1
# Sizes in pixels of frames that are 400 pixels high: specks that are no person, and gaps within one person.
USUAL_HEIGHT = 400
SPECK = 3
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
    """

    box: Box
    share: float


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
    # Where somebody stood in every sample, the median of all samples is the best guess.
    free |= ~known
    image = np.empty_like(samples[0])
    stack = np.stack(samples)
    for row in range(height):
        image[row] = _median(stack[:, row], free[:, row])
    differing = [_differs(sample, image).mean() for sample in samples]
    if np.median(differing) > MOST_DIFFERENT:
        return None
    return Background(image, known)


def _median(values: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(W, 3) the lower median of the ``values`` (N, W, 3) that are ``taken`` (N, W), at least one in each column."""
    # Values that are not taken are sorted to the end.
    ordered = np.sort(np.where(taken[..., None], values.astype(np.int16), 256), axis=0)
    middle = (taken.sum(0) - 1) // 2
    return np.take_along_axis(ordered, np.broadcast_to(middle[None, :, None], (1, *ordered.shape[1:])), 0)[0]


def _differs(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W) bool: which pixels differ. A camera that makes the whole frame a little brighter changes nothing."""
    difference = image.astype(np.int16) - background
    difference -= np.median(difference[::4, ::4], axis=(0, 1)).astype(np.int16)
    return np.abs(difference).max(-1) >= LEAST_DIFFERENCE


def _shadow(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W) bool: which pixels could be a shadow on the background."""
    ratio = (image.astype(np.float32) + 1) / (background.astype(np.float32) + 1)
    mean = ratio.mean(-1)
    spread = ratio.max(-1) - ratio.min(-1)
    return (mean > SHADOW_LIGHT) & (mean < 1) & (spread < SHADOW_SPREAD)


def foreground(cv2: Any, image: np.ndarray, background: Background) -> np.ndarray:
    """(H, W) uint8: 2 where ``image`` surely differs from the background, 1 where it may be a shadow, 0 elsewhere."""
    blurred = cv2.GaussianBlur(image, (5, 5), 0)
    behind = cv2.GaussianBlur(background.image, (5, 5), 0)
    different = _differs(blurred, behind)
    mask = np.where(different, np.where(_shadow(blurred, behind), 1, 2), 0).astype(np.uint8)
    return mask


def blobs(cv2: Any, mask: np.ndarray) -> list[Blob]:
    """The connected parts of a :func:`foreground`, from left to right."""
    scale = max(mask.shape[0] / USUAL_HEIGHT, 0.25)
    speck = max(round(SPECK * scale), 1)
    sure = cv2.morphologyEx((mask == 2).astype(np.uint8), cv2.MORPH_OPEN, np.ones((speck, speck), np.uint8))
    any_ = cv2.morphologyEx((mask > 0).astype(np.uint8), cv2.MORPH_OPEN, np.ones((speck, speck), np.uint8))
    gap = np.ones((max(round(GAP_DOWN * scale), 1), max(round(GAP_ACROSS * scale), 1)), np.uint8)
    joined = cv2.morphologyEx(any_, cv2.MORPH_CLOSE, gap)
    count, labels = cv2.connectedComponents(joined)
    found = []
    for number in range(1, count):
        part = labels == number
        # The box is that of what is surely no shadow: the shadow of a person lies beside him or her.
        rows = np.flatnonzero((part & (sure > 0)).any(1))
        columns = np.flatnonzero((part & (sure > 0)).any(0))
        if not len(rows):
            continue
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        inside = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        found.append(Blob(box, float((any_[inside] * part[inside]).mean())))
    return sorted(found, key=lambda blob: blob.box)
