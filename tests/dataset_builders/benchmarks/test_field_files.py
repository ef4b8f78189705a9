"""What labs have on disk: read, or refused in a sentence that says how to mend it."""

import dataclasses
import json
import shutil

import pyarrow.parquet as parquet
import pytest
from PIL import Image

from dataset_builders.benchmarks.__main__ import main
from dataset_builders.benchmarks.layouts import LAYOUTS, Counts
from modeling_unipt.common.user_errors import UserError
from tests.helpers.benchmark_folders import entries, write_benchmark

HERE = {"train": Counts(3, 6, 12), "val": Counts(1, 2, 4), "test": Counts(2, 4, 8)}
CAPTIONS = {entry["file_path"]: entry["captions"] for entry in entries()}


@pytest.fixture(autouse=True)
def as_if_published(monkeypatch):
    """The six people are the whole of CUHK-PEDES, so that nothing but what a test breaks is partial."""
    layout = dataclasses.replace(LAYOUTS["cuhk-pedes"], official=HERE)
    monkeypatch.setitem(LAYOUTS, "cuhk-pedes", layout)


def read(tmp_path, annotation, *options, name="reid_raw.json", spoil=None):
    """Write a benchmark, spoil it, read it, and return its rows by split."""
    source = write_benchmark(tmp_path / "source", annotation, name)
    if spoil:
        spoil(source / "imgs")
    main(["cuhk-pedes", "--source", str(source), "--output", str(tmp_path / "out"), *options])
    rows = {}
    for path in sorted((tmp_path / "out" / "data").iterdir()):
        rows[path.name.split("-")[0]] = parquet.read_table(path).to_pylist()
    return rows


def refused(tmp_path, match, annotation, *options, spoil=None):
    """Reading ends in a sentence and leaves nothing behind."""
    with pytest.raises(UserError, match=match):
        read(tmp_path, annotation, *options, spoil=spoil)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def changed(number, **values):
    listed = entries()
    listed[number] |= values
    return listed


def without_split(split):
    return [{key: value for key, value in e.items() if key != "split"} for e in entries() if e["split"] == split]


def one_row_a_caption():
    return [entry | {"captions": [text]} for entry in entries() for text in entry["captions"]]


