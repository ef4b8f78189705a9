"""Frames: what a detector looks at. A source is one video or one folder of images, in order."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.image_files import UnreadableImage, read_image

# A background is made of so many frames, and holds for as many of them as lie between.
SAMPLES = 60
MOST_FRAMES_BETWEEN = 50


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        number: its place in the source, from 0.
        time: seconds since the source's beginning, or None where nothing tells.
        file: path of the file that holds it.
        image: (height, width, 3) uint8 RGB, or None if the frame cannot be decoded.
        reason: why not.
    """

    number: int
    time: float | None
    file: str
    image: np.ndarray | None
    reason: str = ""


@dataclass(frozen=True)
class Choice:
    """Which frames are looked at: every ``every``-th, or ``fps`` a second; the other one is None."""

    every: int | None
    fps: float | None

    def takes(self, number: int, time: float | None, time_before: float | None) -> bool:
        """Whether a frame is looked at.

        Args:
            time_before: the time of the frame before it; None for the first frame.
        """
        if self.every is not None or time is None:
            return number % (self.every or 1) == 0
        # The small sum keeps a time such as 0.6, which binary numbers do not hold exactly, behind its own mark.
        mark = int(time * self.fps + 1e-6)
        return time_before is None or mark > int(time_before * self.fps + 1e-6)


class FrameSource:
    """One video, or one folder of images.

    Attributes:
        path: of the video or folder.
        camera: who saw it: the name that the user gave, or one made of the path.
        in_sequence: whether the frames follow one another, so that tracks and a background make sense.
    """

    path: Path
    camera: str
    in_sequence: bool = True

    def settings(self) -> dict[str, Any]:
        """What makes this source itself, JSON-able: another value means that its crops may differ."""
        raise NotImplementedError

    def expected(self, choice: Choice) -> int:
        """About how many frames will be looked at, for the progress bar."""
        raise NotImplementedError

    def frames(self, choice: Choice, after: int = -1) -> Iterator[Frame]:
        """The chosen frames whose number is larger than ``after``, in order."""
        raise NotImplementedError

    def samples(self) -> Iterator[Frame]:
        """Frames that are spread over the source, in order; see :data:`SAMPLES`."""
        raise NotImplementedError


class FolderFrames(FrameSource):
    """The images that lie directly in a folder, in the order of their names.

    Args:
        files: names of the images in the folder.
        in_sequence: False if the images are single photographs.
    """

    def __init__(self, path: Path, files: list[str], camera: str, in_sequence: bool) -> None:
        self.path = path
        self.files = files
        self.camera = camera
        self.in_sequence = in_sequence

    def settings(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for name in self.files:
            status = (self.path / name).stat()
            listing.update(repr((name, status.st_size, status.st_mtime_ns)).encode("utf-8", "surrogateescape"))
        return {"folder": str(self.path.resolve()), "images": len(self.files), "listing": listing.hexdigest()}

    def expected(self, choice: Choice) -> int:
        return -(-len(self.files) // (choice.every or 1))

    def frames(self, choice: Choice, after: int = -1) -> Iterator[Frame]:
        for number in range(0, len(self.files), choice.every or 1):
            if number > after:
                yield self._read(number)

    def samples(self) -> Iterator[Frame]:
        step = min(max(len(self.files) // SAMPLES, 1), MOST_FRAMES_BETWEEN)
        for number in range(0, len(self.files), step):
            frame = self._read(number)
            if frame.image is not None:
                yield frame

    def _read(self, number: int) -> Frame:
        file = self.path / self.files[number]
        try:
            return Frame(number, None, str(file), np.asarray(read_image(file)))
        except UnreadableImage as reason:
            return Frame(number, None, str(file), None, str(reason))
