"""Files that are not what their name says are called by what they are, with the way to the data."""

import pytest

from modeling_unipt.common.stand_ins import HEAD_BYTES, refuse_stand_in, refuse_stand_ins_of_model, what_stands_there
from modeling_unipt.common.user_errors import UserError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
LOG_IN = b"<!DOCTYPE html>\n<html><head><title>Sign in &ndash; Google Accounts</title></head>"
STAND_INS = [
    (LFS, "a Git LFS pointer to a file of 12,345 bytes, not the file itself", "run 'git lfs pull' in its folder"),
    (LFS.replace(b"\n", b"\r\n"), "a Git LFS pointer to a file of 12,345 bytes", "git lfs pull"),
    (
        LOG_IN,
        'a log-in page ("Sign in \u2013 Google Accounts"), not the file itself',
        "in a browser if a log-in is needed",
    ),
    (b"\xef\xbb\xbf \n<HTML><TITLE>404</TITLE>", 'a web page ("404")', "download it again"),
    (b"<!-- a --><html lang=en>", "a web page, not the file itself", "download it again"),
    (
        b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>",
        "an error message of a server (AccessDenied)",
        "again",
    ),
    (b"<?xml version='1.0'?>\n<annotation/>", "an XML document", "save the data in the format"),
    (b"<h1>403 Forbidden</h1>", "a web page", "download it again"),
    (
        b'{"error_code": 31045, "error_msg": "user not exists", "request_id": 8}',
        "an error message of a server",
        "again",
    ),
    (b"error code: 1020", "an error message of a server", "download it again"),
    (b"<<<<<<< HEAD\n[1]\n=======\n", "a file with unresolved conflicts of git", "resolve them"),
    (b"Entry not found", 'an error message of a server ("Entry not found")', "download it again"),
    (b"Access to model a/b is restricted.", "an error message of a server", "download it again"),
    (b'{"error": "Repository not found"}', "an error message of a server", "download it again"),
    (b'{"message": "Not Found", "status": "404"}', "an error message of a server", "download it again"),
    (b"/annex/objects/SHA256E-s1--ab.json\n", "a git-annex pointer", "run 'git annex get'"),
    (b"outs:\n- md5: ab\n  size: 3\n", "a DVC pointer", "run 'dvc pull'"),
    (b"../../blobs/0123abcd", "the text of a symbolic link", "copy the file itself"),
    (b"PK\x03\x04\x14\0", "a zip archive or an Excel workbook", "unpack it"),
    (b"\x1f\x8b\x08\0", "a gzip archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "save the data in the format"),
    (b"%PDF-1.7", "a PDF document", "save the data in the format"),
    (b"\0\x05\x16\x07\0\x02", "an AppleDouble file", "get the file itself"),
    (bytes(HEAD_BYTES), "nothing but zero bytes", "download it again"),
]
DATA = [
    b'[{"split": "train", "captions": ["A man."], "file_path": "a.jpg", "id": 1}]',
    b'{"a.jpg": "A message on a shirt."}',
    b'{"message": "A caption", "a.jpg": "A man."}',
    b"file_name,camera\nnot found.jpg,1\n",
    b"\xff\xd8\xff\xe0\0\x10JFIF",
    b"\x89PNG\r\n\x1a\n",
    b"\0" * 16 + b"data",
    b"",
]


@pytest.mark.parametrize(("head", "what", "remedy"), STAND_INS)
def test_what_stands_in_the_place_of_data_is_named(tmp_path, head, what, remedy):
    assert what in what_stands_there(head)
    path = tmp_path / "reid_raw.json"
    path.write_bytes(head)
    with pytest.raises(UserError) as refusal:
        refuse_stand_in(path)
    assert str(refusal.value).startswith(f"{path} is {what}") and remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("head", DATA)
def test_data_is_not_taken_for_something_else(head):
    assert what_stands_there(head) is None


@pytest.mark.parametrize(
    ("name", "head"),
    [("a.zip", b"PK\x03\x04"), ("a.pth", b"PK\x03\x04"), ("a.xml", b"<?xml?>"), ("a.parquet", b"PAR1")],
)
def test_a_file_that_is_what_its_name_says_is_taken(tmp_path, name, head):
    (tmp_path / name).write_bytes(head)
    refuse_stand_in(tmp_path / name)


def test_an_empty_file_is_refused_and_a_missing_one_is_left_to_its_reader(tmp_path):
    (tmp_path / "a.json").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.json is empty; download or copy it again"):
        refuse_stand_in(tmp_path / "a.json")
    refuse_stand_in(tmp_path / "gone.json")
    refuse_stand_in(tmp_path)


def test_the_files_of_a_model_are_looked_at(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_bytes(b"")
    refuse_stand_ins_of_model(tmp_path)
    refuse_stand_ins_of_model("name/on-the-hub")
    (tmp_path / "model.safetensors").write_bytes(LFS)
    with pytest.raises(UserError, match=r"model\.safetensors is a Git LFS pointer"):
        refuse_stand_ins_of_model(tmp_path)
