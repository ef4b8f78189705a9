"""One description says where an annotation keeps what."""

import json

import pytest

from dataset_builders.records.layout import Kept, Layout, find_annotation, read_samples
from dataset_builders.records.values import as_type, path_of, person_of, split_of, texts_of
from modeling_unipt.common.user_errors import UserError

PLAIN = Layout(title="Plain", annotations=("a.json",))
PEOPLE = Layout(title="People", annotations=("a.json",), person=("id", "pid"), split=("split",))


def samples(tmp_path, layout, document, name="a.json"):
    (tmp_path / name).write_text(json.dumps(document))
    return list(read_samples(layout, [tmp_path / name]))


def test_a_sample_says_what_its_entry_says(tmp_path):
    layout = Layout(
        title="All",
        annotations=("a.json",),
        image=("image", "file_path"),
        captions=("captions", "prompt", "other"),
        person=("id",),
        split=("split",),
        kept={"boxes": Kept("boxes", [["float32"]], "boxes"), "label": Kept("label", ["int64"], "labels")},
    )
    (sample,) = samples(
        tmp_path,
        layout,
        [
            {
                "file_path": "a\\b.jpg",
                "captions": [" A &amp; B ", ""],
                "prompt": "C",
                "id": "12",
                "split": "Dev",
                "boxes": [1, 2],
            }
        ],
    )
    assert (sample.path, sample.person, sample.split) == ("a\\b.jpg", 12, "val")
    assert sample.captions == ["A & B", "C"] and sample.caption_keys == ["captions", "prompt"]
    assert sample.written == [" A &amp; B ", "", "C"]
    assert sample.kept == {"boxes": [[1.0, 2.0]], "label": None}


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a", ["a"]),
        (["a", " b\n"], ["a", "b"]),
        ({"caption1": "a", "caption2": "b"}, ["a", "b"]),
        ([], []),
        (["", None, float("nan"), " \t", "\ufeff"], []),
        (None, []),
    ],
)
def test_captions_in_any_form(value, texts):
    assert texts_of(value).texts == texts


@pytest.mark.parametrize("value", [5, True, [5], ["a", ["b"]], [{"text": "a"}], {"a": 5}])
def test_what_is_no_caption(value, tmp_path):
    assert texts_of(value) is None
    with pytest.raises(UserError, match="entry 0 .*: 'captions' must be a list of texts, not "):
        samples(tmp_path, PLAIN, [{"file_path": "a.jpg", "captions": value}])


@pytest.mark.parametrize(
    ("value", "person"),
    [(7, 7), (0, 0), (-1, -1), (7.0, 7), ("7", 7), ("0007", 7), (" 7 ", 7), ("7.0", 7), ("p7", "p7"), ("7_2", "7_2")]
    + [
        ("0x1", "0x1"),
        ("1.5", None),
        (1.5, None),
        (True, None),
        (None, None),
        ("", None),
        ("nan", None),
        ("None", None),
    ]
    + [(float("nan"), None), (float("inf"), None), ([7], None), ({}, None), (2**63, None), (2**63 - 1, 2**63 - 1)],
)
def test_ids(value, person):
    assert person_of(value) == person and type(person_of(value)) is type(person)


@pytest.mark.parametrize("name, split", [("valid", "val"), ("Validation", "val"), (" dev ", "val"), ("TRAIN", "train")])
def test_names_of_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize("value", ["testing", "", "restval", None, 0, ["test"]])
def test_what_is_no_split(value):
    assert split_of(value) is None


@pytest.mark.parametrize("value", ["", "  ", None, 5, ["a.jpg"], "../a.jpg", "a/../../b.jpg", "..\\a.jpg"])
def test_what_is_no_path_below_the_folder(value, tmp_path):
    assert path_of(value) is None
    with pytest.raises(UserError, match="'file_path' must be a path below the image folder, not "):
        samples(tmp_path, PLAIN, [{"file_path": value, "captions": "a"}])


