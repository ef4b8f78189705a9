"""How many people in a video does `unipt crop` find, how many of its crops are false, and how fast is it?

    python train/crop_recall.py --video one-by-one-person-detection.mp4

The labels, docs/crop_labels.json, say where the people are in some frames of the video; the video itself is not part of
this project, and the labels say where it comes from. A person counts as found if a box overlaps the label by an
intersection over union of at least 0.5. A box that finds nobody, or somebody who was found already, is false. The
command writes the numbers as JSON, and a page beside it (.md).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_builders.report.confidence import wilson_interval
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.parallel import cpu_name, usable_cores
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.common.words import markdown_table
from modeling_unipt.crop.boxes import Box, Detection, iou
from modeling_unipt.crop.commands import DEFAULT_FPS, DEFAULT_MARGIN, DEFAULT_SMALLEST
from modeling_unipt.crop.cropping import CropOptions, write_crops
from modeling_unipt.crop.detectors import Detector
from modeling_unipt.crop.frames import Choice
from modeling_unipt.crop.open import open_detector
from modeling_unipt.crop.videos import VideoFrames
from unipt_train.studies.commands import ROOT, require_clone
from unipt_train.studies.results import write_results

LEAST_IOU = 0.5
FIXED = "fixed camera"
MOVING = "as if the camera moved"


@dataclass
class Count:
    """What a detector found in some frames.

    Attributes:
        frames: how many.
        people: labelled in them.
        found: of the people.
        false: boxes that find nobody, or somebody again.
        overlaps: intersection over union of each person who was found.
        missed: numbers of the frames in which somebody was not found.
        wrong: numbers of the frames with a false box.
    """

    frames: int = 0
    people: int = 0
    found: int = 0
    false: int = 0
    overlaps: list[float] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def add(self, number: int, labels: Sequence[Box], detections: Sequence[Detection]) -> None:
        """Compare one frame. The surest box chooses its person first."""
        left = list(labels)
        false = 0
        for detection in sorted(detections, key=lambda each: -each.score):
            best = max(left, key=lambda label: iou(label, detection.box), default=None)
            if best is not None and iou(best, detection.box) >= LEAST_IOU:
                self.overlaps.append(iou(best, detection.box))
                left.remove(best)
            else:
                false += 1
        self.frames += 1
        self.people += len(labels)
        self.found += len(labels) - len(left)
        self.false += false
        if left:
            self.missed.append(number)
        if false:
            self.wrong.append(number)

    def summary(self) -> dict[str, Any]:
        """The numbers, JSON-able."""
        low, high = wilson_interval(self.found, self.people)
        return {
            "frames": self.frames,
            "people": self.people,
            "found": self.found,
            "recall": round(self.found / self.people, 4),
            "recall_low": round(float(low), 4),
            "recall_high": round(float(high), 4),
            "mean_iou": round(sum(self.overlaps) / len(self.overlaps), 4) if self.overlaps else None,
            "false": self.false,
            "false_per_image": round(self.false / self.frames, 4),
            "missed": self.missed,
            "wrong": self.wrong,
        }


def count(detector: Detector, video: VideoFrames, labels: Mapping[int, Sequence[Box]]) -> Count:
    """What a detector finds in the labelled frames.

    Args:
        labels: number of a frame -> boxes of the people in it.
    """
    detector.begin(video)
    counted = Count()
    for frame in video.frames(Choice(1, None)):
        if frame.number in labels:
            found = [each for each in detector.detect(frame) if each.score >= detector.least_score]
            counted.add(frame.number, labels[frame.number], found)
    return counted


def read_labels(path: Path | str) -> dict[int, list[Box]]:
    """The labels of a file such as docs/crop_labels.json: number of a frame -> boxes."""
    frames = json.loads(Path(path).read_text(encoding="utf-8"))["frames"]
    return {int(number): [tuple(box) for box in boxes] for number, boxes in frames.items()}


@dataclass(frozen=True)
class Speed:
    """How fast the whole command is with its defaults: decoding, background, search and writing.

    Attributes:
        frames: looked at.
        crops: written.
        seconds: that it took.
        cpu_seconds: that all cores together spent; others who use the machine do not change them.
    """

    frames: int
    crops: int
    seconds: float
    cpu_seconds: float

    def summary(self) -> dict[str, Any]:
        """The numbers, JSON-able."""
        return {
            "frames": self.frames,
            "crops": self.crops,
            "frames_a_second": round(self.frames / self.seconds, 2),
            "frames_a_cpu_second": round(self.frames / self.cpu_seconds, 2),
        }


def measure_speed(detector: Detector, video: VideoFrames) -> Speed:
    """Run the whole command once."""
    options = CropOptions(Choice(None, DEFAULT_FPS), detector.least_score, DEFAULT_MARGIN)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        cpu_begin = time.process_time()
        report = write_crops([video], detector, options, Path(folder))
        cpu_seconds = time.process_time() - cpu_begin
        return Speed(report.frames, report.crops, time.perf_counter() - begin, cpu_seconds)


def markdown(measured: Mapping[str, Any]) -> str:
    """The page of a measurement."""
    rows = []
    for way, counted in measured["ways"].items():
        interval = f"{100 * counted['recall_low']:.0f} to {100 * counted['recall_high']:.0f}"
        rows.append(
            [
                way,
                f"{counted['found']} of {counted['people']}",
                f"{100 * counted['recall']:.1f} % ({interval})",
                f"{counted['mean_iou']:.2f}",
                f"{counted['false_per_image']:.2f}",
            ]
        )
    head = ["way", "found", "recall (95 % interval)", "mean IoU of those found", "false crops an image"]
    speed = measured["speed"]
    width, height = measured["size"]
    return f"""# How good the crops are

