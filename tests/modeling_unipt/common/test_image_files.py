"""What the reasons of refused images look like in a file; `tests/modeling_unipt/sources` reads hostile images."""

import json
import os

import pytest

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.image_folders import list_folder
from modeling_unipt.common.user_errors import UserError


def test_images_are_found_in_sorted_order(image_folder):
    names = [path.as_posix() for path in list_folder(image_folder).paths]
    people = [f"person_{number}.png" for number in range(5)]
    assert names == ["cam_b/person_5.jpg", "empty.jpg", *people, "torn.png"]


def test_folders_without_images_are_told(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path, message in (
        (tmp_path, "holds no images; looked, also in sub-folders, for .bmp, .gif, .jpeg, .jpg, .png, "),
        (tmp_path / "notes.txt", "notes.txt is a file, not a folder"),
        (tmp_path / "gone", "gone does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            list_folder(path)


def test_a_folder_that_cannot_be_listed_is_told(image_folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("cam_b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="cam_b cannot be listed .Permission denied.; mend its permissions or move it"):
        list_folder(image_folder)


def test_rejected_images_are_json_lines(tmp_path):
    path = tmp_path / "rejected.jsonl"
    write_rejected(path, [("größe.png", "zero bytes"), (tmp_path / "b.png", "cannot be decoded (OSError)")])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"file_name": "größe.png", "reason": "zero bytes"} and lines[1]["file_name"].endswith("b.png")
    assert "größe" in path.read_text(encoding="utf-8")
    write_rejected(path, [])
    assert path.read_bytes() == b""
