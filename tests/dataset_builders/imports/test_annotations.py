"""What annotations of pre-training data hold that cannot be used: counted, told and listed, and never an end."""

import json

import pytest

from tests.helpers.imports import refusal, run_import
from tests.helpers.pretraining_sets import jpeg, write_images


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", [f"cam/{number}.jpg" for number in range(6)], jpeg)
    return tmp_path / "images"


def entry(number, **changes):
    return {"file_path": f"cam/{number}.jpg", "captions": [f"Person {number} walks home."], "id": number} | changes


@pytest.fixture
def run(tmp_path, images, capsys):
    """Import a JSON document, or a text that stands for one."""

    def run(content, *options):
        return run_import(tmp_path / "out", capsys, *source(tmp_path, images, content), *options)

    return run


@pytest.fixture
def refused(tmp_path, images):
    def refused(content, *options):
        return refusal(tmp_path / "out", *source(tmp_path, images, content), *options)

    return refused


def source(tmp_path, images, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "set.json").write_text(text)
    return ["--source", tmp_path / "set.json", "--images", images]


def test_blank_captions_reject_the_row_and_not_the_import(run):
    imported = run([entry(0), entry(1, captions=[" ", "\n"]), entry(2, captions=None), entry(3, captions=[])])
    assert imported.captions == {"cam/0": ["Person 0 walks home."]}
    assert imported.rejected == dict.fromkeys(["cam/1.jpg", "cam/2.jpg", "cam/3.jpg"], "has no caption")
    assert "3 images were refused (3 without a caption)" in imported.said
    assert "blank captions left out: 3" in imported.said and "blank captions left out: 3" in imported.card


def test_an_image_that_is_listed_again_is_merged(run):
    again = [
        entry(0, captions=["Person 0 walks home.", "In red."]),
        entry(0, file_path="./cam//0.jpg", captions="Third."),
    ]
    imported = run([entry(0), entry(1), *again])
    assert imported.captions["cam/0"] == ["Person 0 walks home.", "In red.", "Third."]
    assert [row["image_id"] for row in imported.rows["train"]] == ["cam/0", "cam/1"]
    assert imported.rows["train"][0]["caption_backends"] == ["luperson-t"] * 3
    assert "listings of an image that was listed before: 2" in imported.said


def test_what_two_listings_say_differently_is_counted_and_the_first_counts(run):
    listed = [entry(0), entry(0, id=7), entry(1), entry(1)]
    imported = run(listed, "--layout", "ham-pedes")
    assert [row["person_id"] for row in imported.rows["train"]] == ["0", "1"]
    assert "say something else of an image than an earlier one, which counts: 1" in imported.said


def test_noise_of_language_models_is_left_out_and_told(run):
    imported = run(
        [
            entry(0, captions=["Wearing [clothing description], the man walks.", "A man walks."]),
            entry(1, captions=["<p>A man</p>"]),
            entry(2, captions=["A woman walks./n", "A woman runs.\\n/n"]),
            entry(3, captions=["/n"]),
        ]
    )
    assert imported.captions == {"cam/0": ["A man walks."], "cam/2": ["A woman walks.", "A woman runs."]}
    assert imported.rejected == {
        "cam/1.jpg": "has no caption, but texts that describe nothing",
        "cam/3.jpg": "has no caption",
    }
    for told in ("hold 'description]' or '<', as texts of language models that went wrong do: 2", "was cut off: 2"):
        assert told in imported.said and told in imported.card
    assert "## What is odd in this data" in imported.card


def test_captions_have_their_normal_form(run):
    imported = run([entry(0, captions=["A man&#39;s \u201cred\u201d  coat\t\ufeff", "Half a \ud83d."])])
    assert imported.captions["cam/0"] == ['A man\'s "red" coat', "Half a ?."]


@pytest.mark.parametrize(
    ("content", "splits"),
    [
        ("\n".join(json.dumps(entry(number)) for number in range(4)), {"train": 4}),
        ({"info": "x", "annotations": [entry(0), entry(1)]}, {"train": 2}),
        ({"train": [entry(0), entry(1)], "valid": [entry(2)], "test": [entry(3)]}, {"train": 2, "val": 1, "test": 1}),
        ({"0": entry(0), "1": entry(1)}, {"train": 2}),
        ([entry(0, captions="One text."), entry(1, id="7"), entry(2, id=1.0)], {"train": 3}),
        ([entry(0), entry(1, split="dev"), entry(2, split="restval")], {"train": 1, "val": 1, "restval": 1}),
        ({"cam/0.jpg": "A man walks.", "cam/1.jpg": ["A man runs.", "A man sits."]}, {"train": 2}),
    ],
)
def test_other_shapes_of_the_same(content, splits, run):
    assert {split: len(rows) for split, rows in run(content).rows.items()} == splits


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (entry(1, captions=[3]), "'captions' must be a list of texts"),
        (entry(1, file_path="../x.jpg"), "'file_path' must be a path below the image folder"),
        ({"file_path": "cam/1.jpg"}, "lacks the key 'captions'"),
        (entry(1, split="../x"), "has the split '../x', which is no name"),
        ("a text", "is not a mapping"),
    ],
)
def test_one_broken_entry_among_others_is_listed(broken, reason, run):
    imported = run([entry(0), broken, *(entry(number) for number in range(2, 6))])
    ((name, told),) = imported.rejected.items()
    assert name == "set.json: entry 1 (counted from 0)" and reason in told
    assert len(imported.rows["train"]) == 5 and "1 image was refused (1 in a broken entry)" in imported.said