`python train/crop_recall.py` wrote this page. It ran the detector `{measured["detector"]}` of `unipt crop` on
{measured["frames"]} frames of one video, {measured["video"]}, in which six people walk through a corridor one after the
other. The camera is fixed and the frames are {width} x {height} pixels. The labels,
[crop_labels.json](crop_labels.json), were made by looking at frames at equal distances. Most of these frames show
somebody who stands. The offline detector was tuned by looking at other frames of the same video, and its last rules
were chosen after a first count on these. So the numbers say little about other cameras; crowds, night and small people
are harder.

A person counts as found if a box overlaps the label by an intersection over union of at least {LEAST_IOU:g}. A box that
finds nobody, or somebody again, is a false crop.

{markdown_table(head, rows)}

"{FIXED}" is what `unipt crop` does. "{MOVING}" is the same without the background.

The whole command (decoding, background, search, writing) looked at {speed["frames"]} frames and wrote {speed["crops"]}
crops. It did {speed["frames_a_cpu_second"]:.1f} frames for each second of computing, and {speed["frames_a_second"]:.1f}
frames for each second of waiting, on {measured["machine"]}. The second number is low if other programs use the machine.
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--video", required=True, help="the video that the labels are of")
    add("--labels", default=str(ROOT / "docs" / "crop_labels.json"), help="JSON file (default: docs/crop_labels.json)")
    add("--detector", default="hog", help="as of `unipt crop` (default: %(default)s)")
    add("--output", default="runs/crop_recall.json", help="JSON file to write (default: %(default)s)")
    arguments = parser.parse_args(argv)
    require_clone()
    about = json.loads(Path(arguments.labels).read_text(encoding="utf-8"))
    labels = read_labels(arguments.labels)
    if Path(arguments.video).name != about["video"]:
        raise UserError(
            f"the labels are of {about['video']}, and {arguments.video} has another name; see {about['from']}"
        )
    if not Path(arguments.video).is_file():
        raise UserError(f"{arguments.video} does not exist; fetch it from {about['from']}")
    video = VideoFrames(Path(arguments.video), "camera")
    detector = open_detector(arguments.detector, DEFAULT_SMALLEST)
    ways = {FIXED: count(detector, video, labels).summary()}
    speed = measure_speed(detector, video)
    if arguments.detector == "hog":
        video.in_sequence = False
        ways[MOVING] = count(detector, video, labels).summary()
    measured = {
        "detector": arguments.detector,
        "video": about["video"],
        "size": about["size"],
        "frames": len(labels),
        "ways": ways,
        "speed": speed.summary(),
        "machine": f"{len(usable_cores())} cores of {cpu_name()}",
    }
    page = markdown(measured)
    write_results(arguments.output, measured, page)
    print(page)


if __name__ == "__main__":
    run_command(main)
