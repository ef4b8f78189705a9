"""The people detector of OpenCV: histograms of oriented gradients (HOG) and a linear classifier (Dalal, Triggs 2005).

It downloads nothing, finds people who stand or walk upright and are seen whole, and needs opencv-contrib: version 5 of
plain OpenCV has it no longer.
"""

import math
import threading
from typing import Any

import numpy as np

from ..common.user_errors import UserError
from .boxes import Box, Detection, area, intersection, without_overlaps

# The detector's window in pixels, and where the person is in it: it was trained with a border around people.
WINDOW_WIDTH = 64
WINDOW_HEIGHT = 128
BORDER_TOP = 0.13
BORDER_BOTTOM = 0.145
PERSON_HEIGHT = 1 - BORDER_TOP - BORDER_BOTTOM
PERSON_WIDTH = 0.56
# People at the frame's edge are only found if there is something around the frame.
FRAME_BORDER = 64
STEP = 8
SCALE_STEP = 1.05
# Margins of the classifier: at the middle one the score is 0.5, and below the least one nothing is told.
MIDDLE_MARGIN = 0.5
LEAST_MARGIN = 0.1
STEEPNESS = 2.0
MOST_IOU = 0.35
# Of two boxes, one within the other, only the surer one stays.
MOST_INSIDE = 0.75


def load_cv2() -> Any:
    """OpenCV with the HOG detector.

    Raises:
        UserError: it is not installed, or is a build without this detector.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            "the offline detector needs OpenCV; run `pip install 'unipt[video]'`, or name a detector of transformers"
        ) from None
    if not hasattr(cv2, "HOGDescriptor"):
        raise UserError(
            f"OpenCV {cv2.__version__} has no HOG detector; run `pip uninstall opencv-python opencv-python-headless "
            "opencv-contrib-python`, then `pip install 'unipt[video]'`, or name a detector of transformers"
        )
    return cv2


class HogSearch:
    """Searches frames for people of a least height.

    Args:
        smallest: height of the smallest person, as a share of the frame's height.
    """

    def __init__(self, smallest: float) -> None:
        self.cv2 = load_cv2()
        self.height = round(WINDOW_HEIGHT * PERSON_HEIGHT / smallest)
        self._local = threading.local()

    def small(self, image: np.ndarray) -> np.ndarray:
        """``image`` (H, W, 3) at the scale at which the smallest person just fills the window; never enlarged."""
        height, width = image.shape[:2]
        if height <= self.height:
            return image
        size = (max(round(width * self.height / height), 1), self.height)
        return self.cv2.resize(image, size, interpolation=self.cv2.INTER_AREA)

    def people(self, small: np.ndarray) -> list[Detection]:
        """The people in an image that :meth:`small` has returned, in its pixels."""
        cv2 = self.cv2
        around = cv2.copyMakeBorder(small, *[FRAME_BORDER] * 4, cv2.BORDER_REPLICATE)
        found, margins = self._descriptor().detectMultiScale(
            around,
            hitThreshold=LEAST_MARGIN,
            winStride=(STEP, STEP),
            padding=(0, 0),
            scale=SCALE_STEP,
            groupThreshold=0,
        )
        detections = []
        for window, margin in zip(found, np.ravel(margins), strict=True):
            score = 1 / (1 + math.exp(-STEEPNESS * (float(margin) - MIDDLE_MARGIN)))
            detections.append(Detection(_person_in(window), score))
        return _surest(detections)

    def _descriptor(self) -> Any:
        # One for each thread, because nothing says that threads may share one.
        if not hasattr(self._local, "hog"):
            self._local.hog = self.cv2.HOGDescriptor()
            self._local.hog.setSVMDetector(self.cv2.HOGDescriptor_getDefaultPeopleDetector())
        return self._local.hog


def _person_in(window: np.ndarray) -> Box:
    """The box of the person in a window (left, top, width, height) of the frame with its border."""
    left, top, width, height = (float(value) for value in window)
    middle = left - FRAME_BORDER + width / 2
    top = top - FRAME_BORDER
    half = width * PERSON_WIDTH / 2
    return middle - half, top + BORDER_TOP * height, middle + half, top + (1 - BORDER_BOTTOM) * height


def _surest(detections: list[Detection]) -> list[Detection]:
    """One detection for each person: the classifier finds a person in many windows, and parts of a person, too."""
    kept: list[Detection] = []
    for detection in without_overlaps(detections, MOST_IOU):
        inside = False
        for other in kept:
            smaller = min(area(detection.box), area(other.box))
            inside = inside or intersection(detection.box, other.box) > MOST_INSIDE * smaller
        if not inside:
            kept.append(detection)
    return kept
