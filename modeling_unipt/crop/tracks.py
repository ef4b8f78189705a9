"""Tracks: which boxes of different frames show the same person. Overlap decides; nobody is recognised."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .boxes import Box, Detection, iou_table, widened

# A box belongs to a track if it overlaps the box that is expected there by so much.
LEAST_IOU = 0.3
# A person who walks fast leaves his or her box between two frames. What is left over after the first round is compared
# once more, with boxes that are larger by this share at each side.
WIDENING = 0.5
LEAST_WIDENED_IOU = 0.2
# A person who is not seen for longer gets a new track. Where frames are further apart than that, the person must have
# been seen in the last one.
MOST_SECONDS_UNSEEN = 1.5
MOST_SECONDS_BETWEEN_FRAMES = 5.0
LEAST_SECONDS = 0.001
# How much of the expected speed comes from the last two boxes; the rest is the speed that was expected before.
NEW_SPEED = 0.5


@dataclass
class Track:
    """A person on the way through the frames.

    Attributes:
        number: of the track, from 1.
        box: where the person was seen last.
        time: when, in seconds.
        speed: pixels a second of the box's middle, across and down.
        seen: in how many frames.
    """

    number: int
    box: Box
    time: float
    speed: tuple[float, float] = (0.0, 0.0)
    seen: int = 1

    def expected(self, time: float) -> Box:
        """Where the box would be at ``time`` if the person went on as before."""
        across = self.speed[0] * (time - self.time)
        down = self.speed[1] * (time - self.time)
        return self.box[0] + across, self.box[1] + down, self.box[2] + across, self.box[3] + down

    def move_to(self, box: Box, time: float) -> None:
        """Note where the person is seen at ``time``."""
        # Two frames of a damaged video may have the same time.
        seconds = max(time - self.time, LEAST_SECONDS)
        across = ((box[0] + box[2]) - (self.box[0] + self.box[2])) / 2 / seconds
        down = ((box[1] + box[3]) - (self.box[1] + self.box[3])) / 2 / seconds
        # The first speed is all that is known.
        share = NEW_SPEED if self.seen > 1 else 1.0
        self.speed = (
            share * across + (1 - share) * self.speed[0],
            share * down + (1 - share) * self.speed[1],
        )
        self.box = box
        self.time = time
        self.seen += 1


class Tracker:
    """Gives every detection the number of its track.

    Args:
        next_number: of the first new track.
    """

    def __init__(self, next_number: int = 1) -> None:
        self.next_number = next_number
        self.tracks: list[Track] = []
        self.time: float | None = None

    def update(self, time: float, detections: Sequence[Detection]) -> list[int]:
        """Tell what was found in the next frame.

        Args:
            time: in seconds, not earlier than that of the frame before.
            detections: no two of one person.

        Returns:
            The number of each detection's track.
        """
        self.tracks = [track for track in self.tracks if self._goes_on(track, time)]
        expected = [track.expected(time) for track in self.tracks]
        boxes = [detection.box for detection in detections]
        track_of: dict[int, int] = {}
        _pair(expected, boxes, 0.0, LEAST_IOU, track_of)
        _pair(expected, boxes, WIDENING, LEAST_WIDENED_IOU, track_of)
        numbers = []
        for place, box in enumerate(boxes):
            if place in track_of:
                track = self.tracks[track_of[place]]
                track.move_to(box, time)
            else:
                track = Track(self.next_number, box, time)
                self.next_number += 1
                self.tracks.append(track)
            numbers.append(track.number)
        self.time = time
        return numbers

    def _goes_on(self, track: Track, time: float) -> bool:
        unseen = time - track.time
        in_last_frame = track.time == self.time
        return unseen <= MOST_SECONDS_UNSEEN or (in_last_frame and unseen <= MOST_SECONDS_BETWEEN_FRAMES)

    def state(self) -> dict[str, Any]:
        """All that the tracker knows, JSON-able; see :meth:`restored`."""
        tracks = [asdict(track) for track in self.tracks]
        return {"next_number": self.next_number, "time": self.time, "tracks": tracks}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Tracker":
        """A tracker that goes on as the one whose :meth:`state` this is."""
        tracker = cls(state["next_number"])
        tracker.time = state["time"]
        for track in state["tracks"]:
            values = {**track, "box": tuple(track["box"]), "speed": tuple(track["speed"])}
            tracker.tracks.append(Track(**values))
        return tracker


def _pair(
    expected: Sequence[Box], boxes: Sequence[Box], widening: float, least_iou: float, track_of: dict[int, int]
) -> None:
    """Add pairs of box and track to ``track_of``, the pair that overlaps most first.

    Args:
        expected: a box for each track.
        track_of: place of a box -> place of its track; what it holds already is left alone.
    """
    free_boxes = [place for place in range(len(boxes)) if place not in track_of]
    free_tracks = [place for place in range(len(expected)) if place not in track_of.values()]
    if not free_boxes or not free_tracks:
        return
    there = np.array([widened(expected[place], widening) for place in free_tracks])
    here = np.array([widened(boxes[place], widening) for place in free_boxes])
    overlap = iou_table(there, here)
    while True:
        track, box = np.unravel_index(overlap.argmax(), overlap.shape)
        if overlap[track, box] < least_iou:
            return
        track_of[free_boxes[box]] = free_tracks[track]
        overlap[track, :] = -1
        overlap[:, box] = -1
