"""Crops and their table, with a detector that knows where the people are."""

import errno
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from modeling_unipt.common.atomic_files import PREFIX
from modeling_unipt.crop import cropping, writing
from modeling_unipt.crop.boxes import Detection
from modeling_unipt.crop.cropping import CropOptions, write_crops
from modeling_unipt.crop.detectors import Detector
from modeling_unipt.crop.frames import Choice
from modeling_unipt.crop.open import open_sources
from modeling_unipt.crop.writing import crop_of, folder_names
from modeling_unipt.gallery.metadata import read_metadata
from tests.helpers.folders import contents

OPTIONS = CropOptions(Choice(2, None), 0.5, 0.0)


class Knowing(Detector):
    """Finds the true boxes; the first person surely, the second one less so, and a thing that is no person."""

    least_score = 0.5

    def __init__(self, truth, threads=1):
        self.truth = truth
        self.threads = threads

    def detect(self, frame):
        found = [
            Detection(tuple(map(float, box)), 0.9 - 0.2 * place)
            for place, (_, box) in enumerate(self.truth[frame.number])
        ]
        return [*reversed(found), Detection((0.0, 0.0, 30.0, 60.0), 0.3)]


@pytest.fixture(scope="module")
def cropped(street, tmp_path_factory):
    """(folder, report) of the whole video."""
    video, truth = street
    folder = tmp_path_factory.mktemp("crops")
    return folder, write_crops(open_sources([str(video)]), Knowing(truth), OPTIONS, folder)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_every_person_of_every_frame_is_cropped_and_told(cropped, street):
    folder, report = cropped
    video, truth = street
    rows = rows_of(folder)
    assert report.frames == 25 and report.crops == len(rows) == sum(len(boxes) for boxes in truth[::2]) > 40
    for row in rows:
        boxes = [box for _, box in truth[row["frame"]]]
        assert (row["left"], row["top"], row["right"], row["bottom"]) in boxes
        assert row["time"] == row["frame"] / 10 and row["source"] == str(video) and row["camera"] == "street"
        with Image.open(folder / row["file_name"]) as crop:
            assert crop.size == (row["right"] - row["left"], row["bottom"] - row["top"]) and crop.format == "JPEG"
    assert {row["score"] for row in rows} == {0.9, 0.7}
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")) == sorted(
        row["file_name"] for row in rows
    )
    assert (folder / "rejected.jsonl").read_bytes() == b""


def test_a_track_is_one_person(cropped, street):
    folder, report = cropped
    people = {}
    for row in rows_of(folder):
        box = (row["left"], row["top"], row["right"], row["bottom"])
        (person,) = [number for number, true_box in street[1][row["frame"]] if true_box == box]
        people.setdefault(row["track"], set()).add(person)
    assert sorted(map(sorted, people.values())) == [[4], [7]] and report.tracks == 2


def test_the_table_is_metadata_of_a_gallery(cropped):
    folder, report = cropped
    table = read_metadata(folder / "metadata.jsonl")
    assert len(table) == report.crops
    assert {str(table.schema.field(name).type) for name in ("frame", "left", "track")} == {"int64"}
    assert str(table.schema.field("time").type) == "double"


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("stop", [0, 6, 9, 17])
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(cropped, street, tmp_path, monkeypatch, threads, stop):
    """It is stopped when crop number ``stop`` is about to be written, and again four crops later."""
    monkeypatch.setattr(cropping, "FRAMES_PER_COMMIT", 4)
    sources = open_sources([str(street[0])])
    real = writing.CropWriter.put_crop
    left = 0

    def stopping(writer, *arguments):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        real(writer, *arguments)

    monkeypatch.setattr(writing.CropWriter, "put_crop", stopping)
    for left in (stop, 10):  # noqa: B007
        with pytest.raises(KeyboardInterrupt):
            write_crops(sources, Knowing(street[1], threads), OPTIONS, tmp_path)
    left = math.inf
    report = write_crops(sources, Knowing(street[1], threads), OPTIONS, tmp_path)
    assert contents(tmp_path) == contents(cropped[0]) and report == cropped[1]


