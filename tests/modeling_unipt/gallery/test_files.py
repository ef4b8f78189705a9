"""A gallery on disk: what was committed survives damage to the index, other writers and kill -9 at any moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow
import pytest

from modeling_unipt import PersonGallery
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.gallery import gallery as gallery_module
from modeling_unipt.gallery.files import GalleryFiles
from tests.helpers.people import draw_person

QUERY = "a young man in a red coat"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def gallery(image_folder, model_and_processor):
    return PersonGallery.from_folder(image_folder, model_and_processor, batch_size=4)


@pytest.fixture
def saved(gallery, tmp_path):
    gallery.save(tmp_path / "gallery")
    return tmp_path / "gallery"


def manifest(folder):
    return json.loads((folder / "gallery.json").read_text())


def index_file(folder):
    return folder / manifest(folder)["index"]["file"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("index", [None, "hnsw", "ivf"])
def test_saved_gallery_gives_identical_results(image_folder, model_and_processor, tmp_path, index):
    gallery = PersonGallery.from_folder(image_folder, model_and_processor, index=index)
    gallery.save(tmp_path / "gallery")
    loaded = PersonGallery.load(tmp_path / "gallery")
    assert loaded.search(QUERY) == gallery.search(QUERY) and len(loaded.search(QUERY)) == 6
    assert loaded.index.kind == gallery.index.kind == (index or "exact")
    assert loaded.rejected == gallery.rejected
    rejected = (tmp_path / "gallery" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["file_name"] for line in rejected] == ["empty.jpg", "torn.png"]
    loaded.save(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "gallery")


def test_saving_again_leaves_it_alone_and_another_gallery_is_refused(gallery, image_folder, tmp_path, caplog):
    caplog.set_level("INFO")
    gallery.save(tmp_path / "gallery")
    before = contents(tmp_path / "gallery")
    gallery.save(tmp_path / "gallery")
    pair = (gallery.model, gallery.processor)
    PersonGallery.from_folder(image_folder, pair).save(tmp_path / "gallery")
    assert "already complete" in caplog.text and contents(tmp_path / "gallery") == before
    (image_folder / "person_0.png").unlink()
    with pytest.raises(UserError, match="listing was .* and is now"):
        PersonGallery.from_folder(image_folder, pair).save(tmp_path / "gallery")


def test_what_is_added_and_removed_is_on_disk_at_once(gallery, saved, image_folder, monkeypatch):
    monkeypatch.setattr(gallery_module, "SEGMENT_ROWS", 2)
    first = contents(saved)
    for seed in range(10, 15):
        draw_person(seed).save(image_folder / f"new_{seed}.png")
    gallery.add(image_folder, batch_size=2)
    gallery.remove(["person_1.png", "new_12.png"])
    loaded = PersonGallery.load(saved, (gallery.model, gallery.processor))
    assert len(loaded) == 9 and loaded.search(QUERY) == gallery.search(QUERY)
    now = contents(saved)
    assert now["rows-00000.parquet"] == first["rows-00000.parquet"]
    assert [entry["rows"] for entry in manifest(saved)["segments"]] == [6, 2, 2, 1]
    # Anybody can read the rows, and a copy holds only what is left
    rows = pyarrow.parquet.read_table(saved / "rows-00001.parquet").to_pylist()
    assert [row["file_name"] for row in rows] == ["new_10.png", "new_11.png"]
    np.testing.assert_array_equal(rows[0]["embedding"], loaded.embedding_of(loaded.file_names.index("new_10.png")))
    loaded.save(saved.with_name("copy"))
    assert sum(entry["rows"] for entry in manifest(saved.with_name("copy"))["segments"]) == 9
    copy = PersonGallery.load(saved.with_name("copy"), (gallery.model, gallery.processor))
    assert copy.search(QUERY) == loaded.search(QUERY)


def test_a_gallery_from_memory_forgets_what_was_removed_when_saved(gallery, tmp_path):
    gallery.remove("person_1.png")
    found = gallery.search(QUERY)
    gallery.save(tmp_path / "gallery")
    assert manifest(tmp_path / "gallery")["segments"][0]["rows"] == 5
    assert gallery.search(QUERY) == found
    gallery.remove("person_2.png")
    assert len(PersonGallery.open(tmp_path / "gallery")) == 4


def test_another_model_is_refused_with_both_names(saved, tiny_config, tiny_processor, tiny_unipt_folder, tmp_path):
    from modeling_unipt import UniPTModel

    UniPTModel(tiny_config()).save_pretrained(tmp_path / "other")
    tiny_processor.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=f"embedded by {tiny_unipt_folder} .* cannot be searched with {tmp_path}/other"):
        PersonGallery.load(saved, model=tmp_path / "other")


def test_a_moved_model_can_be_named(gallery, saved, tiny_unipt_folder, tmp_path):
    moved = shutil.copytree(tiny_unipt_folder, tmp_path / "moved")
    assert PersonGallery.load(saved, model=moved).search(QUERY) == gallery.search(QUERY)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "is truncated or foreign"),
        (flip, "is damaged or foreign"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"not FAISS"), "is truncated or foreign"),
    ],
)
def test_a_broken_index_is_made_again_from_the_rows(
    image_folder, model_and_processor, tmp_path, caplog, kind, damage, message
):
    gallery = PersonGallery.from_folder(image_folder, model_and_processor, index=kind)
    gallery.save(tmp_path / "gallery")
    gallery.remove("person_0.png")
    damage(index_file(tmp_path / "gallery"))
    assert message in PersonGallery.open(tmp_path / "gallery").info()["index"]["trouble"]
    loaded = PersonGallery.load(tmp_path / "gallery", model_and_processor)
    (told,) = caplog.messages
    assert message in told and "made again from the Parquet rows" in told and "\n" not in told
    assert loaded.search(QUERY) == gallery.search(QUERY) and loaded.index.kind == kind
    caplog.clear()
    PersonGallery.load(tmp_path / "gallery", model_and_processor)
    assert caplog.messages == []


def test_a_foreign_index_of_its_own_size_and_checksum_is_recognised(gallery, saved, tmp_path, caplog):
    """Another gallery's index, listed as if it were this one's."""
    draw_person(50).save(tmp_path / "one.png")
    one = PersonGallery(gallery.model, gallery.processor, index="hnsw")
    one.add(tmp_path / "one.png")
    one.save(tmp_path / "other")
    shutil.copy(index_file(tmp_path / "other"), index_file(saved))
    listed = manifest(saved)
    foreign = manifest(tmp_path / "other")["index"]
    listed["index"] |= {"bytes": foreign["bytes"], "sha256": foreign["sha256"]}
    (saved / "gallery.json").write_text(json.dumps(listed))
    loaded = PersonGallery.load(saved, (gallery.model, gallery.processor))
    assert "does not fit the gallery; made again" in caplog.text
    assert loaded.search(QUERY) == gallery.search(QUERY)


def remove_manifest(folder):
    (folder / "gallery.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda folder: (folder / "gallery.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "gallery.json").write_text(LFS), r"gallery\.json is a Git LFS pointer"),
        (lambda folder: next(folder.glob("*.parquet")).write_text(LFS), r"\.parquet is a Git LFS pointer"),
        (lambda folder: (folder / "gallery.json").write_text("[]"), "is damaged"),
        (lambda folder: (folder / "gallery.json").write_text('{"format": 1}'), "not of a format this version reads"),
        (remove_manifest, "is not a gallery"),
        (lambda folder: truncate(folder / "rows-00000.parquet"), "damaged or incomplete .rows-00000.parquet"),
        (lambda folder: (folder / "rows-00000.parquet").unlink(), "damaged or incomplete"),
        (lambda folder: (folder / "removed-00000.parquet").unlink(), "damaged or incomplete .removed-00000.parquet"),
        (lambda folder: (folder / "rejected.jsonl").unlink(), "rejected.jsonl is missing or damaged"),
    ],
)
def test_damage_that_cannot_be_mended_is_told(gallery, saved, damage, message):
    gallery.remove("person_0.png")
    damage(saved)
    with pytest.raises(UserError, match=message):
        PersonGallery.load(saved)


def test_one_writes_at_a_time(gallery, saved, image_folder):
    other = PersonGallery.load(saved, (gallery.model, gallery.processor))
    draw_person(9).save(image_folder / "new.png")
    with GalleryFiles.open(saved).writing():
        with pytest.raises(UserError, match="another process is writing to gallery"):
            other.add(image_folder)
        with pytest.raises(UserError, match="another process is writing to gallery"):
            other.remove("person_0.png")
    assert len(other) == 6
    assert gallery.add(image_folder).added == 1
    with pytest.raises(UserError, match="was changed by another process; load it again"):
        other.add(image_folder)
    assert len(PersonGallery.open(saved)) == 7


def test_a_gallery_that_somebody_writes_to_is_searched_from_memory(gallery, saved, caplog):
    index_file(saved).unlink()
    with GalleryFiles.open(saved).writing():
        loaded = PersonGallery.load(saved, (gallery.model, gallery.processor))
    assert "the index was made but cannot be saved" in caplog.text
    assert loaded.search(QUERY) == gallery.search(QUERY)


@pytest.mark.parametrize("calls_until_full", [1, 3])
def test_a_full_disk_is_told_and_changes_nothing(gallery, saved, image_folder, monkeypatch, calls_until_full):
    found, synchronise, calls = gallery.search(QUERY), os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == calls_until_full:
            raise OSError(28, "No space left on device")
        synchronise(descriptor)

    draw_person(9).save(image_folder / "new.png")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written .No space left on device.; what the gallery held before"):
        gallery.add(image_folder)
    assert len(gallery) == 6 and gallery.search(QUERY) == found
    assert PersonGallery.load(saved, (gallery.model, gallery.processor)).search(QUERY) == found
    assert not list(saved.glob("*aside*")) and not list(saved.glob(".aside*"))
    assert gallery.add(image_folder).added == 1


DIES_AT_STEP = """
import os, signal, sys
import numpy as np, pyarrow
from modeling_unipt.gallery.files import GalleryFiles
from modeling_unipt.gallery.vector_index import VectorIndex