def test_the_split_is_that_of_the_entry_or_else_of_its_list_or_file(tmp_path):
    entry = {"file_path": "a.jpg", "captions": "a", "id": 1}
    found = samples(tmp_path, PEOPLE, {"train": [entry, entry | {"split": "val"}], "valid": [entry], "test": [entry]})
    assert [sample.split for sample in found] == ["train", "val", "val", "test"]
    for name, split in (("train_reid.json", "train"), ("my-val.json", "val"), ("test.json", "test")):
        assert samples(tmp_path, PEOPLE, [entry], name)[0].split == split
    with pytest.raises(UserError, match="entry 0 .* lacks the key 'split'"):
        samples(tmp_path, PEOPLE, [entry], "contest.json")


def test_entries_may_be_shared_out_in_their_order(tmp_path):
    layout = Layout(
        title="Shared", annotations=("a.json",), split=("split",), shares={"train": 2, "val": 1, "test": None}
    )
    listed = [{"file_path": f"{number}.jpg", "captions": "a"} for number in range(5)]
    listed[4]["split"] = "train"
    found = samples(tmp_path, layout, listed)
    assert [sample.split for sample in found] == ["train", "train", "val", "test", "train"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("text", "is not a mapping"),
        ({"captions": "a", "id": 1, "split": "test"}, "lacks the key 'file_path'"),
        ({"file_path": "a.jpg", "id": 1, "split": "test"}, "lacks the key 'captions'"),
        ({"file_path": "a.jpg", "captions": "a", "split": "test"}, "lacks the key 'id'"),
        ({"file_path": "a.jpg", "captions": "a", "id": 1}, "lacks the key 'split'"),
        ({"file_path": "a.jpg", "captions": "a", "id": [], "split": "test"}, "'id' must be a whole number, not "),
        (
            {"file_path": "a.jpg", "captions": "a", "id": 1, "split": 2},
            "has the split 2, which is none of train, val",
        ),
    ],
)
def test_what_is_missing_is_told_with_the_place_of_the_entry(entry, told, tmp_path):
    with pytest.raises(UserError, match=rf"a.json: entry 0 \(counted from 0\):? {told}"):
        samples(tmp_path, PEOPLE, [entry])


DIALOGUES = [[{"from": "string", "value": "string"}]]
SAID = {"from": "user", "value": "a man"}


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        ([[SAID], [SAID, SAID]], DIALOGUES, [[SAID], [SAID, SAID]]),
        ([SAID, SAID], DIALOGUES, [[SAID, SAID]]),
        ([[[SAID], [SAID]], [[SAID]]], DIALOGUES, [[SAID, SAID], [SAID]]),
        ([[SAID | {"time": 5}]], DIALOGUES, [[SAID]]),
        (5, "string", "5"),
        ("5", "int64", 5),
        (None, DIALOGUES, None),
        (float("nan"), "string", None),
        ([1, None], ["int64"], [1, None]),
        ([], [["float32"]], []),
    ],
)
def test_what_else_is_kept_has_its_columns_type(value, kind, kept):
    assert as_type(value, kind) == kept


@pytest.mark.parametrize(("value", "kind"), [("text", DIALOGUES), ([["a"]], DIALOGUES), (5, DIALOGUES), (1.5, "int64")])
def test_what_does_not_fit_its_columns_type(value, kind, tmp_path):
    layout = Layout(title="Kept", annotations=("a.json",), kept={"more": Kept("x", kind, "more of it")})
    with pytest.raises(UserError, match="entry 0 .*: 'x' cannot be read as more of it: "):
        samples(tmp_path, layout, [{"file_path": "a.jpg", "captions": "a", "x": value}])


def test_the_annotation_is_the_first_name_that_is_there(tmp_path):
    layout = Layout(title="Names", annotations=("a.json", "train.json + test.json", "g_*.json"))

    def found():
        return [path.name for path in find_annotation(layout, tmp_path)]

    for name, expected in (
        ("train.json", []),
        ("g_2.jsonl", ["g_2.jsonl"]),
        ("g_2.json", ["g_2.json"]),
        ("g_1.json", ["g_1.json", "g_2.json"]),
        ("test.json", ["train.json", "test.json"]),
        ("a.json", ["a.json"]),
    ):
        (tmp_path / name).touch()
        assert found() == expected
