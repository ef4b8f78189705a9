"""What `unipt crop` writes: crops as JPEG files, and their table.

While the command runs, its work folder holds the table in parts. ``progress.json`` names the parts that count and the
place where to go on; it is written last. So a killed run leaves at most crops that the next one writes again, byte by
byte the same.
"""

import io
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.atomic_files import write_json, write_text, written_aside
from .boxes import Box, clipped, widened
from .frames import Frame, FrameSource

TABLE_FILE = "metadata.jsonl"
REJECTED_FILE = "rejected.jsonl"
PROGRESS_FILE = "progress.json"
PARTS = "parts"
JPEG_QUALITY = 95
# Narrower or lower crops show nothing.
LEAST_PIXELS = 8
LONGEST_NAME = 60


def folder_names(sources: Sequence[FrameSource]) -> list[str]:
    """A folder name for the crops of each source: like the video's or folder's name, and no two the same."""
    taken: set[str] = set()
    names = []
    for source in sources:
        path = source.path.resolve()
        stem = path.name if path.is_dir() else path.stem
        plain = re.sub(r"[^\w.-]+", "_", stem.encode("utf-8", "replace").decode(), flags=re.ASCII)
        plain = plain.strip("._")[:LONGEST_NAME] or "frames"
        name = plain
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def crop_of(image: np.ndarray, box: Box, margin: float) -> bytes | None:
    """The part of a frame around a box, as a JPEG file; None if hardly anything of the box lies in the frame.

    Args:
        image: (H, W, 3) uint8 RGB.
        margin: how much is added at each side, as a share of the box's width or height.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = (round(value) for value in clipped(widened(box, margin), width, height))
    if right - left < LEAST_PIXELS or bottom - top < LEAST_PIXELS:
        return None
    data = io.BytesIO()
    Image.fromarray(image[top:bottom, left:right]).save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()


class CropWriter:
    """Fills a work folder with crops and their table.

    Args:
        folder: the work folder; it may hold what a former run left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress: dict[str, Any] | None = None
        if (folder / PROGRESS_FILE).exists():
            self.progress = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        self.parts = self.progress["parts"] if self.progress else 0
        self._rows: list[dict[str, Any]] = []

    def put_crop(self, name: str, data: bytes, row: dict[str, Any]) -> None:
        """Write a crop.

        Args:
            name: its path in the output, with ``/``.
            row: what the table says of it, except its name.
        """
        path = self.folder / name
        try:
            path.write_bytes(data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            # On a full disk the error has no name in it.
            error.filename = error.filename or str(path)
            raise
        self._rows.append({"file_name": name, **row})

    def put_rejected(self, frame: Frame) -> None:
        """Note a frame that cannot be decoded."""
        rejected = {"source": text_of(frame.file), "frame": frame.number, "time": frame.time, "reason": frame.reason}
        self._rows.append({"rejected": {name: value for name, value in rejected.items() if value is not None}})

    def commit(self, progress: dict[str, Any]) -> None:
        """Make what was put count.

        Args:
            progress: where to go on after it, JSON-able.
        """
        parts = self.folder / PARTS
        parts.mkdir(exist_ok=True)
        write_text(parts / f"{self.parts:07d}.jsonl", _lines(self._rows))
        self._rows = []
        self.parts += 1
        self.progress = {**progress, "parts": self.parts}
        write_json(self.folder / PROGRESS_FILE, self.progress, indent=None)

    def finish(self) -> None:
        """Join the parts to the table, and remove what only a later run would need."""
        with (
            written_aside(self.folder / TABLE_FILE) as table,
            written_aside(self.folder / REJECTED_FILE) as rejected,
            open(table, "w", encoding="utf-8", newline="\n") as crops,
            open(rejected, "w", encoding="utf-8", newline="\n") as others,
        ):
            for number in range(self.parts):
                with open(self.folder / PARTS / f"{number:07d}.jsonl", encoding="utf-8") as part:
                    for line in part:
                        row = json.loads(line)
                        if "rejected" in row:
                            others.write(_lines([row["rejected"]]))
                        else:
                            crops.write(line)
        (self.folder / PROGRESS_FILE).unlink()
        shutil.rmtree(self.folder / PARTS)


def text_of(path: str) -> str:
    """A path as text that JSON can hold, also if its name is no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