def card(tmp_path):
    return (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


SHAPES = {
    "a list": entries(),
    "one row a caption": one_row_a_caption(),
    "one caption a row": [
        {key: value for key, value in entry.items() if key != "captions"} | {"caption": text}
        for entry in entries()
        for text in entry["captions"]
    ],
    "JSON Lines": "\n".join(json.dumps(entry) for entry in entries()),
    "JSON Lines of Windows": ("\ufeff" + "\r\n".join(json.dumps(entry) for entry in entries()) + "\r\n\r\n").encode(),
    "UTF-16": json.dumps(entries()).encode("utf-16"),
    "a wrapped list": {"info": {"version": 1}, "annotations": entries(), "licence": "none"},
    "a wrapped list one floor down": {"data": {"images": entries()}},
    "a list for each split": {
        name: without_split(s) for name, s in (("train", "train"), ("valid", "val"), ("test", "test"))
    },
    "a mapping by number": {str(number): entry for number, entry in enumerate(entries())},
    "a mapping by path": {
        e["file_path"]: {key: value for key, value in e.items() if key != "file_path"} for e in entries()
    },
    "ids as texts": [entry | {"id": f"{entry['id']:04d}"} for entry in entries()],
    "ids as fractions": [entry | {"id": float(entry["id"])} for entry in entries()],
    "splits by other names": [
        entry | {"split": {"train": "Train", "val": "valid", "test": "TEST"}[entry["split"]]} for entry in entries()
    ],
    "dev": [entry | {"split": entry["split"].replace("val", "dev")} for entry in entries()],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_annotation_of_any_shape_gives_the_same_rows(shape, tmp_path, capsys):
    rows = read(tmp_path, SHAPES[shape])
    found = {(row["file_path"], row["person_id"], split): row["captions"] for split in rows for row in rows[split]}
    assert found == {(e["file_path"], e["id"], e["split"]): e["captions"] for e in entries()}
    assert capsys.readouterr().out.count("the official split of CUHK-PEDES") == 3
    assert card(tmp_path).count("| official |\n") == 3 and "comparable" not in card(tmp_path)


def test_json_lines_may_have_their_own_suffix(tmp_path):
    rows = read(tmp_path, "\n".join(map(json.dumps, entries())), name="reid_raw.jsonl")
    assert [len(each) for each in rows.values()] == [4, 6, 2]


def test_captions_may_be_one_text(tmp_path):
    rows = read(tmp_path, [e | {"captions": e["captions"][0]} for e in entries()], "--allow-partial")
    assert {row["file_path"]: row["captions"] for row in rows["val"]} == {
        path: texts[:1] for path, texts in CAPTIONS.items() if "0004" in path
    }


def test_ids_that_are_no_numbers_are_numbered_and_that_is_told(tmp_path, capsys):
    rows = read(tmp_path, [entry | {"id": f"person {entry['id']}"} for entry in entries()])
    assert {row["file_path"][7:10]: row["person_id"] for row in rows["test"]} == {"005": 4, "006": 5}
    assert "such as 'person 1'; people are numbered in the order of the annotation" in capsys.readouterr().out
    assert "such as 'person 1'; people are numbered" in card(tmp_path)


def test_rows_of_one_image_that_agree_are_put_together(tmp_path, capsys):
    listed = one_row_a_caption()
    read(tmp_path, [*listed, listed[0]])  # the very same row again adds nothing
    told = "entries that name the image of an earlier entry, and were put together with it: 13 of 25"
    assert told in capsys.readouterr().out and told[1:] in card(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": 9}, r"'cam_a/0001_0.jpg': person 1 in entry 0 \(counted from 0\), 9 in entry 1"),
        ({"split": "test"}, "'cam_a/0001_0.jpg': split train in entry 0 .*, test in entry 1"),
    ],
)
def test_rows_of_one_image_that_contradict_each_other_are_refused(change, told, tmp_path):
    listed = one_row_a_caption()
    listed[1] |= change
    refused(tmp_path, f"lists 1 images more than once and says different things of them, such as {told}", listed)


TEST_ONLY = [entry for entry in entries() if entry["split"] == "test"]


def test_a_complete_test_split_alone_is_official(tmp_path, capsys):
    refused(tmp_path, "train has 0 images, expected 6.*; .*take what is complete by --splits test, or pass", TEST_ONLY)
    rows = read(tmp_path, TEST_ONLY, "--splits", "test")
    assert {split: len(each) for split, each in rows.items()} == {"test": 4}
    assert "test: the official split of CUHK-PEDES, so scores on it are comparable" in capsys.readouterr().out
    assert "| test | 2 | 2 | 4 | 4 | 8 | 8 | official |" in card(tmp_path)
    assert "pretty_name: CUHK-PEDES\n" in card(tmp_path) and "not comparable" not in card(tmp_path)


def test_splits_are_judged_one_by_one(tmp_path, capsys):
    read(tmp_path, entries()[2:], "--allow-partial")  # a person of train is missing
    told = capsys.readouterr().out
    assert "train: not the official split of CUHK-PEDES, so scores on it are not comparable: train has 2 ident" in told
    assert "test: the official split of CUHK-PEDES, so scores on it are comparable" in told
    assert "pretty_name: CUHK-PEDES\n" in card(tmp_path)
    assert "The split val and test is official and complete" in card(tmp_path)


def test_an_incomplete_chosen_split_is_refused_and_one_that_is_not_there_named(tmp_path):
    refused(
        tmp_path, "not the whole CUHK-PEDES in the split test: test has 3 images", TEST_ONLY[1:], "--splits", "test"
    )
    refused(tmp_path, "no entry of the split 'val'; it has test", TEST_ONLY, "--splits", "val", "test")


def test_an_annotation_of_blank_captions_alone_is_refused(tmp_path):
    blank = [entry | {"captions": [" "]} for entry in entries()]
    refused(tmp_path, "not one of the 12 images in .* has a caption that is not blank", blank, "--allow-partial")


def test_the_folder_is_asked_for_and_another_name_suggested(tmp_path):
    source = write_benchmark(tmp_path / "source", entries(), "Reid_Raw (1).json")
    for given, told in (
        (source, r"holds no reid_raw.json; .* or rename Reid_Raw \(1\).json if that is it"),
        (source / "Reid_Raw (1).json", "is a file; give the folder that holds reid_raw.json and imgs/"),
    ):
        with pytest.raises(UserError, match=told):
            main(["cuhk-pedes", "--source", str(given), "--output", str(tmp_path / "out")])


def without_person_4(images):
    for path in images.rglob("0004*"):
        path.unlink()


def test_images_of_other_splits_may_be_missing(tmp_path):
    whole = (
        "2 of 12 annotated images are missing .*; complete the images, take what is complete by --splits train test,"
    )
    refused(tmp_path, whole, entries(), spoil=without_person_4)
    rows = read(tmp_path, entries(), "--splits", "train", "test", spoil=without_person_4)
    assert {split: len(each) for split, each in rows.items()} == {"train": 6, "test": 4}
    assert "Incomplete" not in card(tmp_path)


def test_a_split_without_one_image_on_disk_is_left_out(tmp_path, capsys):
    rows = read(tmp_path, entries(), "--allow-partial", spoil=without_person_4)
    assert {split: len(each) for split, each in rows.items()} == {"train": 6, "test": 4}
    assert "val: left out, since not one of its annotated images is there and has a caption" in capsys.readouterr().out
    assert "| val | 0 | 1 | 0 | 2 | 0 | 4 | annotated images left out: 2 |" in card(tmp_path)
    assert "  - split: val" not in card(tmp_path)
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in rejected] == ["missing", "missing"]


