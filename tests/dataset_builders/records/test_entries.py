"""Annotation files of any shape, read entry by entry."""

import hashlib
import json

import pytest

from dataset_builders.records.entries import Keys, Unreadable, read_entries
from dataset_builders.records.json_files import file_sha256
from modeling_unipt.common.user_errors import UserError

KEYS = Keys(("file_path", "image"), ("captions", "caption1"))
A = {"file_path": "a.jpg", "captions": ["one", "two"], "id": 1, "boxes": [[0.5, 1.0]]}
B = {"image": "b/c.png", "captions": "three", "chats": [[{"from": "x", "value": "y"}]]}


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_entries(path, KEYS))


@pytest.mark.parametrize(
    ("document", "groups"),
    [
        ([A, B], [None, None]),
        ({"images": [A, B]}, ["images", "images"]),
        ({"train": [A], "dev": [B]}, ["train", "dev"]),
        ({"info": {"by": "me"}, "version": 2, "images": [A, B], "tags": ["x"], "none": []}, ["images", "images"]),
        ({"data": {"version": 1, "train": [A], "test": [B]}}, ["train", "test"]),
        ({"tags": [{"name": "x"}], "meta": {"by": [{"name": "me"}]}, "images": [A, B]}, ["images", "images"]),
        ({"0": A, "1": B}, [None, None]),
        ({"first": A, "b/c.png": B}, [None, None]),
        ({"a.jpg": [A, B]}, [None, None]),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_entries_are_found_in_lists_and_mappings(document, groups, indent, tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32-be"):
        entries = read(tmp_path / "a.json", json.dumps(document, indent=indent).encode(encoding))
        assert [entry.values for entry in entries] == [A, B]
        assert [entry.group for entry in entries] == groups
        assert [entry.number for entry in entries] == [0, 1]


def test_messages_name_the_place_of_an_entry(tmp_path):
    path = tmp_path / "a.json"
    for document, place in (
        (json.dumps([A, B]), "entry 1 (counted from 0)"),
        (json.dumps({"test": [A, B]}), "entry 1 of 'test' (counted from 0)"),
        (json.dumps({"0": A, "7": B}), "entry '7'"),
        (f"\n{json.dumps(A)}\n\n{json.dumps(B)}\n", "line 4"),
    ):
        assert read(path, document)[1].where == f"{path}: {place}"


@pytest.mark.parametrize(
    ("document", "entries"),
    [
        ({"a.jpg": "A man.", "b.webp": ["x", "y"]}, [("a.jpg", "A man."), ("b.webp", ["x", "y"])]),
        ([{"a.jpg": "A man."}, {"b.JPG": ["x", "y"]}], [("a.jpg", "A man."), ("b.JPG", ["x", "y"])]),
        ([{"a.jpg": "A man.", "b.jpg": "B."}], [("a.jpg", "A man."), ("b.jpg", "B.")]),
        # Keys of LMDB files have no suffix.
        ({"01_02_0003": "A man.", "01_02_0004": "B."}, [("01_02_0003", "A man."), ("01_02_0004", "B.")]),
        ({str(number): "A man." for number in range(250)}, [(str(number), "A man.") for number in range(250)]),
    ],
)
def test_a_mapping_from_paths_to_captions_makes_entries(document, entries, tmp_path):
    expected = [{"file_path": path, "captions": captions} for path, captions in entries]
    assert [entry.values for entry in read(tmp_path / "a.json", json.dumps(document))] == expected


def test_a_wrong_entry_at_the_beginning_of_a_list_hides_nothing(tmp_path):
    entries = read(tmp_path / "a.json", json.dumps({"train": [{"id": 5}, A], "test": [B], "tags": [{"name": "x"}]}))
    assert [entry.values for entry in entries] == [{"id": 5}, A, B]
    # Without any list of entries the first list is what is told of.
    (entry,) = read(tmp_path / "a.json", json.dumps({"tags": [{"name": "x"}], "more": [{"name": "y"}]}))
    assert entry.where.endswith("entry 0 of 'tags' (counted from 0)")


def test_captions_under_their_own_keys_keep_them(tmp_path):
    document = [{"a.jpg": {"caption1": "x", "caption2": "y"}}]
    for written in (document, document[0]):
        (entry,) = read(tmp_path / "a.json", json.dumps(written))
        assert entry.values == {"file_path": "a.jpg", "caption1": "x", "caption2": "y"}


def test_the_same_path_twice_is_two_entries(tmp_path):
    entries = read(tmp_path / "a.json", '{"a.jpg": "one", "a.jpg": "two"}')
    assert [entry.values["captions"] for entry in entries] == ["one", "two"]


def test_a_file_may_be_one_entry(tmp_path):
    plain = {"file_path": "a.jpg", "captions": ["one"], "id": 1}
    for name in ("a.json", "a.jsonl"):
        (entry,) = read(tmp_path / name, json.dumps(plain))
        assert entry.values == plain


@pytest.mark.parametrize("lines", ["\n", "\r\n", "\n\n"])
def test_json_lines_are_told_by_their_content(lines, tmp_path):
    for name in ("a.json", "a.jsonl", "a.txt"):
        text = lines.join(json.dumps(entry) for entry in (A, B)) + lines
        assert [entry.values for entry in read(tmp_path / name, text)] == [A, B]


def test_what_python_writes_beside_json_is_read(tmp_path):
    entries = read(tmp_path / "a.json", json.dumps([A, B | {"id": float("inf")}, A | {"id": 10**30}]))
    assert [entry.values.get("id") for entry in entries] == [1, float("inf"), 10**30]
    assert [entry.number for entry in entries] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "is not valid JSON: it ends too early"),
        (json.dumps({"images": [A, B]})[:-10], "is not valid JSON: it ends too early"),
        ('[{"file_path": "a.jpg",}]', r"is not valid JSON .*line 1 column"),
        ("{'file_path': 'a.jpg'}", r"is not valid JSON .*line 1 column 2"),
        (json.dumps([A]) + json.dumps([B]), "is not valid JSON .Extra data: line 1"),
        (json.dumps(A) + "\n" + json.dumps(B)[:-4], "line 2 is not valid JSON"),
        (json.dumps([A]).encode("utf-16")[:-1], "is not valid JSON: it is not text in UTF-16"),
        ("[]", "holds no entry.*not empty"),
        ("{}", "holds no entry.*JSON list"),
        ("5", "holds no entry"),
        ('{"images": []}', "holds no entry"),
    ],
)
def test_what_cannot_be_read_is_told(content, told, tmp_path):
    with pytest.raises(UserError, match=told):
        read(tmp_path / "a.json", content)


