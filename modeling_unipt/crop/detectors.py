"""What finds people in a frame."""

from typing import Any

from .boxes import Detection
from .frames import Frame, FrameSource

# The detector that downloads nothing.
OFFLINE = "hog"


class Detector:
    """Finds people in frames.

    Attributes:
        least_score: the score that a detection needs, unless the user names another one.
        threads: how many threads may call :meth:`detect` at once.
    """

    least_score: float
    threads: int = 1

    def settings(self) -> dict[str, Any]:
        """What makes this detector itself, JSON-able: another value means that its boxes may differ."""
        raise NotImplementedError

    def begin(self, source: FrameSource) -> None:
        """Learn what is to be learned of a source before its frames are looked at."""

    def detect(self, frame: Frame) -> list[Detection]:
        """The people in a frame of the source that was begun last.

        Args:
            frame: one that has an image.

        Returns:
            At most one detection of each person. What a detector returns depends on the source and the frame alone, and
            not on the frames that it has seen before, so that work can go on after a kill as if nothing had happened.
        """
        raise NotImplementedError