BLANKS = ("", " \n", "\u200b\u00a0", None)


@pytest.mark.parametrize("blank", BLANKS)
def test_blank_captions_are_no_queries(blank, tmp_path, capsys):
    listed = changed(8, captions=[blank, "A man in a white shirt walks."])
    refused(
        tmp_path,
        "test has 7 captions, expected 8; blank captions, which do not count: 1, such as of cam_a/0005",
        listed,
    )
    rows = read(tmp_path, listed, "--allow-partial")
    assert sum(len(row["captions"]) for row in rows["test"]) == 7
    assert "blank captions: 1, such as cam_a/0005_0.jpg" in capsys.readouterr().out


@pytest.mark.parametrize("captions", [[""], " ", None, ["\t", "\n"], [None]])
def test_an_image_with_blank_captions_alone_is_rejected(captions, tmp_path):
    rows = read(tmp_path, changed(8, captions=captions), "--allow-partial")
    assert len(rows["test"]) == 3
    rejected = json.loads((tmp_path / "out" / "rejected.jsonl").read_text())
    assert rejected == {"file_name": "cam_a/0005_0.jpg", "reason": "has no caption"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "is a Git LFS pointer"),
        ("<!DOCTYPE html><html><head><title>Sign in</title></head></html>", "is a log-in page"),
        ("<html><body>Quota exceeded</body></html>", "is a web page"),
        ("", "is empty"),
        (json.dumps(entries())[:-40], "not valid JSON: it ends too early, as a download that was cut off"),
        (json.dumps(entries()) + "]", "not valid JSON .Extra data"),
        ("\n".join(map(json.dumps, entries()))[:-3], "line 12 is not valid JSON"),
        (json.dumps(entries()).replace("coat", "co\xe4t").encode("latin-1"), "not valid JSON .'utf-8' codec can't"),
        ('"a text"', "holds no entry"),
        (json.dumps({key: [e[key] for e in entries()] for key in entries()[0]}), "the only one. holds columns"),
        (json.dumps([e | {"captions": ""} for e in entries()]), "train has 0 images, expected 6.*; blank captions"),
        (json.dumps([["cam_a/0001_0.jpg", "A man."]]), r"entry 0 \(counted from 0\) is not a mapping"),
        (json.dumps({"cam_a/0001_0.jpg": "A man in red."}), "entry 'cam_a/0001_0.jpg' lacks the key 'id'"),
    ],
)
def test_what_is_no_annotation_is_named(content, told, tmp_path):
    refused(tmp_path, told, content)


