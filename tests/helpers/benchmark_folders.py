"""A small benchmark on disk, in CUHK-PEDES's layout: six people of two views."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

CLOTHES = ("a red coat", "blue jeans and a scarf", "a green hat", "a white shirt", "a black skirt", "a yellow bag")


def entries() -> list[dict[str, Any]]:
    """Three people of the split train, one of val, two of test."""
    listed = []
    for person, clothes in enumerate(CLOTHES, start=1):
        split = "train" if person < 4 else "val" if person == 4 else "test"
        for view in range(2):
            listed.append(
                {
                    "split": split,
                    "captions": [f"A person in {clothes} walks in view {view}.", f"View {view} shows {clothes}."],
                    "file_path": f"cam_{'ab'[view]}/{person:04d}_{view}.jpg",
                    "id": person,
                }
            )
    return listed


def write_benchmark(folder: Path, annotation: bytes | str | Any, name: str = "reid_raw.json") -> Path:
    """Write the images of :func:`entries` and an annotation: bytes, a text, or what becomes JSON."""
    for entry in entries():
        path = folder / "imgs" / entry["file_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8), (40 * entry["id"], 9, 9)).save(path)
    if not isinstance(annotation, (bytes, str)):
        annotation = json.dumps(annotation)
    (folder / name).write_bytes(annotation.encode() if isinstance(annotation, str) else annotation)
    return folder
