"""The unipt command, run as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from PIL import Image

from modeling_unipt import UniPTModel
from modeling_unipt.cli import main
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person


def unipt(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "modeling_unipt.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(*arguments):
    process = unipt(*arguments)
    assert process.returncode == 2, (process.stdout, process.stderr)
    assert process.stdout == ""
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    return process.stderr


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, tiny_unipt_folder):
    """(gallery, image folder) as `unipt index` leaves them."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "crops").mkdir()
    for index in range(4):
        draw_person(index).save(folder / "crops" / f"{index}.png")
    (folder / "crops" / "broken.jpg").write_bytes(b"broken")
    process = unipt("index", folder / "crops", "--model", tiny_unipt_folder, "--output", folder / "gallery")
    assert process.returncode == 0, process.stderr
    assert "4 images indexed" in process.stdout and "1 of 5 could not be read" in process.stdout
    assert "embedding images" in process.stderr
    return folder / "gallery", folder / "crops"


def test_search_prints_json_and_writes_a_contact_sheet(indexed, tmp_path):
    gallery, crops = indexed
    sheet = tmp_path / "found.png"
    process = unipt("search", gallery, "a man in a red coat", "--top-k", 3, "--json", "--contact-sheet", sheet)
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert answer["query"] == "a man in a red coat"
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3]
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(Path(result["path"]).parent == crops for result in answer["results"])
    assert Image.open(sheet).size[0] > 400


def run_in_process(capsys, *arguments):
    """The same command without a new interpreter: (exit status, stdout, stderr)."""
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    return stopped.value.code, *capsys.readouterr()


def test_search_prints_rank_score_and_path(indexed, capsys):
    gallery, crops = indexed
    status, out, _ = run_in_process(capsys, "search", gallery, "an", "old", "woman", "--top-k", "2")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["1", "2"]
    assert float(lines[0][1]) >= float(lines[1][1])
    assert all(Path(line[2]).parent == crops for line in lines)


@pytest.fixture
def gallery(indexed, tmp_path):
    """A copy to change."""
    return shutil.copytree(indexed[0], tmp_path / "gallery")


