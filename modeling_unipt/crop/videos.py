"""Videos, decoded by PyAV, which brings FFmpeg along."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.user_errors import UserError, first_line
from .frames import SAMPLES, Choice, Frame, FrameSource

logger = logging.getLogger(__name__)
VIDEO_SUFFIXES = {
    *(".3gp", ".asf", ".avi", ".dav", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
}
# Samples of a long video are not further apart, so that a background follows the daylight.
MOST_SECONDS_BETWEEN = 10.0
# If so much of a video is missing at its end, the user should know.
MISSED_SECONDS = 1.0
REASON = "cannot be decoded"


class VideoFrames(FrameSource):
    """The frames of a video file.

    Raises:
        UserError: PyAV is missing, or the file is no video that FFmpeg can decode.
    """

    def __init__(self, path: Path, camera: str) -> None:
        self.path = path
        self.camera = camera
        with self._opened() as (_, stream):
            self.rate = float(stream.average_rate or stream.guessed_rate or 25)
            seconds = _duration(stream)
            self.told_frames = stream.frames
            # Some cameras store pixels that are not square.
            self.pixel_ratio = float(stream.sample_aspect_ratio or 1)
        # Some kinds of files do not tell how long they are.
        self.seconds = self._count_packets() / self.rate if seconds is None else seconds

    def settings(self) -> dict[str, Any]:
        status = self.path.stat()
        return {"video": str(self.path.resolve()), "bytes": status.st_size, "changed": status.st_mtime_ns}

    def expected(self, choice: Choice) -> int:
        frames = self.told_frames or round(self.seconds * self.rate)
        return round(self.seconds * min(choice.fps, self.rate)) if choice.fps else -(-frames // choice.every)

    def frames(self, choice: Choice, after: int = -1) -> Iterator[Frame]:
        time_before = None
        time = 0.0
        for number, (time, frame) in enumerate(self._decoded()):
            taken = choice.takes(number, time, time_before)
            time_before = time
            if taken and number > after:
                if frame is None:
                    yield Frame(number, round(time, 3), str(self.path), None, REASON)
                else:
                    yield Frame(number, round(time, 3), str(self.path), _upright(frame, self.pixel_ratio))
        if time < self.seconds - MISSED_SECONDS:
            logger.warning(
                "%s ends after %.1f of %.1f seconds; the file was cut off, or a part of it is broken",
                self.path,
                time,
                self.seconds,
            )

    def samples(self) -> Iterator[Frame]:
        between = min(MOST_SECONDS_BETWEEN, self.seconds / SAMPLES)
        # Key frames are decoded alone, which is quick; but some videos have only one in many seconds.
        only_key_frames = self._count_packets(key_frames=True) * between >= 0.8 * self.seconds
        due = 0.0
        for number, (time, frame) in enumerate(self._decoded(only_key_frames)):
            if frame is not None and time >= due:
                # Where only key frames are decoded, this number is not the place in the video. Nobody asks for it.
                yield Frame(number, time, str(self.path), _upright(frame, self.pixel_ratio))
                due = time + between - 0.5 / self.rate

    def _count_packets(self, key_frames: bool = False) -> int:
        """How many frames, or key frames, the file holds; none of them is decoded."""
        import av

        with self._opened() as (container, stream):
            count = 0
            # Where the file ends in a broken place, what was counted is there.
            with suppress(av.error.FFmpegError):
                for packet in container.demux(stream):
                    count += packet.size > 0 and (packet.is_keyframe or not key_frames)
            return count

    def _decoded(self, only_key_frames: bool = False) -> Iterator[tuple[float, Any]]:
        """Pairs of time in seconds and PyAV's frame, or None instead of a frame that cannot be decoded."""
        with self._opened() as (container, stream):
            stream.thread_type = "AUTO"
            if only_key_frames:
                stream.codec_context.skip_frame = "NONKEY"
            begin = None
            time = None
            for decoded in _packets_decoded(container, stream):
                for frame in decoded:
                    # Where a frame has no time of its own, it follows the one before it.
                    time = 0.0 if time is None else time + 1 / self.rate
                    if frame is not None and frame.time is not None:
                        begin = frame.time - time if begin is None else begin
                        time = max(frame.time - begin, 0.0)
                    yield time, None if frame is None or frame.is_corrupt else frame

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """PyAV's container and its first video stream."""
        try:
            import av
        except ImportError:
            raise UserError(f"{self.path} is a video, which needs PyAV; run `pip install 'unipt[video]'`") from None
        # FFmpeg writes about broken places to stderr by itself.
        av.logging.set_level(av.logging.PANIC)
        try:
            container = av.open(str(self.path))
        except av.error.FFmpegError as error:
            if isinstance(error, (av.error.PermissionError, av.error.FileNotFoundError)):
                raise
            reason = error.strerror or first_line(error)
            raise UserError(
                f"{self.path} is no video that FFmpeg can read ({reason}); it may be damaged, or cut off before the "
                "recorder had closed it"
            ) from None
        with container:
            if not container.streams.video:
                raise UserError(f"{self.path} holds no video, only {_what_it_holds(container)}")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise UserError(
                    f"the codec of {self.path} is unknown to PyAV; convert the video with "
                    "`ffmpeg -i VIDEO -c:v libx264 converted.mp4`"
                )
            yield container, stream


def _packets_decoded(container: Any, stream: Any) -> Iterator[list[Any]]:
    """The frames of each packet in turn; [None] for a broken packet, after which the next whole one goes on."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            # The file is broken from here on, and has no more packets.
            yield [None]
            return
        if packet is None:
            return
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            decoded = [None]
        yield decoded


def _what_it_holds(container: Any) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    return " and ".join(kinds) if kinds else "a header"


def _duration(stream: Any) -> float | None:
    """Seconds of a video as its file tells, or None."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    whole = stream.container.duration
    # PyAV gives it in microseconds.
    return None if whole is None or whole <= 0 else whole / 1_000_000


def _upright(frame: Any, pixel_ratio: float) -> np.ndarray:
    """(height, width, 3) uint8 RGB of PyAV's frame: with square pixels, and turned as the camera notes.

    Args:
        pixel_ratio: width of a pixel divided by its height.
    """
    pixels = frame.to_ndarray(format="rgb24")
    if pixel_ratio != 1:
        size = (round(frame.width * pixel_ratio), frame.height)
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
