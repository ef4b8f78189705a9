import dataclasses
import json
import subprocess
import sys

import pytest

from dataset_builders.benchmarks.__main__ import main
from dataset_builders.benchmarks.layouts import LAYOUTS, Counts
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person


def entries():
    listed = []
    for person in range(1, 7):
        split = "train" if person < 4 else "val" if person == 4 else "test"
        for view in range(2):
            listed.append(
                {
                    "split": split,
                    "captions": [f"Person {person} walks. ", "A second sentence."],
                    "file_path": f"cam_{'ab'[view]}/{person:04d}_{view}.jpg",
                    "processed_tokens": [["person"], ["a"]],
                    "id": person,
                }
            )
    return listed


HERE = {"train": Counts(3, 6, 12), "val": Counts(1, 2, 4), "test": Counts(2, 4, 8)}


@pytest.fixture(autouse=True)
def as_if_published(monkeypatch):
    """The six people are the whole of CUHK-PEDES, so that nothing but what a test breaks is partial."""
    layout = dataclasses.replace(LAYOUTS["cuhk-pedes"], official=HERE)
    monkeypatch.setitem(LAYOUTS, "cuhk-pedes", layout)


@pytest.fixture
def source(tmp_path):
    """CUHK-PEDES's layout with six people of two views."""
    folder = tmp_path / "CUHK-PEDES"
    for number, entry in enumerate(entries()):
        path = folder / "imgs" / entry["file_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_person(number).save(path)
    (folder / "reid_raw.json").write_text(json.dumps(entries()))
    return folder


def read(source, output, *options):
    main(["cuhk-pedes", "--source", str(source), "--output", str(output), *options])
    return output


def test_splits_people_and_captions_are_the_annotations_own(source, tmp_path, capsys):
    from datasets import load_dataset

    folder = read(source, tmp_path / "out")
    assert "train 6 images of 3 people, val 2 images of 1 people, test 4 images of 2 people" in capsys.readouterr().out
    found = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 6, "val": 2, "test": 4}
    for entry in entries():
        (row,) = [row for row in found[entry["split"]] if row["file_path"] == entry["file_path"]]
        assert row["person_id"] == entry["id"] and row["image_id"] == entry["file_path"][: -len(".jpg")]
        assert row["captions"] == [caption.strip() for caption in entry["captions"]]
        assert row["image"].size == (32, 96)
    assert found["test"].features["person_id"].dtype == "int64"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| test | 2 | 2 | 4 | 4 | 8 | 8 |" in card and "Incomplete" not in card and "Not the official" not in card


def test_missing_images_are_an_error_unless_allowed(source, tmp_path, capsys):
    from datasets import load_dataset

    (source / "imgs/cam_a/0005_0.jpg").unlink()
    with pytest.raises(UserError, match="1 of 12 annotated images are missing.*cam_a/0005_0.jpg; .*--allow-partial"):
        read(source, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()
    folder = read(source, tmp_path / "out", "--allow-partial")
    assert len(load_dataset(str(folder), split="test", cache_dir=str(tmp_path / "cache"))) == 3
    assert json.loads((folder / "rejected.jsonl").read_text()) == {"file_name": "cam_a/0005_0.jpg", "reason": "missing"}
    assert "not comparable" in capsys.readouterr().out
    assert "**Incomplete**: 1 " in (folder / "README.md").read_text(encoding="utf-8")


def test_corrupt_images_are_listed_and_left_out(source, tmp_path, capsys):
    (source / "imgs/cam_a/0001_0.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="1 annotated images .* cam_a/0001_0.jpg .zero bytes.; .*--allow-partial"):
        read(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CUHK-PEDES"]
    folder = read(source, tmp_path / "out", "--allow-partial")
    assert json.loads((folder / "rejected.jsonl").read_text())["reason"] == "zero bytes"
    assert "train 5 images of 3 people" in capsys.readouterr().out


def test_a_split_without_a_readable_image_leaves_nothing(source, tmp_path):
    for path in ("cam_a/0004_0.jpg", "cam_b/0004_1.jpg"):
        (source / "imgs" / path).write_bytes(b"")
    with pytest.raises(
        UserError,
        match="no image of the split 'val' can be used; the first, cam_a/0004_0.jpg, is refused because: zero bytes",
    ):
        read(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CUHK-PEDES"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": None}, r"entry 3 .* lacks the key 'split'; caption_all.json has no splits, give reid_raw.json"),
        ({"id": None}, r"entry 3 .* lacks the key 'id'"),
        ({"split": "testing"}, "has the split 'testing', which is none of train, val, test"),
        ({"captions": []}, "'captions' must be a list of texts"),
        ({"captions": 5}, "'captions' must be a list of texts"),
        ({"captions": ["a man", 5]}, "'captions' must be a list of texts"),
        ({"id": 7.5}, "'id' must be a whole number, not 7.5"),
        ({"id": "7.5"}, "'id' must be a whole number, not '7.5'"),
        ({"id": " "}, "'id' must be a whole number, not ' '"),
        ({"id": "nan"}, "'id' must be a whole number, not 'nan'"),
        ({"id": True}, "'id' must be a whole number, not True"),
        ({"id": 2**63}, "'id' must be a whole number, not 9223372036854775808"),
        ({"file_path": "../../secret.jpg"}, "must be a path below imgs/"),
        ({"file_path": "cam_a/0001_0.jpg"}, "lists 1 images more than once"),
    ],
)
def test_wrong_annotations_are_refused(source, tmp_path, change, message):
    listed = entries()
    listed[3] = {key: value for key, value in (listed[3] | change).items() if value is not None}
    (source / "reid_raw.json").write_text(json.dumps(listed))
    with pytest.raises(UserError, match=message):
        read(source, tmp_path / "out")


@pytest.mark.parametrize(("content", "message"), [("[", "not valid JSON"), ("[]", "not empty"), ("{}", "JSON list")])
def test_an_annotation_that_is_no_list_is_refused(source, tmp_path, content, message):
    (source / "reid_raw.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read(source, tmp_path / "out")


def test_a_wrong_folder_is_explained(source, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        read(tmp_path / "nowhere", tmp_path / "out")
    (source / "reid_raw.json").rename(source / "caption_all.json")
    with pytest.raises(UserError, match="caption_all.json, which does not say the split.*needs reid_raw.json"):
        read(source, tmp_path / "out")
    (source / "caption_all.json").unlink()
    with pytest.raises(UserError, match="holds no reid_raw.json"):
        read(source, tmp_path / "out")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "reid_raw.json").write_text(json.dumps(entries()))
    with pytest.raises(UserError, match="no folder imgs/"):
        read(tmp_path / "bare", tmp_path / "out")


def test_the_command_fails_without_a_traceback_and_leaves_complete_outputs_alone(source, tmp_path):
    def run(*arguments):  # another process, which knows the published numbers only
        command = [sys.executable, "-m", "dataset_builders.benchmarks", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    failed = run("cuhk-pedes", "--source", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and "Traceback" not in failed.stderr
    read(source, tmp_path / "out")
    again = run("cuhk-pedes", "--source", source, "--output", tmp_path / "out", "--allow-partial")
    assert again.returncode == 0 and "already complete" in again.stderr
    draw_person(99, height=48).save(source / "imgs/cam_a/0001_0.jpg")
    other = run("cuhk-pedes", "--source", source, "--output", tmp_path / "out", "--allow-partial")
    assert other.returncode == 2 and "made with other settings: images was" in other.stderr
    assert all(name in run("--help").stdout for name in LAYOUTS)