def test_a_broken_line_of_json_lines_is_one_row(run):
    imported = run("\n".join([json.dumps(entry(0)), "{broken", *(json.dumps(entry(n)) for n in range(1, 5))]))
    ((name, told),) = imported.rejected.items()
    assert name == "set.json: line 2" and told.startswith("is not valid JSON") and len(imported.rows["train"]) == 5


def test_many_broken_entries_end_the_import_with_the_first(refused):
    listed = [entry(0), entry(1), {"image": "cam/2.jpg"}, {"image": "cam/3.jpg"}]
    assert "entry 2 (counted from 0) lacks the key 'file_path'" in refused(listed)


def test_missing_images_and_the_rest_of_the_folder_are_counted(run, images):
    (images / "cam" / "1.jpg").write_bytes(b"")
    imported = run([entry(0), entry(1), entry(77)])
    assert imported.rejected == {
        "cam/1.jpg": "zero bytes",
        "cam/77.jpg": "cannot be read (No such file or directory)",
    }
    assert "names 3 images, of which 2 are in" in imported.said and "4 are not named" in imported.said
    assert "2 images were refused (2 whose image is missing or unreadable)" in imported.said


def test_another_spelling_is_taken_only_if_asked(run, refused):
    listed = [entry(0, file_path="imgs\\cam\\0.PNG"), entry(0, captions=["Again."]), entry(1)]
    said = refused(listed)
    assert "1 of the 3 paths in" in said and "'cam/0.jpg' in" in said and "--fix-paths" in said
    imported = run(listed, "--fix-paths")
    assert imported.captions == {"cam/0": ["Person 0 walks home.", "Again."], "cam/1": ["Person 1 walks home."]}


def test_no_path_leads_out_of_the_folder(run, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(9))
    imported = run([entry(0), entry(1), entry(2), entry(3, file_path=str(tmp_path / "secret.jpg"))], "--fix-paths")
    assert list(imported.rejected.values()) == ["cannot be read (No such file or directory)"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n", "is a Git LFS pointer"),
        ("<!DOCTYPE html><html><title>Log in</title></html>", "is a log-in page"),
        ("", "is empty"),
        (json.dumps([entry(0), entry(1)])[:-20], "is not valid JSON"),
        ([entry(n % 6, split=f"s{n}") for n in range(30)], "the set names 30 splits"),
        (
            [entry(0, captions=[" "])],
            "no image of the split 'train' can be used; the first, cam/0.jpg, .* has no caption",
        ),
    ],
)
def test_what_ends_an_import_is_one_sentence(content, message, refused):
    import re

    assert re.search(message, refused(content))


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([entry(0), entry(1, captions=["<b>"])], "--strict refuses"),
        ([entry(0), entry(1, captions=["A man walks./n"])], "--strict refuses"),
        ([entry(0), entry(1, captions=[" "])], "--strict refuses"),
        ([entry(0), entry(77)], "--strict refuses this set: 1 of the images that it names are missing"),
        ([entry(0), entry(1), entry(1, split="test")], "images that are in more than one split, and stay there: 1"),
    ],
)
def test_strict_refuses_what_is_odd(listed, message, refused):
    assert message in refused(listed, "--strict")


def test_strict_refuses_images_that_cannot_be_decoded_and_leaves_nothing(refused, images):
    (images / "cam" / "1.jpg").write_bytes(b"no image")
    said = refused([entry(0), entry(1)], "--strict")
    assert "1 image was refused (1 whose image is missing or unreadable)" in said


def test_strict_takes_a_clean_set(run):
    assert len(run([entry(number) for number in range(6)], "--strict").rows["train"]) == 6


def test_an_image_in_two_splits_stays_in_both_and_is_told(run):
    imported = run([entry(0), entry(0, split="test", captions=["In red he walks."])])
    captions = {split: [row["captions"] for row in rows] for split, rows in imported.rows.items()}
    assert captions == {"train": [["Person 0 walks home."]], "test": [["In red he walks."]]}
    assert "images that are in more than one split, and stay there: 1" in imported.said
    ids = [row["image_id"] for rows in imported.rows.values() for row in rows]
    assert len(set(ids)) == 2
