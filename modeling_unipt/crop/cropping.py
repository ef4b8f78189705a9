"""From sources of frames to crops: reading, detecting, tracking and writing, so that a killed run can go on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..common.parallel import map_ahead
from .boxes import Detection, clipped
from .detectors import Detector
from .frames import Choice, Frame, FrameSource
from .tracks import Tracker
from .writing import CropWriter, crop_of, folder_names, text_of

# What is found in so many frames counts at once; a killed run loses at most that.
FRAMES_PER_COMMIT = 100
# Images of a folder have no time; their tracks take so many for a second.
FOLDER_FPS = 5.0


@dataclass(frozen=True)
class CropOptions:
    """What becomes a crop.

    Attributes:
        choice: which frames are looked at.
        least_score: of a detection.
        margin: how much is added at each side of a box, as a share of its width or height.
    """

    choice: Choice
    least_score: float
    margin: float


@dataclass
class CropReport:
    """What was done, over all runs of the command.

    Attributes:
        frames: looked at.
        crops: written.
        tracks: of people.
        rejected: frames that could not be decoded.
    """

    frames: int = 0
    crops: int = 0
    tracks: int = 0
    rejected: int = 0


def write_crops(sources: Sequence[FrameSource], detector: Detector, options: CropOptions, folder: Path) -> CropReport:
    """Fill a work folder with the crops of all people in ``sources``, and their table.

    Args:
        folder: the work folder; what a killed run with the same arguments has left there is gone on with.
    """
    writer = CropWriter(folder)
    work = writer.progress or _beginning_of(0, CropReport())
    report = CropReport(**work["report"])
    names = folder_names(sources)
    total = sum(source.expected(options.choice) for source in sources)
    with tqdm(total=total, initial=report.frames, desc="looking for people", unit="frame") as bar:
        run = _Run(detector, options, writer, report, bar)
        for place in range(work["source"], len(sources)):
            run.take(sources[place], names[place], place, work)
            work = _beginning_of(place + 1, report)
            writer.commit(work)
    writer.finish()
    return report


def _beginning_of(place: int, report: CropReport) -> dict[str, Any]:
    """The state of the work before source number ``place``; numbers of tracks go on."""
    return {"source": place, "frame": -1, "tracker": Tracker(report.tracks + 1).state(), "report": vars(report)}


@dataclass
class _Run:
    """One run of the command."""

    detector: Detector
    options: CropOptions
    writer: CropWriter
    report: CropReport
    bar: "tqdm[Any]"

    def take(self, source: FrameSource, name: str, place: int, work: dict[str, Any]) -> None:
        """Write the crops of a source that ``work`` does not count yet. What is left uncommitted is the last of them.

        Args:
            name: of the folder of its crops.
            place: of the source among all.
        """
        tracker = Tracker.restored(work["tracker"])
        self.detector.begin(source)
        frames = source.frames(self.options.choice, work["frame"])
        threads = self.detector.threads
        for count, (frame, found) in enumerate(map_ahead(self._look, frames, threads, 2 * threads), start=1):
            self._put(source, name, tracker, frame, found)
            self.bar.update()
            if count % FRAMES_PER_COMMIT == 0:
                state = {"source": place, "frame": frame.number, "tracker": tracker.state()}
                self.writer.commit({**state, "report": vars(self.report)})

    def _look(self, frame: Frame) -> tuple[Frame, list[Detection]]:
        if frame.image is None:
            return frame, []
        found = self.detector.detect(frame)
        return frame, [each for each in found if each.score >= self.options.least_score]

    def _put(self, source: FrameSource, name: str, tracker: Tracker, frame: Frame, found: list[Detection]) -> None:
        self.report.frames += 1
        if frame.image is None:
            self.report.rejected += 1
            self.writer.put_rejected(frame)
            return
        height, width = frame.image.shape[:2]
        people = []
        # From left to right, so that numbers of tracks do not depend on the detector's order.
        for detection in sorted(found, key=lambda each: each.box):
            data = crop_of(frame.image, detection.box, self.options.margin)
            if data is not None:
                people.append((Detection(clipped(detection.box, width, height), detection.score), data))
        tracks: list[int | None] = [None] * len(people)
        if source.in_sequence:
            time = frame.number / FOLDER_FPS if frame.time is None else frame.time
            tracks = tracker.update(time, [detection for detection, _ in people])
            self.report.tracks = tracker.next_number - 1
        for number, ((detection, data), track) in enumerate(zip(people, tracks, strict=True), start=1):
            person = f"p{number}" if track is None else f"t{track:05d}"
            row = _row(frame, detection, track, source.camera)
            self.writer.put_crop(f"{name}/{frame.number:07d}_{person}.jpg", data, row)
            self.report.crops += 1


def _row(frame: Frame, detection: Detection, track: int | None, camera: str) -> dict[str, Any]:
    left, top, right, bottom = (round(value) for value in detection.box)
    row = {
        # An absolute path leads to the frame from any working folder.
        "source": text_of(os.path.abspath(frame.file)),
        "frame": frame.number,
        "time": frame.time,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "track": track,
        "camera": text_of(camera),
        "score": round(detection.score, 4),
    }
    # A column that no row has is left out of the table.
    return {name: value for name, value in row.items() if value is not None}