def answer(capsys, *arguments):
    """What a command with --json prints."""
    status, out, err = run_in_process(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_add_remove_and_info_tell_what_they_did(gallery, indexed, tmp_path, capsys):
    more = tmp_path / "more"
    more.mkdir()
    draw_person(20).save(more / "new.png")
    shutil.copy(indexed[1] / "0.png", more / "copy.png")
    (more / "empty.png").write_bytes(b"")
    (tmp_path / "cameras.csv").write_text(f"file_name,camera\n{more / 'new.png'},3\nnobody.png,4\n")
    status, out, _ = run_in_process(capsys, "add", gallery, more, "--metadata", tmp_path / "cameras.csv")
    assert status == 0
    assert "1 images added" in out and "now has 5" in out and "1 of 3 were already there" in out
    assert f"as {more / 'copy.png'} of 0.png" in out and "1 of 3 could not be read" in out
    assert "1 rows of the metadata name no image that was added, such as 'nobody.png'; an image is called, for" in out

    told = answer(capsys, "add", gallery, more, indexed[1])
    assert (told["images"], told["added"], told["unchanged"]) == (5, 0, 5)
    assert told["duplicates"] == [{"file_name": str(more / "copy.png"), "same_as": "0.png"}]
    assert {"file_name": str(more / "empty.png"), "reason": "zero bytes"} in told["rejected"]

    assert answer(capsys, "remove", gallery, "0.png", "2.png") == {
        "gallery": str(gallery), "removed": 2, "images": 3,
    }  # fmt: skip
    status, out, _ = run_in_process(capsys, "remove", gallery, "1.png")
    assert status == 0 and "1 images removed" in out and "now has 2" in out

    info = answer(capsys, "info", gallery)
    assert (info["images"], info["removed"], info["rejected"]) == (2, 3, 2)
    assert info["index"]["kind"] == "exact" and info["index"]["trouble"] is None
    assert info["columns"] == {"camera": [3]} and Path(info["model"]).name == "unipt-random"
    status, out, _ = run_in_process(capsys, "info", gallery)
    assert status == 0 and "camera (3)" in out and "exact" in out and info["model"] in out
    next(gallery.glob("index-*")).write_bytes(b"")
    assert "is truncated or foreign" in run_in_process(capsys, "info", gallery)[1]


def test_removing_what_is_not_there_changes_nothing(gallery, capsys):
    before = {path.name: path.read_bytes() for path in gallery.iterdir()}
    status, out, err = run_in_process(capsys, "remove", gallery, "0.png", "nobody.png")
    assert status == 2 and out == "" and "file name or id nobody.png" in err and "nothing was removed" in err
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before


def test_search_by_image_by_both_and_by_metadata(image_folder, tiny_unipt_folder, tmp_path, capsys):
    (tmp_path / "known.csv").write_text("file_name,camera\nperson_0.png,1\nperson_1.png,2\nperson_2.png,3\n")
    gallery = tmp_path / "gallery"
    command = ["index", image_folder, "--model", tiny_unipt_folder, "--output", gallery, "--index", "hnsw"]
    told = answer(capsys, *command, "--metadata", tmp_path / "known.csv")
    assert (told["images"], told["added"], told["without_metadata"]) == (6, 6, 3)
    assert [line["file_name"] for line in told["rejected"]] == ["empty.jpg", "torn.png"]
    again = answer(capsys, *command, "--metadata", tmp_path / "known.csv")
    assert again == {"gallery": str(gallery), "images": 6}
    assert answer(capsys, "info", gallery)["index"]["kind"] == "hnsw"
    assert "hnsw, recall@10 1.000 against exact" in run_in_process(capsys, "info", gallery)[1]

    image = image_folder / "person_3.png"
    found = answer(capsys, "search", gallery, "--image", image, "--top-k", 1)
    assert found["results"][0]["file_name"] == "person_3.png" and found["query"] is None
    assert found["results"][0]["score"] == pytest.approx(1, abs=1e-5)
    both = answer(capsys, "search", gallery, "a", "man", "--image", image)
    assert both["query"] == "a man" and both["image"] == str(image) and len(both["results"]) == 6

    for conditions, expected in (
        (["camera=2"], {1}),
        (["camera=2", "camera=3"], {1, 2}),
        (["camera>1", "camera!=3"], {1}),
        (["camera>=9"], set()),
    ):
        where = [part for condition in conditions for part in ("--where", condition)]
        found = answer(capsys, "search", gallery, "a man", *where)["results"]
        assert {result["file_name"] for result in found} == {f"person_{number}.png" for number in expected}
        assert all(result["metadata"]["camera"] == int(result["file_name"][7]) + 1 for result in found)
    for condition, message in (
        ("camera", "--where 'camera' must be a column"),
        ("camera=left", "column camera holds int64; 'left' is no such value"),
        ("colour=red", "no column 'colour' to select by; this gallery has camera"),
    ):
        status, out, err = run_in_process(capsys, "search", gallery, "a man", "--where", condition)
        assert status == 2 and out == "" and message in err


def test_another_model_is_refused_with_both_names(gallery, tiny_config, tiny_processor, tmp_path, capsys):
    UniPTModel(tiny_config()).save_pretrained(tmp_path / "other")
    tiny_processor.save_pretrained(tmp_path / "other")
    capsys.readouterr()
    for command in (["search", gallery, "a man"], ["add", gallery, tmp_path / "other.png"]):
        (tmp_path / "other.png").write_bytes(b"")
        status, out, err = run_in_process(capsys, *command, "--model", tmp_path / "other")
        assert status == 2 and out == "" and "unipt-random" in err and str(tmp_path / "other") in err


def test_a_killed_index_goes_on_where_it_was(tiny_unipt_folder, tmp_path, capsys):
    """kill -9 after the second segment; the same command ends as one that was never killed."""
    (tmp_path / "crops").mkdir()
    for index in range(12):
        draw_person(index).save(tmp_path / "crops" / f"{index:02d}.png")
    command = ["index", tmp_path / "crops", "--model", tiny_unipt_folder, "--batch-size", 2]
    program = f"""
import os, signal
from modeling_unipt import cli
from modeling_unipt.gallery import gallery
from modeling_unipt.gallery.files import GalleryFiles
gallery.SEGMENT_ROWS, commit, commits = 4, GalleryFiles.commit, []
def dies(files, *arguments, **options):
    commit(files, *arguments, **options)
    commits.append(1)
    if len(commits) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
GalleryFiles.commit = dies
cli.main({[*map(str, command), "--output", str(tmp_path / "killed")]!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed").exists()
    status, out, err = run_in_process(capsys, *command, "--output", tmp_path / "killed")
    assert status == 0 and "going on after 8 images" in err and "12 images indexed" in out
    run_in_process(capsys, *command, "--output", tmp_path / "whole")
    results = [answer(capsys, "search", tmp_path / name, "a man")["results"] for name in ("killed", "whole")]
    assert [(one["path"], one["score"]) for one in results[0]] == [(one["path"], one["score"]) for one in results[1]]
    assert [path.name for path in tmp_path.glob("killed*")] == ["killed"]


def test_indexing_again_leaves_the_gallery_alone(indexed, tiny_unipt_folder, capsys):
    gallery, crops = indexed
    before = (gallery / "rows-00000.parquet").stat().st_mtime_ns
    status, _, err = run_in_process(capsys, "index", crops, "--model", tiny_unipt_folder, "--output", gallery)
    assert status == 0 and "already complete" in err
    assert (gallery / "rows-00000.parquet").stat().st_mtime_ns == before


def test_a_gallery_of_other_images_is_not_overwritten(indexed, tiny_unipt_folder, image_folder, capsys):
    gallery, _ = indexed
    status, _, err = run_in_process(capsys, "index", image_folder, "--model", tiny_unipt_folder, "--output", gallery)
    assert status == 2 and "was made with other settings: folder was" in err


def test_a_gallery_is_left_alone_unless_another_number_format_is_named(indexed, tiny_unipt_folder, tmp_path, capsys):
    gallery, crops = indexed
    command = ["index", crops, "--model", tiny_unipt_folder, "--output"]
    status, _, err = run_in_process(capsys, *command, gallery, "--dtype", "bfloat16")
    assert status == 2 and 'was made with other settings: dtype was "auto" and is now "bfloat16"' in err
    status, out, _ = run_in_process(capsys, *command, tmp_path / "half", "--dtype", "bfloat16")
    assert status == 0 and "4 images indexed" in out
    status, _, err = run_in_process(capsys, *command, tmp_path / "half", "--dtype", "bfloat16")
    assert status == 0 and "already complete" in err
    scores = {}
    for dtype in ("float32", "bfloat16"):
        found = answer(capsys, "search", tmp_path / "half", "--image", crops / "1.png", "--dtype", dtype)["results"]
        assert found[0]["file_name"] == "1.png"
        scores[dtype] = found[0]["score"]
    assert scores["float32"] < scores["bfloat16"] == 1.0
    status, out, _ = run_in_process(capsys, "add", tmp_path / "half", crops, "--dtype", "float32")
    assert status == 0 and "0 images added" in out


def test_unreadable_images_alone_leave_no_output(tiny_unipt_folder, tmp_path, capsys):
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "a.jpg").write_bytes(b"")
    output = tmp_path / "gallery"
    status, _, err = run_in_process(
        capsys, "index", tmp_path / "crops", "--model", tiny_unipt_folder, "--output", output
    )
    assert status == 2 and "none of the 1 images" in err
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]


def test_what_only_looks_like_an_image_is_counted_by_index(tiny_unipt_folder, tmp_path, capsys):
    crops = tmp_path / "crops"
    for name in ("a.jpg", "b.jfif", "__MACOSX/._a.jpg", "._a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "c.png"):
        (crops / name).parent.mkdir(parents=True, exist_ok=True)
        draw_person(len(name)).save(crops / name, "PNG")
    (crops / "c.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 12\n")
    command = ["index", crops, "--model", tiny_unipt_folder, "--output"]
    status, out, err = run_in_process(capsys, *command, tmp_path / "gallery")
    assert status == 0 and "2 images indexed" in out and "1 of 3 could not be read" in out
    assert f"warning: left out of {crops}: 1 file holding thumbnails" in err and "2 files made by macOS" in err
    (rejected,) = (tmp_path / "gallery" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["reason"] == "is a Git LFS pointer to a file of 12 bytes, not the file itself"
    told = answer(capsys, *command, tmp_path / "second")
    assert told["images"] == 2 and sorted(told["left_out"].values()) == [1, 2]


def test_a_model_that_is_not_unipt_leaves_no_output(tiny_clip_folder, image_folder, tmp_path, capsys):
    output = tmp_path / "gallery"
    status, _, err = run_in_process(capsys, "index", image_folder, "--model", tiny_clip_folder, "--output", output)
    assert status == 2 and "holds a clip model, not UniPT" in err
    assert not list(tmp_path.glob("gallery*"))


def test_a_deleted_image_is_told_when_the_sheet_needs_it(image_folder, tiny_unipt_folder, tmp_path, capsys):
    gallery = tmp_path / "gallery"
    run_in_process(capsys, "index", image_folder, "--model", tiny_unipt_folder, "--output", gallery)
    for path in image_folder.rglob("*.*"):
        path.unlink()
    status, _, err = run_in_process(capsys, "search", gallery, "a man", "--contact-sheet", tmp_path / "sheet.png")
    assert status == 2 and "gone or damaged since it was indexed" in err


@pytest.mark.parametrize("command", ["", "index", "search", "add", "remove", "info", "convert", "export"])
def test_help_teaches(command, capsys):
    status, out, _ = run_in_process(capsys, *command.split(), "--help")
    assert status == 0 and f"unipt {command or 'index'} " in out[out.index("example") :]


def test_the_version_is_shown_and_asked_for_only_then(capsys, monkeypatch):
    status, out, _ = run_in_process(capsys, "--version")
    assert status == 0 and out == f"unipt {version('unipt')}\n"

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", not_installed)
    assert "the package unipt is not installed" in refused(capsys, "--version")
    assert run_in_process(capsys, "--help")[0] == 0


def test_help_and_version_import_nothing_slow():
    program = """
import sys
from modeling_unipt.cli import main
for arguments in (["--help"], ["index", "--help"], ["convert", "--help"], ["export", "--help"], ["--version"]):
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code == 0
print(sorted({"torch", "transformers", "numpy", "pyarrow", "PIL"} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0 and process.stdout.splitlines()[-1] == "[]", process.stderr


def refused(capsys, *arguments):
    status, out, err = run_in_process(capsys, *arguments)
    assert status == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    return err


def test_mistakes_before_any_model_is_loaded(indexed, tmp_path, capsys):
    (tmp_path / "file.txt").write_text("")
    missing, crops = tmp_path / "missing", indexed[1]
    index = ["--model", "m", "--output", tmp_path / "gallery"]
    assert "does not exist" in refused(capsys, "index", missing, *index)
    assert "holds no images" in refused(capsys, "index", tmp_path, *index)
    assert "is a file" in refused(capsys, "index", tmp_path / "file.txt", *index)
    assert "--batch-size is '0'" in refused(capsys, "index", tmp_path, *index, "--batch-size", "0")
    assert "does not exist" in refused(capsys, "search", missing, "a man")
    assert "is not a gallery" in refused(capsys, "search", tmp_path, "a man")
    assert "query is empty" in refusal("search", missing, " ")
    for top_k in ("0", "many", "1.5"):
        assert f"--top-k is '{top_k}'" in refused(capsys, "search", missing, "a man", "--top-k", top_k)
    assert "--where 'camera' must be" in refused(capsys, "search", missing, "a man", "--where", "camera")
    assert "metadata file" in refused(capsys, "index", crops, *index, "--metadata", missing / "known.csv")
    for command in (["add", missing, crops], ["remove", missing, "a.png"], ["info", missing]):
        assert "does not exist; make one with" in refused(capsys, *command)
    assert "is not a gallery" in refused(capsys, "add", tmp_path, crops)
    assert "must end in one of" in refused(
        capsys, "search", missing, "a man", "--contact-sheet", tmp_path / "sheet.xyz"
    )
    assert "folder" in refused(capsys, "search", missing, "a man", "--contact-sheet", missing / "sheet.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt"]


@pytest.mark.parametrize("kind", ["tar", "parquet", "lmdb"])
def test_packed_images_are_indexed_added_and_shown(kind, tiny_unipt_folder, tmp_path, capsys):
    from tests.helpers.packed_images import MAKERS, PEOPLE, make_folder

    crops = make_folder(tmp_path / "crops")
    source = MAKERS[kind][0](tmp_path / kind)
    gallery = tmp_path / "gallery"
    command = ["index", source, "--model", tiny_unipt_folder, "--output", gallery]
    assert answer(capsys, *command)["images"] == PEOPLE
    assert answer(capsys, *command) == {"gallery": str(gallery), "images": PEOPLE}
    told = answer(capsys, "add", gallery, source, crops)
    assert (told["added"], told["unchanged"], len(told["duplicates"])) == (0, PEOPLE, PEOPLE)
    found = answer(capsys, "search", gallery, "a man", "--contact-sheet", tmp_path / "sheet.png")["results"]
    assert found[0]["path"] == f"{source}/{found[0]['file_name']}" and (tmp_path / "sheet.png").exists()
    shutil.move(source, tmp_path / "away")
    status, _, err = run_in_process(capsys, "search", gallery, "a man", "--contact-sheet", tmp_path / "sheet.png")
    assert status == 2 and "cannot be opened again" in err and "Traceback" not in err


def test_a_folder_is_described_as_version_0_1_did(image_folder, tiny_unipt_folder, tmp_path, capsys):
    """So that its galleries, complete or begun, are recognised."""
    import hashlib

    run_in_process(capsys, "index", image_folder, "--model", tiny_unipt_folder, "--output", tmp_path / "gallery")
    settings = json.loads((tmp_path / "gallery" / "build_settings.json").read_text())
    listing = hashlib.sha256()
    paths = [path for path in image_folder.rglob("*") if path.suffix in (".png", ".jpg")]
    for name in sorted(path.relative_to(image_folder).as_posix() for path in paths):
        status = (image_folder / name).stat()
        listing.update(repr((name, (status.st_size, status.st_mtime_ns))).encode())
    keys = {"command", "folder", "images", "index_kind", "listing", "metadata", "model", "revision", "weights"}
    assert settings.keys() == keys
    assert settings["listing"] == listing.hexdigest() and settings["folder"] == str(image_folder)


def test_an_output_or_sheet_that_cannot_be_written_is_one_sentence(indexed, tiny_unipt_folder):
    gallery, crops = indexed
    below_a_file = crops / "0.png" / "gallery"
    assert str(crops / "0.png") in refusal("index", crops, "--model", tiny_unipt_folder, "--output", below_a_file)
    process = unipt("search", gallery, "a man", "--contact-sheet", "/proc/sheet.png")
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert "/proc/sheet.png cannot be saved" in process.stderr


def test_info_into_a_closed_pipe_ends_quietly_and_without_torch(indexed):
    program = (
        f"import sys; sys.argv = ['unipt', 'info', {str(indexed[0])!r}]\nfrom modeling_unipt.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")