def test_a_set_may_have_no_captions(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="must be a JSON list of {image} that is not empty"):
        list(read_entries(tmp_path / "a.json", Keys(("image",), ())))
    (tmp_path / "a.json").write_text('{"a.jpg": 5}')
    (entry,) = read_entries(tmp_path / "a.json", Keys(("image",), ()))
    assert entry.values == {"image": "a.jpg"}


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="a.json cannot be read .No such file"):
        list(read_entries(tmp_path / "a.json", KEYS))
    with pytest.raises(UserError, match="cannot be read"):
        file_sha256(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    assert file_sha256(tmp_path / "a.json") == hashlib.sha256(b"[]").hexdigest()


def test_a_broken_line_may_be_an_entry_that_cannot_be_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(A)}\n{{broken\n{json.dumps(B)}\n")
    first, broken, last = read_entries(tmp_path / "a.jsonl", KEYS, broken_lines=True)
    assert (first.values, last.values) == (A, B)
    assert isinstance(broken.values, Unreadable) and broken.values.startswith("is not valid JSON (Expecting property")


@pytest.mark.parametrize(
    ("begin", "line", "between"),
    [
        ("[", '{"file_path": "%d.jpg", "captions": ["A man in red."]}', ","),
        ('{"images": [', '{"file_path": "%d.jpg", "captions": ["A man in red."]}', ","),
        ("{", '"%d.jpg": "A man in red."', ","),
        ("", '{"file_path": "%d.jpg", "captions": ["A man in red."]}', "\n"),
    ],
)
def test_entries_come_before_the_end_of_the_file_is_read(begin, line, between, tmp_path):
    """A file that is loaded as a whole would tell at once that it ends in the middle."""
    (tmp_path / "a.json").write_text(begin + between.join(line % number for number in range(10_000)) + between + "{")
    entries = read_entries(tmp_path / "a.json", KEYS)
    assert [next(entries).values["file_path"] for _ in range(3)] == ["0.jpg", "1.jpg", "2.jpg"]
    numbers = []
    with pytest.raises(UserError, match="is not valid JSON"):
        numbers.extend(entry.number for entry in entries)
    assert numbers[-1] > 5000
