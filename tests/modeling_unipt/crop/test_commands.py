"""`unipt crop` as a user runs it: what it writes, and one sentence for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, RTDetrForObjectDetection

from modeling_unipt.cli import main
from modeling_unipt.crop import hog, object_detector
from modeling_unipt.crop.boxes import iou
from modeling_unipt.crop.frames import Frame
from tests.helpers.folders import contents
from tests.helpers.paths import ROOT
from tests.helpers.street_video import write_video


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of a command in this process."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code, *capsys.readouterr()


@pytest.fixture
def refusal(capsys, tmp_path):
    """The one sentence that `unipt crop` ends with; nothing may be written."""

    def refuse(*arguments, output=None):
        status, out, err = run(capsys, "crop", *arguments, "--output", output or tmp_path / "crops")
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert status == 2 and out == "" and len(errors) == 1 and "Traceback" not in err, err
        assert output or not list(tmp_path.glob("crops*"))
        return errors[0].removeprefix("error: ")

    return refuse


@pytest.fixture(scope="module")
def empty_street(tmp_path_factory):
    """A video of one second in which nothing is seen."""
    grey = np.full((96, 128, 3), 120, np.uint8)
    return write_video(tmp_path_factory.mktemp("empty") / "empty.mp4", [grey] * 10)


def test_help_teaches(capsys):
    status, out, _ = run(capsys, "crop", "--help")
    assert status == 0
    for word in ("metadata.jsonl", "RT-DETR", "continues where it was", "unipt index crops --metadata", "--fps"):
        assert word in out
    assert "crop " in run(capsys, "--help")[1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--every", "0"], "--every is '0'; it must be a whole number of at least 1"),
        (["--every", "two"], "--every is 'two'; it must be a whole number"),
        (["--fps", "-1"], "--fps is '-1'; it must be a number from 0.001 to 1000"),
        (["--fps", "nan"], "--fps is 'nan'; it must be a number"),
        (["--every", "2", "--fps", "2"], "--every and --fps both say which frames"),
        (["--min-score", "2"], "--min-score is '2'; it must be a number from 0 to 1"),
        (["--margin", "x"], "--margin is 'x'; it must be a number from 0 to 1"),
        (["--smallest", "0"], "--smallest is '0'; it must be a number from 0.02 to 1"),
        (["--smallest", "0.1", "--detector", "x/y"], "--smallest is an option of the detector hog"),
        (["--single-images"], "--single-images is for folders of images, and a video was given"),
        (["--fps", "1", "--fps", "2"], "--fps is given twice"),
    ],
)
def test_options_that_cannot_be_meant(refusal, empty_street, options, told):
    assert told in refusal(empty_street, *options)


def test_fps_of_a_folder_of_images(refusal, tmp_path):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "frames" / "1.png")
    assert "--fps needs videos" in refusal(tmp_path / "frames", "--fps", "2")


def test_sources_that_are_none(refusal, tmp_path):
    assert "does not exist; give a video" in refusal(tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    assert "is no video that FFmpeg can read" in refusal(tmp_path / "text.mp4")


def test_nobody_found_writes_nothing(refusal, empty_street):
    told = refusal(empty_street)
    assert "no person was found in 5 frames, so nothing is written; try --smallest 0.1" in told


def test_no_frame_decoded_writes_nothing(refusal, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"broken")
    assert "none of 1 frames could be decoded" in refusal(tmp_path / "frames")


def test_outputs_that_cannot_be(refusal, empty_street, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "exists and was not made by this command" in refusal(empty_street, output=tmp_path / "full")
    assert "cannot be made" in refusal(empty_street, output=tmp_path / "full" / "mine.txt" / "crops")
    inside = tmp_path / "frames" / "new"
    inside.parent.mkdir()
    assert f"{inside} lies in {inside.parent}, and its crops would be" in refusal(inside.parent, output=inside)


def test_detectors_that_cannot_be_used(refusal, empty_street, tmp_path, tiny_clip_folder, rtdetr):
    video = empty_street
    assert "detector folder ./nowhere does not exist" in refusal(video, "--detector", "./nowhere")
    (tmp_path / "nothing").mkdir()
    assert "holds no config.json" in refusal(video, "--detector", tmp_path / "nothing")
    assert "is a file; give the detector's folder" in refusal(video, "--detector", video)
    told = refusal(video, "--detector", tiny_clip_folder)
    assert "holds a clip model, which detects no objects" in told
    assert "neither 'hog' nor a folder here" in refusal(video, "--detector", "nobody/nothing")
    told = refusal(video, "--detector", changed(rtdetr, tmp_path / "cars", labels={0: "bicycle", 1: "car"}))
    assert "has no class 'person', only bicycle, car; name one that knows people" in told
    lacking = changed(rtdetr, tmp_path / "lacking")
    (lacking / "model.safetensors").unlink()
    assert "the weights of" in refusal(video, "--detector", lacking)
    lacking = changed(rtdetr, tmp_path / "no-processor")
    (lacking / "preprocessor_config.json").unlink()
    assert "the image processor of" in refusal(video, "--detector", lacking)


def changed(folder, copy, labels=None):
    """A copy of a model's folder, with other labels."""
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    if labels:
        config = json.loads((copy / "config.json").read_text())
        config["id2label"] = labels
        config["label2id"] = {label: number for number, label in labels.items()}
        (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_packages_that_are_missing_are_named(refusal, empty_street, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert "needs PyAV; run `pip install 'unipt[video]'`" in refusal(empty_street)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "the offline detector needs OpenCV; run `pip install 'unipt[video]'`" in refusal(empty_street)
    monkeypatch.undo()
    monkeypatch.delattr(hog.load_cv2(), "HOGDescriptor")
    assert "has no HOG detector; run `pip uninstall opencv-python" in refusal(empty_street)


def test_a_random_rtdetr_crops_by_the_same_command(capsys, street, rtdetr, tmp_path):
    output = tmp_path / "crops"
    options = ["--detector", rtdetr, "--every", "25", "--min-score", "0.3", "--cpu"]
    status, out, err = run(capsys, "crop", street[0], *options, "--output", output)
    assert status == 0, err
    rows = [json.loads(line) for line in (output / "metadata.jsonl").read_text().splitlines()]
    assert rows and f"{len(rows)} crops of" in out and "from 2 frames" in out and "next: unipt index" in err
    assert json.loads((output / "build_settings.json").read_text())["detector"] == str(rtdetr)
    assert all(row["score"] >= 0.3 for row in rows) and {row["frame"] for row in rows} == {0, 25}
    # Complete is complete; other settings are another output.
    assert "is already complete" in run(capsys, "crop", street[0], *options, "--output", output)[2]
    status, _, err = run(capsys, "crop", street[0], *options, "--margin", "0.1", "--output", output)
    assert status == 2 and "margin was 0.05 and is now 0.1" in err


def test_an_object_detector_gives_what_transformers_gives(rtdetr, tmp_path):
    """Of the class person only, whatever its number is."""
    image = np.asarray(Image.effect_noise((120, 90), 80).convert("RGB"))
    processor = AutoImageProcessor.from_pretrained(rtdetr, backend="pil")
    model = RTDetrForObjectDetection.from_pretrained(rtdetr).eval()
    with torch.no_grad():
        outputs = model(**processor(images=Image.fromarray(image), return_tensors="pt"))
    (expected,) = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=[image.shape[:2]])
    swapped = changed(rtdetr, tmp_path / "swapped", labels={0: "Person", 1: "bicycle"})
    total = 0
    for folder, number in ((rtdetr, 1), (swapped, 0)):
        people = expected["labels"] == number
        found = object_detector.ObjectDetector(str(folder), "cpu").detect(Frame(0, None, "", image))
        assert [each.box for each in found] == [tuple(box) for box in expected["boxes"][people].tolist()]
        assert [each.score for each in found] == expected["scores"][people].tolist()
        total += len(found)
    assert total == len(expected["labels"]) == 6


@pytest.mark.slow
def test_the_offline_detector_finds_the_people_of_a_rendered_video(capsys, street, tmp_path):
    video, truth = street
    output = tmp_path / "crops"
    status, out, err = run(capsys, "crop", video, "--output", output)
    assert status == 0, err
    rows = [json.loads(line) for line in (output / "metadata.jsonl").read_text().splitlines()]
    found = false = people = 0
    for number in range(0, 50, 2):
        boxes = [(row["left"], row["top"], row["right"], row["bottom"]) for row in rows if row["frame"] == number]
        hits = [max((iou(box, true) for box in boxes), default=0) >= 0.5 for _, true in truth[number]]
        found += sum(hits)
        people += len(hits)
        false += max(len(boxes) - sum(hits), 0)
    assert found >= 0.8 * people and false <= 0.2 * people, (found, false, people)
    # Nobody's track is torn into many, and no two people share one.
    assert len({row["track"] for row in rows}) <= 5


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(street, tmp_path):
    def command(output):
        words = ["crop", street[0], "--every", "1", "--output", output]
        return [sys.executable, "-m", "modeling_unipt.cli", *map(str, words)]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command(tmp_path / "whole"), cwd=ROOT, env=environment, check=True, capture_output=True)
    process = subprocess.Popen(command(tmp_path / "killed"), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    # The first crop is written long before the last one.
    while not list(tmp_path.glob("killed.partial/*/*.jpg")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    subprocess.run(command(tmp_path / "killed"), cwd=ROOT, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
