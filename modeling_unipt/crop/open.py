"""What a user's words name: videos, folders of frames, and a detector."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..common.image_formats import IMAGE_SUFFIXES
from ..common.user_errors import UserError
from .detectors import OFFLINE, Detector
from .frames import FolderFrames, FrameSource
from .videos import VIDEO_SUFFIXES, VideoFrames


def open_sources(places: Sequence[str], camera: str | None = None, single_images: bool = False) -> list[FrameSource]:
    """The sources that ``places`` name, in the order of ``places``, below a folder in the order of their paths.

    Args:
        places: videos, folders of videos, or folders of frames; folders with all that lies below them.
        camera: the name of the camera that saw all of them. By default it is the name of the sub-folder that a video or
            frame lies in, and else the name of the video or folder that was given.
        single_images: whether images in folders are single photographs instead of frames in sequence.

    Raises:
        UserError: there is no such file or folder, a file is no video, a folder holds neither videos nor images or
            both, or one source is named twice.
    """
    sources: list[FrameSource] = []
    for place in places:
        if "://" in place:
            raise UserError(f"{place} is an address; record it to a file first, with `ffmpeg -i ADDRESS video.mp4`")
        path = Path(place)
        if path.is_dir():
            sources.extend(_below(path, camera, single_images))
        elif path.exists():
            if path.suffix.lower() in IMAGE_SUFFIXES:
                raise UserError(f"{path} is a single image; give the folder that holds the frames")
            sources.append(_video(path, camera or path.stem))
        else:
            raise UserError(f"{path} does not exist; give a video, or a folder of videos or frames")
    seen = set()
    for source in sources:
        resolved = source.path.resolve()
        if resolved in seen:
            raise UserError(f"{source.path} is named twice; name it once")
        seen.add(resolved)
    return sources


def _video(path: Path, camera: str) -> VideoFrames:
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; copy the video again")
    return VideoFrames(path, camera)


def _below(folder: Path, camera: str | None, single_images: bool) -> list[FrameSource]:
    """The sources in a folder and its sub-folders: each video, or each folder that holds images."""
    videos: list[Path] = []
    images: dict[Path, list[str]] = {}

    def refuse(error: OSError) -> None:
        raise UserError(f"folder {error.filename} cannot be listed ({error.strerror}); mend its permissions or move it")

    for directory, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            # Files such as ._video.mp4 are what macOS leaves on foreign disks.
            if name.startswith("._"):
                continue
            suffix = Path(name).suffix.lower()
            if suffix in VIDEO_SUFFIXES:
                videos.append(Path(directory, name))
            elif suffix in IMAGE_SUFFIXES:
                images.setdefault(Path(directory), []).append(name)
    if videos and images:
        raise UserError(
            f"{folder} holds videos, such as {videos[0].name}, and images, such as {next(iter(images.values()))[0]}; "
            "give only the videos, or a folder with only the frames"
        )
    if not videos and not images:
        raise UserError(f"{folder} holds neither videos nor images, also in its sub-folders")
    sources: list[FrameSource] = []
    for video in sorted(videos):
        inner = video.parent.name if video.parent != folder else video.stem
        sources.append(_video(video, camera or inner))
    for inner, names in sorted(images.items()):
        sources.append(FolderFrames(inner, names, camera or inner.resolve().name, not single_images))
    return sources


def open_detector(name: str, smallest: float, device: str | None = None) -> Detector:
    """The detector of that name.

    Args:
        name: "hog" for the offline one; else a folder or Hub name of an object detector of transformers.
        smallest: height of the smallest person that the offline detector looks for, as a share of the frame's height.
        device: of torch; by default a GPU if there is one.

    Raises:
        UserError: it cannot be loaded, or knows no people.
    """
    if name == OFFLINE and not Path(name).is_dir():
        # Each detector needs a large package that the other one does without.
        from .offline import OfflineDetector

        return OfflineDetector(smallest)
    from .object_detector import ObjectDetector

    return ObjectDetector(name, device)