def test_what_a_commit_counts_is_not_looked_at_again(street, tmp_path, monkeypatch):
    monkeypatch.setattr(cropping, "FRAMES_PER_COMMIT", 5)
    sources = open_sources([str(street[0])])
    seen = []

    class Stopping(Knowing):
        def detect(self, frame):
            seen.append(frame.number)
            if len(seen) == 13:
                raise KeyboardInterrupt
            return super().detect(frame)

    with pytest.raises(KeyboardInterrupt):
        write_crops(sources, Stopping(street[1]), OPTIONS, tmp_path)
    write_crops(sources, Stopping(street[1]), OPTIONS, tmp_path)
    # The thirteenth frame is number 24; the last commit was after ten frames, of which one more was read ahead at most.
    assert seen[13] in (16, 18, 20) and seen[-1] == 48


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(cropped, street, tmp_path, monkeypatch):
    sources = open_sources([str(street[0])])
    written = 0

    def full(path, data):
        nonlocal written
        written += 1
        if written == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        with open(path, "wb") as file:
            return file.write(data)

    monkeypatch.setattr(writing.Path, "write_bytes", full)
    with pytest.raises(OSError) as raised:
        write_crops(sources, Knowing(street[1]), OPTIONS, tmp_path)
    assert raised.value.errno == errno.ENOSPC and raised.value.filename.endswith(".jpg")
    write_crops(sources, Knowing(street[1]), OPTIONS, tmp_path)
    assert contents(tmp_path) == contents(cropped[0])
    assert not list(tmp_path.rglob(f"{PREFIX}*"))


def test_frames_that_cannot_be_decoded_are_listed_and_left_out(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 60), (0, 60 * number, 0)).save(frames / f"{number}.png")
    (frames / "2.png").write_bytes((frames / "2.png").read_bytes()[:40])
    truth = [[(0, (5, 5, 25, 55))]] * 4
    output = tmp_path / "crops"
    report = write_crops(
        open_sources([str(frames)]), Knowing(truth), CropOptions(Choice(1, None), 0.5, 0.0), output_of(output)
    )
    assert (report.frames, report.rejected, report.crops) == (4, 1, 3)
    (rejected,) = map(json.loads, (output / "rejected.jsonl").read_text().splitlines())
    assert rejected["source"] == str(frames / "2.png") and rejected["frame"] == 2
    rows = rows_of(output)
    assert [row["source"] for row in rows] == [str(frames / f"{number}.png") for number in (0, 1, 3)]
    assert all("time" not in row for row in rows) and {row["track"] for row in rows} == {1}


def test_the_table_leads_to_the_frame_from_any_working_folder(tmp_path, monkeypatch):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (40, 60)).save(tmp_path / "frames" / "1.png")
    monkeypatch.chdir(tmp_path)
    sources = open_sources(["frames"])
    write_crops(sources, Knowing([[(0, (5, 5, 25, 55))]]), OPTIONS, output_of(tmp_path / "crops"))
    assert [row["source"] for row in rows_of(tmp_path / "crops")] == [str(tmp_path / "frames" / "1.png")]


def output_of(folder):
    folder.mkdir()
    return folder


def test_single_images_have_no_tracks(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(2):
        Image.new("RGB", (60, 60)).save(frames / f"{number}.png")
    truth = [[(0, (5, 5, 25, 55)), (1, (30, 5, 50, 55))]] * 2
    sources = open_sources([str(frames)], single_images=True)
    report = write_crops(sources, Knowing(truth), CropOptions(Choice(1, None), 0.5, 0.0), output_of(tmp_path / "crops"))
    rows = rows_of(tmp_path / "crops")
    assert report.tracks == 0 and all("track" not in row for row in rows)
    assert [row["file_name"] for row in rows] == [f"frames/000000{n}_p{p}.jpg" for n in (0, 1) for p in (1, 2)]


def test_tracks_of_the_next_video_get_numbers_of_their_own(street, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(street[0].read_bytes())
    sources = open_sources([str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")])
    report = write_crops(sources, Knowing(street[1]), OPTIONS, output_of(tmp_path / "crops"))
    tracks = {}
    for row in rows_of(tmp_path / "crops"):
        tracks.setdefault(row["camera"], set()).add(row["track"])
    assert tracks == {"a": {1, 2}, "b": {3, 4}} and report.tracks == 4


def test_a_crop_has_its_margin_and_stays_in_the_frame():
    image = np.zeros((100, 200, 3), np.uint8)
    sizes = {}
    for box in ((50, 20, 70, 60), (0, 0, 20, 100), (-30, -20, 20, 50)):
        with Image.open(io.BytesIO(crop_of(image, box, 0.1))) as crop:
            sizes[box] = crop.size
    assert sizes == {(50, 20, 70, 60): (24, 48), (0, 0, 20, 100): (22, 100), (-30, -20, 20, 50): (25, 57)}
    assert crop_of(image, (198, 20, 240, 80), 0.0) is None


def test_folders_of_crops_have_plain_names_of_their_own(tmp_path):
    class Source:
        def __init__(self, name):
            self.path = tmp_path / name

    names = [
        "a b.mp4",
        "b/a_b.mkv",
        "ünï.mp4",
        "....mp4",
        "A B.mp4",
        b"\xff\xfe.mp4".decode("utf-8", "surrogateescape"),
    ]
    found = folder_names([Source(name) for name in names])
    assert found == ["a_b", "a_b_2", "n", "frames", "A_B_3", "frames_2"]