folder, steps, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
files, replace = GalleryFiles.open(folder), os.replace

def die(aside, path):
    global steps
    steps -= 1
    if steps == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(aside, path)
    if steps == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = die
vectors = np.eye(24, dtype=np.float32)[:2]
rows = pyarrow.table({"content_hash": ["x", "y"], "file_name": ["x.png", "y.png"]})
with files.writing():
    files.commit(7, rows, vectors, [0], VectorIndex.build(vectors), [("z.png", "zero bytes")])
"""


def dies(program, *arguments):
    finished = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, timeout=120)
    assert finished.returncode == -signal.SIGKILL, finished.stderr


@pytest.mark.parametrize(
    ("step", "when"),
    # rows, removed, index, rejected.jsonl, the manifest
    [(1, "before"), (2, "after"), (3, "after"), (5, "before"), (5, "after")],
)
def test_killed_within_a_commit_it_is_as_before_or_after(gallery, saved, image_folder, step, when):
    before, found = len(gallery), gallery.search(QUERY)
    dies(DIES_AT_STEP, saved, step, when)
    opened = PersonGallery.open(saved)
    if (step, when) == (5, "after"):
        assert len(opened) == 7 and opened.file_names[-2:] == ["x.png", "y.png"]
        return
    loaded = PersonGallery.load(saved, (gallery.model, gallery.processor))
    assert len(opened) == before and loaded.search(QUERY) == found
    draw_person(9).save(image_folder / "new.png")
    assert loaded.add(image_folder).added == 1  # what lies about is no hindrance, and is cleared
    listed = manifest(saved)
    files = {entry["file"] for entry in [*listed["segments"], *listed["removals"], listed["index"]]}
    assert {path.name for path in saved.iterdir()} == files | {
        "gallery.json", "rejected.jsonl", "build_settings.json", ".lock"
    }  # fmt: skip


ADDS = """
import sys
from modeling_unipt import PersonGallery
from modeling_unipt.gallery import gallery
gallery.SEGMENT_ROWS = 3
people = PersonGallery.load(sys.argv[1])
print("ready", flush=True)
people.add(sys.argv[2], batch_size=1)
"""
SAVES = """
import sys, time
from modeling_unipt import PersonGallery
people = PersonGallery.load(sys.argv[1])
begun = time.perf_counter()
people.save(sys.argv[2] + "-warm")
print(time.perf_counter() - begun, flush=True)
people.save(sys.argv[2])
"""


def start(program, *arguments):
    """The process, once it says that it begins, and what it says."""
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    return process, process.stdout.readline().decode().strip()


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def make_crops(folder, count):
    folder.mkdir()
    for seed in range(count):
        draw_person(100 + seed).save(folder / f"{seed:03d}.png")
    return folder


def check_after_kill(saved, crops, before, model_and_processor):
    """All that was committed is there, and the same command brings the rest."""
    known = {result.path: result.score for result in before.search(QUERY, 100)}
    killed = PersonGallery.load(saved, model_and_processor)
    found = {result.path: result.score for result in killed.search(QUERY, 1000)}
    assert known.items() <= found.items()
    assert (len(killed) - len(before)) % 3 == 0 or len(killed) == len(before) + len(list(crops.iterdir()))
    added = len(killed) - len(before)
    assert killed.add(crops).unchanged == added
    whole = PersonGallery.load(saved, model_and_processor)
    assert len(whole) == len(before) + len(list(crops.iterdir()))
    assert len(set(whole.ids)) == len(whole)
    return added


def kill_after_segments(saved, crops, segments, seconds=0.0):
    """Kills an adding process ``seconds`` after it has committed so many segments of three rows."""
    process, _ = start(ADDS, saved, crops)
    while len(manifest(saved)["segments"]) <= segments and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(seconds)
    kill(process)


def test_killed_while_adding_nothing_committed_is_lost(gallery, saved, tmp_path):
    crops = make_crops(tmp_path / "more", 30)
    kill_after_segments(saved, crops, 2)
    assert check_after_kill(saved, crops, gallery, (gallery.model, gallery.processor)) >= 6


@pytest.mark.slow
def test_killed_while_adding_at_ten_moments(gallery, saved, tmp_path):
    crops, moments, added = make_crops(tmp_path / "more", 60), random.Random(0), []
    for moment, segments in enumerate(moments.sample(range(20), 10)):
        folder = shutil.copytree(saved, tmp_path / f"killed-{moment}")
        kill_after_segments(folder, crops, segments, moments.uniform(0, 0.01))
        added.append(check_after_kill(folder, crops, gallery, (gallery.model, gallery.processor)))
    assert len(set(added)) > 2, added  # the moments were not all before or after


@pytest.mark.slow
def test_killed_while_saving_at_ten_moments(gallery, saved, tmp_path):
    moments, before, complete = random.Random(1), contents(saved), 0
    found = gallery.search(QUERY)
    for moment in range(10):
        output = tmp_path / f"out-{moment}"
        process, seconds = start(SAVES, saved, output)
        time.sleep(moments.uniform(0, float(seconds)))
        kill(process)
        assert contents(saved) == before
        complete += output.exists()
        if output.exists():
            assert PersonGallery.load(output, (gallery.model, gallery.processor)).search(QUERY) == found
        again = PersonGallery.load(saved, (gallery.model, gallery.processor))
        again.save(output)
        assert contents(output) == contents(tmp_path / f"out-{moment}-warm")
    assert complete < 10


def test_a_gallery_that_cannot_be_written_to_is_searched_and_its_changes_are_refused(gallery, saved, image_folder):
    """A folder in place of the lock file stops root too, whom permissions do not stop."""
    (saved / ".lock").unlink()
    (saved / ".lock").mkdir()
    before = {path.name for path in saved.iterdir()}
    loaded = PersonGallery.load(saved, (gallery.model, gallery.processor))
    assert loaded.search(QUERY) == gallery.search(QUERY)
    for change in (lambda: loaded.add(image_folder), lambda: loaded.remove("person_0.png")):
        with pytest.raises(UserError, match="gallery .* cannot be changed"):
            change()
    assert {path.name for path in saved.iterdir()} == before


def test_a_gallery_of_version_0_1_has_no_lock_file_and_its_leftovers_are_cleared(gallery, saved):
    (saved / ".lock").unlink()
    for name in ("rows-00009.parquet.aside", ".aside-gallery.json"):
        (saved / name).write_text("half")
    size = PersonGallery.open(saved).info()["bytes"] - 2 * len("half")
    assert PersonGallery.open(saved).remove("person_0.png") == 1
    assert (saved / ".lock").exists() and not [path for path in saved.iterdir() if "aside" in path.name]
    (saved / ".lock").write_text("not counted")
    listed = manifest(saved)
    files = ["gallery.json", "rejected.jsonl", "build_settings.json"]
    files += [entry["file"] for entry in [*listed["segments"], *listed["removals"], listed["index"]]]
    assert size < PersonGallery.open(saved).info()["bytes"] == sum((saved / name).stat().st_size for name in files)
