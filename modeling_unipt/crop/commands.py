"""`unipt crop`: people in videos and full frames become crops with a table, which `unipt index` takes.

unipt crop lobby.mp4 --output crops
"""

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.user_errors import UserError

if TYPE_CHECKING:
    from .cropping import CropReport

DEFAULT_FPS = 5.0
DEFAULT_MARGIN = 0.05
DEFAULT_SMALLEST = 0.25

HELP = """Find the people in videos or full frames, and write a crop of each with a table of all crops.

VIDEO|FRAMES is one or more of
  a video file,
  a folder of videos, searched with its sub-folders,
  a folder of frames (images), in the order of their names; each sub-folder is a sequence of its own.

--detector hog, the default, downloads nothing. It finds people who stand or walk upright. If the camera is fixed, it
also learns the background and finds people who are cut off or bend. Any other name is an object detector of
transformers that knows the class "person", from a folder or the Hugging Face Hub, such as PekingU/rtdetr_r18vd
(RT-DETR) or hustvl/yolos-tiny (YOLOS). It finds more people, above all in crowds and at night, and needs more time.

What is written:
  crops/VIDEO/0000123_t00007.jpg   the person of track 7 in frame 123
  crops/metadata.jsonl             one row for each crop: file_name, source, frame, time (seconds), left, top, right,
                                   bottom (pixels of the frame), track, camera, score (of the detector)
  crops/rejected.jsonl             frames that could not be decoded

A track joins the boxes of one person in one video. Boxes that overlap from frame to frame make a track; nobody is
recognised, so who comes back later gets a new track. If the command is killed, run it again: it continues where it was,
and the result is the same, byte by byte."""
EXAMPLES = """examples:
  unipt crop lobby.mp4 --output crops
  unipt crop archive/ --detector PekingU/rtdetr_r18vd --fps 2 --output crops
  unipt crop frames/ --every 5 --camera door --output crops
then:
  unipt index crops --metadata crops/metadata.jsonl --model MODEL --output my-gallery
  unipt search my-gallery "a man in a red jacket" --where "time<60" --where camera=lobby

docs/crop.md tells more, and what the offline detector is worth."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `crop` to the sub-commands of the `unipt` command."""
    command = commands.add_parser(
        "crop",
        help="find people in videos and full frames, and write crops of them",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("sources", metavar="VIDEO|FRAMES", nargs="+", help="videos, or folders of videos or frames")
    command.add_argument("--output", required=True, metavar="FOLDER", help="folder to write; must be new")
    command.add_argument(
        "--detector", default="hog", metavar="NAME", help="hog, or a detector of transformers (default: hog)"
    )
    command.add_argument(
        "--fps", metavar="F", help=f"look at F frames of each second of a video (default: {DEFAULT_FPS:g})"
    )
    command.add_argument("--every", metavar="N", help="look at every N-th frame instead")
    command.add_argument(
        "--min-score",
        metavar="S",
        help="least score of a person, from 0 to 1; less finds more, also what is no person (default: 0.5)",
    )
    command.add_argument(
        "--smallest",
        metavar="S",
        help="height of the smallest person that hog looks for, as a share of the frame's height; half of it takes "
        f"four times as long (default: {DEFAULT_SMALLEST:g})",
    )
    command.add_argument(
        "--margin",
        metavar="M",
        help="how much is added at each side of a box, as a share of its width or height "
        f"(default: {DEFAULT_MARGIN:g})",
    )
    command.add_argument(
        "--camera", metavar="NAME", help="name of the camera for the table (default: that of the video or its folder)"
    )
    command.add_argument(
        "--single-images",
        action="store_true",
        help="the images of a folder are single photographs, not frames in sequence: no tracks, no background",
    )
    command.add_argument("--cpu", action="store_true", help="stay on the CPU even where there is a GPU")
    command.set_defaults(run=run_crop)


def run_crop(arguments: argparse.Namespace) -> None:
    """Run `unipt crop`.

    Raises:
        UserError: an option is wrong, there is no video or frame to read, the detector cannot be loaded or knows no
            people, no person was found, or the output exists or cannot be written.
    """
    # Mistakes in the options are told before numpy and the detector are loaded.
    every = None if arguments.every is None else _whole(arguments.every, "--every")
    fps = None if arguments.fps is None else _number(arguments.fps, "--fps", 0.001, 1000)
    if every and fps:
        raise UserError("--every and --fps both say which frames are looked at; give one of them")
    least_score = None if arguments.min_score is None else _number(arguments.min_score, "--min-score", 0, 1)
    margin = _number(arguments.margin or f"{DEFAULT_MARGIN}", "--margin", 0, 1)
    smallest = _number(arguments.smallest or f"{DEFAULT_SMALLEST}", "--smallest", 0.02, 1)
    if arguments.smallest is not None and arguments.detector != "hog":
        raise UserError("--smallest is an option of the detector hog; a detector of transformers finds all sizes")

    from ..common.output_folders import finish_output, held_output
    from .cropping import CropOptions, write_crops
    from .frames import Choice, FolderFrames
    from .open import open_detector, open_sources

    for place in arguments.sources:
        if Path(arguments.output).resolve().is_relative_to(Path(place).resolve()):
            raise UserError(
                f"{arguments.output} lies in {place}, and its crops would be taken for frames; name another output"
            )
    sources = open_sources(arguments.sources, arguments.camera, arguments.single_images)
    folders = [source for source in sources if isinstance(source, FolderFrames)]
    if fps and folders:
        raise UserError(
            f"--fps needs videos, and {folders[0].path} is a folder of images, whose times nobody knows; use --every"
        )
    if arguments.single_images and len(folders) < len(sources):
        raise UserError("--single-images is for folders of images, and a video was given")
    detector = open_detector(arguments.detector, smallest, "cpu" if arguments.cpu else None)
    choice = Choice(every, None if every else fps or DEFAULT_FPS)
    options = CropOptions(choice, detector.least_score if least_score is None else least_score, margin)
    settings = {
        "command": "crop",
        "sources": [source.settings() for source in sources],
        "cameras": [source.camera for source in sources],
        "in_sequence": not arguments.single_images,
        **detector.settings(),
        "every": choice.every,
        "fps": choice.fps,
        "min_score": options.least_score,
        "margin": margin,
    }
    with held_output(arguments.output, settings) as folder:
        if folder is None:
            return
        report = write_crops(sources, detector, options, folder)
        if not report.crops:
            shutil.rmtree(folder)
            _refuse_nothing(report, arguments.detector, options.least_score)
        finish_output(folder, arguments.output)
    _print_report(report, arguments.output)


def _print_report(report: "CropReport", output: str) -> None:
    tracks = f" of {report.tracks} tracks" if report.tracks else ""
    print(f"{report.crops} crops{tracks} from {report.frames} frames written to {output}")
    if report.rejected:
        print(
            f"{report.rejected} of {report.frames} frames could not be decoded and are left out; see "
            f"{Path(output, 'rejected.jsonl')}"
        )
    table = Path(output, "metadata.jsonl")
    print(f"next: unipt index {output} --metadata {table} --model MODEL --output my-gallery", file=sys.stderr)


def _refuse_nothing(report: "CropReport", detector: str, least_score: float) -> None:
    """Say why there is no crop."""
    if report.frames == report.rejected:
        raise UserError(
            f"none of {report.frames} frames could be decoded, so nothing is written; the file is damaged, or no video"
        )
    if detector == "hog":
        mend = "try --smallest 0.1 if people are small in the frame, or a detector of transformers by --detector"
    else:
        mend = f"try --min-score below {least_score:g}, or another detector"
    raise UserError(f"no person was found in {report.frames - report.rejected} frames, so nothing is written; {mend}")


def _whole(text: str, option: str) -> int:
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise UserError(f"{option} is {text!r}; it must be a whole number of at least 1")
    return int(text)


def _number(text: str, option: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    # A comparison with "not a number" is false, too.
    if not least <= number <= most:
        raise UserError(f"{option} is {text!r}; it must be a number from {least:g} to {most:g}")
    return number
