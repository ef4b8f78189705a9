"""Which files of a folder are a user's images, and how the others are counted."""

import logging
import sys
from types import SimpleNamespace

import pytest
from PIL import Image, features

from modeling_unipt.common import image_folders
from modeling_unipt.common.image_files import UnreadableImage, read_image
from modeling_unipt.common.image_folders import left_out_line, list_folder
from modeling_unipt.common.image_formats import decodable_formats
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import draw_person

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"
JUNK = {
    "__MACOSX/cam/a.jpg": "made by macOS",
    "__MACOSX/._a.jpg": "made by macOS",
    "cam/._a.jpg": "made by macOS",
    ".AppleDouble/a.jpg": "made by macOS",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": "holding thumbnails",
    "cam/SYNOPHOTO_THUMB_XL.jpg": "holding thumbnails",
    "cam/thumbs/a.jpg": "holding thumbnails",
    ".thumbnails/a.png": "holding thumbnails",
    "Thumbnails/a.png": "holding thumbnails",
    "cam/Thumbs.db": "holding thumbnails",
    "cam/a_thumb.jpg": "holding thumbnails",
    "cam/thumb_a.png": "holding thumbnails",
    "cam/a-thumbnail.jpg": "holding thumbnails",
    ".Trash-1000/files/a.jpg": "in a waste bin",
    "$RECYCLE.BIN/a.jpg": "in a waste bin",
    ".trashed-1700000000-a.jpg": "in a waste bin",
    ".ipynb_checkpoints/a-checkpoint.png": "in the hidden folder of a program",
}


def write(folder, *names, content=b"image"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_what_systems_make_beside_images_is_left_out_and_counted(tmp_path, caplog):
    images = ["cam/a.jpg", "cam/left_thumb.jpg", "cam/thumb.jpg", "my thumbs/a.jpg", "_a.jpg"]
    write(tmp_path, *JUNK, *images)
    write(tmp_path, "notes.txt", ".DS_Store", "__MACOSX/notes.txt")
    with caplog.at_level(logging.WARNING):
        listing = list_folder(tmp_path)
    assert [path.as_posix() for path in listing.paths] == sorted(images)
    expected = {}
    for reason in JUNK.values():
        (whole,) = [known for known in listing.left_out if known.startswith(reason)]
        expected[whole] = expected.get(whole, 0) + 1
    assert listing.left_out == expected and sum(expected.values()) == len(JUNK)
    (message,) = caplog.messages
    assert message == left_out_line(tmp_path, listing.left_out)
    for told in (
        f"left out of {tmp_path}: ",
        "4 files made by macOS",
        "9 files holding thumbnails",
        "1 file in the",
    ):
        assert told in message


def test_a_clean_folder_is_not_talked_about(tmp_path, caplog):
    write(tmp_path, "a.jpg", "b.PNG")
    assert list_folder(tmp_path).left_out == {} and left_out_line(tmp_path, {}) is None and not caplog.messages


def test_a_folder_of_junk_alone_is_refused_with_the_counts(tmp_path):
    write(tmp_path, "__MACOSX/a.jpg", "._b.jpg")
    with pytest.raises(UserError, match="holds no images; .* left out of .*: 2 files made by macOS"):
        list_folder(tmp_path)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JFIF", "pgm", "avif", "jp2", "j2k"])
def test_rarer_kinds_of_image_are_read(tmp_path, suffix):
    kind = {"avif": "AVIF", "jp2": "JPEG2000", "j2k": "JPEG2000", "pgm": "PPM"}.get(suffix, "JPEG")
    if kind == "AVIF" and not ("avif" in features.modules and features.check("avif")):
        pytest.skip("this Pillow has no AVIF")
    image = Image.new("RGB", (32, 64), (200, 30, 30))
    image.save(tmp_path / f"a.{suffix}", kind)
    (path,) = list_folder(tmp_path).paths
    pixel = read_image(tmp_path / path).getpixel((16, 32))
    assert all(abs(got - drawn) < 12 for got, drawn in zip(pixel, (200, 30, 30), strict=True))


def test_a_kind_without_a_decoder_is_counted_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folders, "IMAGE_FORMATS", ("JPEG", "PNG", "JXL"))
    write(tmp_path, "a.jpg", "b.heic", "c.HEIC", "d.jxl", "e.avif")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.paths] == ["a.jpg", "d.jxl"]
    assert listing.left_out == {
        "with the suffix .avif, which needs Pillow 11.3 or later": 1,
        "with the suffix .heic, which needs the package pillow-heif": 2,
    }
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "d.jxl").unlink()
    with pytest.raises(UserError, match="holds no images; .*2 files with the suffix .heic, which needs the package"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LFS, "is a Git LFS pointer to a file of 12,345 bytes, not the file itself"),
        (b"<html><title>Log in</title>", 'is a log-in page ("Log in"), not the file itself'),
        (b"\0\x05\x16\x07\0\x02\0\0", "is an AppleDouble file, which macOS makes beside the real one"),
        (b"\x89PNG\r\n\x1a\ntorn", "cannot be decoded (UnidentifiedImageError)"),
    ],
)
def test_an_image_that_is_something_else_is_refused_by_its_content(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as refusal:
        read_image(path)
    assert str(refusal.value) == reason


def test_a_heic_image_under_another_name_says_what_it_needs(tmp_path):
    draw_person(0).save(tmp_path / "b.jpg")
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(UnreadableImage) as refusal:
        read_image(tmp_path / "a.jpg")
    assert "pillow-heif" in str(refusal.value) or "cannot be decoded" in str(refusal.value)


def test_packages_that_add_decoders_are_used_where_they_are_installed(monkeypatch):
    registered = []
    heif = SimpleNamespace(register_heif_opener=lambda: registered.append("HEIF"))
    monkeypatch.setitem(sys.modules, "pillow_heif", heif)
    monkeypatch.setitem(sys.modules, "pillow_jxl", SimpleNamespace())
    assert {"HEIF", "JXL"} <= set(decodable_formats()) and registered == ["HEIF"]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert not {"HEIF", "JXL"} & set(decodable_formats())