SPELLINGS = {
    "backslashes": lambda path: path.replace("/", "\\"),
    "a doubled folder": lambda path: f"imgs/{path}",
    "another suffix": lambda path: path.replace(".jpg", ".png"),
    "another case": lambda path: path.upper(),
    "a dot": lambda path: f"./imgs/{path}",
    "another computer": lambda path: f"/home/somebody/CUHK-PEDES/imgs/{path}",
    "Windows": lambda path: "D:\\data\\imgs\\" + path.replace("/", "\\"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_paths_that_are_spelled_differently_are_told_and_taken_if_asked(spelling, tmp_path, capsys):
    listed = [entry | {"file_path": SPELLINGS[spelling](entry["file_path"])} for entry in entries()]
    refused(tmp_path, "12 of the 12 paths in .*'cam_a/0001_0.jpg' in .*; pass --fix-paths", listed)
    rows = read(tmp_path, listed, "--fix-paths")
    assert {row["file_path"]: row["captions"] for each in rows.values() for row in each} == CAPTIONS
    assert "12 of the 12 paths in" in capsys.readouterr().out and "were taken as they are there" in card(tmp_path)


def test_a_missing_folder_is_found(tmp_path):
    def unpacked_twice(images):
        images.rename(images.parent / "moved")
        images.mkdir()
        (images.parent / "moved").rename(images / "imgs")

    refused(tmp_path, "which is 'imgs/cam_a/0001_0.jpg' in .*; pass --fix-paths", entries(), spoil=unpacked_twice)
    shutil.rmtree(tmp_path / "source")
    rows = read(tmp_path, entries(), "--fix-paths", spoil=unpacked_twice)
    assert {len(each) for each in rows.values()} == {6, 2, 4}


def test_a_wrong_folder_of_images_says_what_it_holds(tmp_path):
    listed = [entry | {"file_path": f"other/{number}.jpg"} for number, entry in enumerate(entries())]
    told = "12 of 12 annotated images are missing in .*, such as other/0.jpg; that folder holds 12 images"
    refused(tmp_path, told, listed, "--allow-partial")


def test_two_spellings_of_one_image_are_one_image(tmp_path):
    listed = one_row_a_caption()
    listed[1] |= {"file_path": "imgs\\cam_a\\0001_0.JPG"}
    rows = read(tmp_path, listed, "--fix-paths")
    assert {row["file_path"]: row["captions"] for each in rows.values() for row in each} == CAPTIONS


def test_both_numbers_are_told_where_annotation_and_folder_differ(tmp_path, capsys):
    read(tmp_path, entries(), spoil=lambda images: Image.new("RGB", (4, 8)).save(images / "more.jpg"))
    assert "names 12 images, of which 12 are in" in (told := capsys.readouterr().out)
    assert "that folder holds 13 images, of which 1 are not named" in told
    assert "that folder holds 13 images" in card(tmp_path)


def test_an_image_that_is_a_pointer_is_named(tmp_path):
    def spoil(images):
        (images / "cam_a/0001_0.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n")

    refused(tmp_path, "cam_a/0001_0.jpg .is a Git LFS pointer", entries(), spoil=spoil)


def test_captions_have_one_normal_form(tmp_path):
    rows = read(
        tmp_path, changed(0, captions=["\ufeffA \u201cred\u201d  coat &amp; ﬁne jeans.\r\n", "Cafe\u0301 owner."])
    )
    assert rows["train"][0]["captions"] == ['A "red" coat & fine jeans.', "Café owner."]


def test_oddities_are_told_listed_and_refused_by_strict(tmp_path, capsys):
    listed = [entry | {"id": 1} if entry["id"] == 6 else entry for entry in entries()]
    listed[9] = listed[9] | {"captions": ["Man", "A person in a red coat walks in view 0."]}
    refused(tmp_path, "--strict refuses this data", listed, "--strict")
    read(tmp_path, listed)
    told = capsys.readouterr().out
    assert "ids of people who are in train and in test: 1" in told
    for sentence in (
        "ids of people who are in train and in test | 1 |",
        "captions of one word",
        "## What is odd in this",
    ):
        assert sentence in card(tmp_path)
