"""The people detector of OpenCV: histograms of oriented gradients (HOG) and a linear classifier (Dalal, Triggs 2005).

It downloads nothing, finds people who stand or walk upright and are seen whole, and needs opencv-contrib: version 5 of
plain OpenCV has it no longer.
"""

import math
import threading
from typing import Any

import numpy as np

from ..common.user_errors import UserError
from .boxes import Box, Detection, intersection, iou_table

# The detector's window in pixels, and where the person is in it: it was trained with a border around people.
WINDOW_WIDTH = 64
WINDOW_HEIGHT = 128
BORDER_TOP = 0.13
BORDER_BOTTOM = 0.145
PERSON_HEIGHT = 1 - BORDER_TOP - BORDER_BOTTOM
PERSON_WIDTH = 0.56
# People at the frame's edge are only found if there is something around the frame. So many pixels at every scale.
FRAME_BORDER = 32
MOST_ENLARGED = 2
STEP = 8
SCALE_STEP = 1.08
# Margins of the classifier: at the middle one the score is 0.5, and below the least one nothing is told.
MIDDLE_MARGIN = 0.5
LEAST_MARGIN = 0.1
STEEPNESS = 2.0
MOST_IOU = 0.35
# Of two boxes, one within the other, only one stays.
MOST_INSIDE = 0.75
# How much margin a window loses that no other one supports, and wins for each doubling of its height.
SUPPORTING_IOU = 0.5
ALONE = 0.25
WHOLE = 0.5


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
        """``image`` (H, W, 3) at the scale at which the smallest person just fills the window."""
        height, width = image.shape[:2]
        # Nothing is seen in what is enlarged much.
        new_height = min(self.height, MOST_ENLARGED * height)
        interpolation = self.cv2.INTER_AREA if new_height < height else self.cv2.INTER_LINEAR
        size = (max(round(width * new_height / height), 1), new_height)
        return self.cv2.resize(image, size, interpolation=interpolation)

    def people(self, small: np.ndarray, region: tuple[int, int, int, int] | None = None) -> list[Detection]:
        """The people in an image that :meth:`small` has returned, in its pixels.

        Args:
            region: the box to search in; by default the whole image.
        """
        left, top, right, bottom = region or (0, 0, small.shape[1], small.shape[0])
        searched = small[top:bottom, left:right]
        windows: list[tuple[Box, float]] = []
        scale = 1.0
        while True:
            # Averages of pixels: where detectMultiScale makes frames smaller, it skips pixels, and misses large people.
            size = (round(searched.shape[1] / scale), round(searched.shape[0] / scale))
            if min(size[0] + 2 * FRAME_BORDER - WINDOW_WIDTH, size[1] + 2 * FRAME_BORDER - WINDOW_HEIGHT) < 0:
                break
            for box, margin in self._at_one_scale(searched, size):
                windows.append((_moved(box, scale, left, top), margin))
            scale *= SCALE_STEP
        return _one_for_each_person(windows)

    def _at_one_scale(self, image: np.ndarray, size: tuple[int, int]) -> list[tuple[Box, float]]:
        """(box, margin) of each person who fills the window when ``image`` is ``size`` (width, height) large."""
        cv2 = self.cv2
        level = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        around = cv2.copyMakeBorder(level, *[FRAME_BORDER] * 4, cv2.BORDER_REPLICATE)
        corners, margins = self._descriptor().detect(around, hitThreshold=LEAST_MARGIN, winStride=(STEP, STEP))
        found = []
        for (across, down), margin in zip(corners, np.ravel(margins), strict=True):
            middle = float(across) - FRAME_BORDER + WINDOW_WIDTH / 2
            above = float(down) - FRAME_BORDER
            half = PERSON_WIDTH * WINDOW_WIDTH / 2
            box = (
                middle - half,
                above + BORDER_TOP * WINDOW_HEIGHT,
                middle + half,
                above + (1 - BORDER_BOTTOM) * WINDOW_HEIGHT,
            )
            found.append((box, float(margin)))
        return found

    def _descriptor(self) -> Any:
        # One for each thread, because nothing says that threads may share one.
        if not hasattr(self._local, "hog"):
            self._local.hog = self.cv2.HOGDescriptor()
            self._local.hog.setSVMDetector(self.cv2.HOGDescriptor_getDefaultPeopleDetector())
        return self._local.hog


def _moved(box: Box, scale: float, left: int, top: int) -> Box:
    """A box of a region that was made smaller by ``scale``, in the frame where the region begins at (left, top)."""
    return left + scale * box[0], top + scale * box[1], left + scale * box[2], top + scale * box[3]


def _one_for_each_person(windows: list[tuple[Box, float]]) -> list[Detection]:
    """One detection for each person: the classifier finds a person in many windows, and in parts of a person, too.

    Args:
        windows: (box, margin) of each window.
    """
    if not windows:
        return []
    boxes = np.array([box for box, _ in windows])
    margins = np.array([margin for _, margin in windows])
    overlap = iou_table(boxes, boxes)
    # A thing that is taken for a person is often found in one window only.
    margins -= ALONE * ((overlap > SUPPORTING_IOU).sum(1) == 1)
    heights = boxes[:, 3] - boxes[:, 1]
    # A whole person may come before a part of him or her that the classifier likes better.
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -(margins + WHOLE * np.log2(heights))))
    areas = heights * (boxes[:, 2] - boxes[:, 0])
    kept: list[int] = []
    margin_of: dict[int, float] = {}
    for place in order:
        over = None
        for other in kept:
            shared = intersection(windows[place][0], windows[other][0])
            if overlap[place, other] > MOST_IOU or shared > MOST_INSIDE * min(areas[place], areas[other]):
                over = other
                break
        if over is None:
            kept.append(place)
            margin_of[place] = margins[place]
        else:
            margin_of[over] = max(margin_of[over], margins[place])
    detections = []
    for place in kept:
        score = 1 / (1 + math.exp(-STEEPNESS * (margin_of[place] - MIDDLE_MARGIN)))
        detections.append(Detection(windows[place][0], score))
    return detections
