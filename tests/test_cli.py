"""The unipt command, run as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


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
    from conftest import draw_person

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
    from modeling_unipt.cli import main

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


def test_indexing_again_leaves_the_gallery_alone(indexed, tiny_unipt_folder, capsys):
    gallery, crops = indexed
    before = (gallery / "rows-00000.parquet").stat().st_mtime_ns
    status, out, _ = run_in_process(capsys, "index", crops, "--model", tiny_unipt_folder, "--output", gallery)
    assert status == 0 and "already complete" in out
    assert (gallery / "rows-00000.parquet").stat().st_mtime_ns == before


def test_a_gallery_of_other_images_is_not_overwritten(indexed, tiny_unipt_folder, image_folder, capsys):
    gallery, _ = indexed
    status, _, err = run_in_process(capsys, "index", image_folder, "--model", tiny_unipt_folder, "--output", gallery)
    assert status == 2 and "was made with other settings: folder was" in err


def test_unreadable_images_alone_leave_no_output(tiny_unipt_folder, tmp_path, capsys):
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "a.jpg").write_bytes(b"")
    output = tmp_path / "gallery"
    status, _, err = run_in_process(
        capsys, "index", tmp_path / "crops", "--model", tiny_unipt_folder, "--output", output
    )
    assert status == 2 and "none of the 1 images" in err
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]


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


@pytest.mark.parametrize("command", [[], ["index"], ["search"]])
def test_help_teaches(command):
    process = unipt(*command, "--help")
    assert process.returncode == 0
    assert "example" in process.stdout and "unipt search" in process.stdout or "unipt index" in process.stdout


def test_mistakes_before_any_model_is_loaded(tmp_path):
    (tmp_path / "file.txt").write_text("")
    missing = tmp_path / "missing"
    index = ["--model", "m", "--output", tmp_path / "gallery"]
    assert "does not exist" in refusal("index", missing, *index)
    assert "holds no images" in refusal("index", tmp_path, *index)
    assert "is a file" in refusal("index", tmp_path / "file.txt", *index)
    assert "--batch-size is '0'" in refusal("index", tmp_path, *index, "--batch-size", "0")
    assert "does not exist" in refusal("search", missing, "a man")
    assert "is not a gallery" in refusal("search", tmp_path, "a man")
    assert "query is empty" in refusal("search", missing, " ")
    for top_k in ("0", "many", "1.5"):
        assert f"--top-k is '{top_k}'" in refusal("search", missing, "a man", "--top-k", top_k)
    assert "must end in one of" in refusal("search", missing, "a man", "--contact-sheet", tmp_path / "sheet.xyz")
    assert "folder" in refusal("search", missing, "a man", "--contact-sheet", missing / "sheet.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt"]
