"""The detector that downloads nothing: HOG, and for a fixed camera what differs from the background beside it.

HOG tells people from things, but misses who is cut off by the frame's edge, bends or sits. The background tells that
something is there, and where exactly, but not what. Together they find more people and fewer things.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.parallel import usable_cores
from .background import Background, Blob, background_of, blobs, foreground
from .boxes import Box, Detection, area, intersection, widened
from .detectors import OFFLINE, Detector
from .frames import SAMPLES, Frame, FrameSource
from .hog import HogSearch

logger = logging.getLogger(__name__)
# Each thread holds a frame in memory.
MOST_THREADS = 8
# A HOG box must differ from the background by so much of its area.
LEAST_SHARE = 0.25
# What HOG takes for people, with so much around it, is not taken for background.
PEOPLE_WIDENED = 0.15
# HOG only searches where something differs, and around it by this share of its width and height.
AROUND = 0.3
# A HOG box belongs to a blob if so much of the smaller one lies in the other. HOG takes parts of people for people,
# too: only two boxes that are so high, compared with the blob, tell that it is a group, and a group is less slender
# than one person. On the other hand the blob is only a part of a person if HOG's box is so much higher.
WITHIN = 0.5
AS_HIGH = 0.6
LEAST_SLENDER_ALONE = 2.0
MUCH_HIGHER = 1.5
# A blob without a HOG box is a person if it is so high, compared with the smallest person, has a person's shape, and
# fills its box. A person whom the frame's edge cuts off may have other shapes. What is nearly all shadow is no person.
LEAST_HEIGHT = 0.6
LEAST_SLENDER = 1.2
MOST_SLENDER = 5.0
LEAST_SLENDER_CUT = 0.5
LEAST_FILL = 0.3
LEAST_SURE = 0.25
BLOB_SCORE = 0.5


class OfflineDetector(Detector):
    """HOG and background.

    Args:
        smallest: height of the smallest person that is looked for, as a share of the frame's height.

    Raises:
        UserError: OpenCV is missing.
    """

    least_score = 0.5

    def __init__(self, smallest: float) -> None:
        self.smallest = smallest
        self.search = HogSearch(smallest)
        self.threads = min(len(usable_cores()), MOST_THREADS)
        # (the time or number from which it holds, background) in order.
        self.backgrounds: list[tuple[float, Background | None]] = []

    def settings(self) -> dict[str, Any]:
        return {"detector": OFFLINE, "smallest": self.smallest}

    def begin(self, source: FrameSource) -> None:
        # cv2's own threads would only disturb those that call it.
        self.search.cv2.setNumThreads(1)
        self.backgrounds = []
        if not source.in_sequence:
            return
        # Only small images are kept: sixty frames of a large video would fill the memory.
        moments: list[float] = []
        smalls: list[np.ndarray] = []
        for frame in source.samples():
            moments.append(_moment(frame))
            smalls.append(self.search.small(frame.image))
            if len(smalls) == SAMPLES:
                self._add_background(moments[0], smalls)
                moments = []
                smalls = []
        # A short rest is best seen with the background before it.
        if smalls and (not self.backgrounds or len(smalls) >= SAMPLES // 2):
            self._add_background(moments[0], smalls)
        if self.backgrounds and all(background is None for _, background in self.backgrounds):
            logger.info("%s: the camera moves, or the frames are few, so HOG searches alone", source.path)

    def _add_background(self, moment: float, smalls: Sequence[np.ndarray]) -> None:
        people = []
        for small in smalls:
            sure = [each.box for each in self.search.people(small) if each.score >= self.least_score]
            people.append([widened(box, PEOPLE_WIDENED) for box in sure])
        self.backgrounds.append((moment, background_of(smalls, people)))

    def _background_of(self, frame: Frame) -> Background | None:
        behind = None
        for begin, background in self.backgrounds:
            if behind is None or begin <= _moment(frame):
                behind = background
        return behind

    def detect(self, frame: Frame) -> list[Detection]:
        small = self.search.small(frame.image)
        background = self._background_of(frame)
        if background is not None and background.image.shape == small.shape:
            found = self._before(small, background)
        else:
            found = self.search.people(small)
        scale = frame.image.shape[0] / small.shape[0]
        return [Detection(tuple(scale * value for value in each.box), each.score) for each in found]

    def _before(self, small: np.ndarray, background: Background) -> list[Detection]:
        """The people in a frame of a fixed camera, in its pixels."""
        mask = foreground(self.search.cv2, small, background)
        parts = blobs(self.search.cv2, mask)
        least = LEAST_HEIGHT * self.smallest * small.shape[0]
        parts = [blob for blob in parts if blob.box[3] - blob.box[1] >= least]
        if not parts and background.known.all():
            # Where nothing has changed there is nobody to search for.
            return []
        differs = (mask > 0) | ~background.known
        region = _around(parts, small.shape) if background.known.all() else (0, 0, small.shape[1], small.shape[0])
        people = []
        for detection in self.search.people(small, region):
            if _share(differs, detection.box) >= LEAST_SHARE:
                people.append(detection)
        return _joined(people, parts, differs)


def _moment(frame: Frame) -> float:
    return frame.number if frame.time is None else frame.time


def _around(parts: Sequence[Blob], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """A box of whole pixels around all ``parts``, and what HOG needs to see around people."""
    boxes = np.array([widened(blob.box, AROUND) for blob in parts])
    left, top = boxes[:, :2].min(0)
    right, bottom = boxes[:, 2:].max(0)
    return max(int(left), 0), max(int(top), 0), min(int(right) + 1, shape[1]), min(int(bottom) + 1, shape[0])


def _share(mask: np.ndarray, box: Box) -> float:
    """How much of a box is True in a (H, W) mask."""
    left, top, right, bottom = (max(round(value), 0) for value in box)
    inside = mask[top:bottom, left:right]
    return float(inside.mean()) if inside.size else 0.0


def _joined(people: Sequence[Detection], parts: Sequence[Blob], differs: np.ndarray) -> list[Detection]:
    """One detection for each person, of what HOG found and of what differs from the background.

    Args:
        differs: (H, W) bool, where the frame differs from the background.
    """
    found = []
    left_over = list(people)
    for blob in parts:
        here = [each for each in left_over if _together(each.box, blob.box)]
        high = [each for each in here if _height(each.box) >= AS_HIGH * _height(blob.box)]
        group = len(high) >= 2 and _slender(blob.box) < LEAST_SLENDER_ALONE
        only_a_part = len(high) == 1 and _height(high[0].box) > MUCH_HIGHER * _height(blob.box)
        if not group and (only_a_part or not _like_a_person(blob, differs.shape)):
            # HOG alone decides, and may have found nobody.
            continue
        left_over = [each for each in left_over if each not in here]
        if group:
            found.extend(high)
        else:
            score = max([BLOB_SCORE + (blob.share - LEAST_FILL) / 2, *(each.score for each in high)])
            found.append(Detection(blob.box, min(score, 1.0)))
    # What is left of HOG's boxes may lie beside a person who was found, and differ only because of him or her.
    unexplained = differs.copy()
    for detection in found:
        left, top, right, bottom = (max(round(value), 0) for value in detection.box)
        unexplained[top:bottom, left:right] = False
    return found + [each for each in left_over if _share(unexplained, each.box) >= LEAST_SHARE]


def _together(one: Box, other: Box) -> bool:
    return intersection(one, other) >= WITHIN * min(area(one), area(other))


def _height(box: Box) -> float:
    return box[3] - box[1]


def _slender(box: Box) -> float:
    return (box[3] - box[1]) / (box[2] - box[0])


def _like_a_person(blob: Blob, shape: Sequence[int]) -> bool:
    left, top, right, bottom = blob.box
    cut = left <= 1 or top <= 1 or right >= shape[1] - 1 or bottom >= shape[0] - 1
    least = LEAST_SLENDER_CUT if cut else LEAST_SLENDER
    return least <= _slender(blob.box) <= MOST_SLENDER and blob.share >= LEAST_FILL and blob.sure >= LEAST_SURE
