"""Boxes of people in a frame: (left, top, right, bottom) in pixels; right and bottom are exclusive."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """A person that a detector found.

    Attributes:
        box: in pixels of the frame.
        score: how sure the detector is, from 0 to 1. Scores of different detectors cannot be compared.
    """

    box: Box
    score: float


def area(box: Box) -> float:
    """Square pixels of a box; 0 if it is turned inside out."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def intersection(a: Box, b: Box) -> float:
    """Square pixels that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Intersection over union, from 0 to 1; 0 for two empty boxes."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def iou_table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair.

    Args:
        first: (N, 4) boxes.
        second: (M, 4) boxes.

    Returns:
        (N, M), from 0 to 1.
    """
    first = first.reshape(-1, 1, 4)
    second = second.reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas_of_first = np.clip(first[..., 2:] - first[..., :2], 0, None).prod(-1)
    areas_of_second = np.clip(second[..., 2:] - second[..., :2], 0, None).prod(-1)
    union = areas_of_first + areas_of_second - shared
    return np.divide(shared, union, out=np.zeros_like(union, dtype=float), where=union > 0)


def clipped(box: Box, width: int, height: int) -> Box:
    """The part of a box that lies in a frame of that size."""
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def widened(box: Box, share: float) -> Box:
    """A box with ``share`` of its width more at the left and the right, and of its height above and below."""
    across = share * (box[2] - box[0])
    down = share * (box[3] - box[1])
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down
