"""What a crawl leaves in a folder, between ordinary people: each file is used as a viewer would show it, or listed."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from dataset_builders.luperson_t.__main__ import main
from modeling_unipt.common.image_files import read_image
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.open import FolderSource, open_source
from tests.helpers.luperson_t_builds import rejected_of, rows_of
from tests.helpers.people import draw_person

BLOCK = (slice(10, 40), slice(8, 24))
GREY = np.linspace(0, 255, 96 * 32).reshape(96, 32)
UNREADABLE = "/proc/self/mem"  # a regular file whose first byte nobody can read, not even root


def flat(colour, mode="RGB"):
    return Image.new(mode, (32, 96), colour)


def make_hostile(folder):
    """Write the files.

    Returns:
        (name -> expected (96, 32, 3) pixels, or None where any are fine; name -> pattern of the reason).
    """
    (folder / "a" / "b" / "c").mkdir(parents=True)
    used = {f"person_{number}.png": np.asarray(draw_person(number)) for number in range(4)}
    for number in range(4):
        draw_person(number).save(folder / f"person_{number}.png")
    used["a/b/c/deep.png"] = np.asarray(draw_person(10))
    draw_person(10).save(folder / "a/b/c/deep.png")
    used["copy_of_person_0.png"] = used["person_0.png"]
    (folder / "copy_of_person_0.png").write_bytes((folder / "person_0.png").read_bytes())
    for number, name in enumerate(["Größe 人 👤.png", "two\nlines.png", "SHOUTED.PNG", "a.b..png"]):
        draw_person(20 + number).save(folder / name)
        used[name] = np.asarray(draw_person(20 + number))
    draw_person(30).save(folder / "really_a_png.jpg", format="PNG")
    used["really_a_png.jpg"] = np.asarray(draw_person(30))

    ink = np.zeros((96, 32, 4), np.uint8)
    ink[BLOCK] = (0, 255, 255, 0)  # no cyan, all magenta and yellow: red on white paper
    Image.fromarray(ink, "CMYK").save(folder / "cmyk.tif")
    used["cmyk.tif"] = np.full((96, 32, 3), 255, np.uint8)
    used["cmyk.tif"][BLOCK] = (255, 0, 0)
    flat((0, 255, 255, 0), "CMYK").save(folder / "cmyk.jpg", quality=100)
    used["cmyk.jpg"] = np.asarray(flat("red"))

    Image.fromarray((GREY * 257).astype(np.uint16)).save(folder / "sixteen.png")
    Image.fromarray((GREY * 257).astype(np.uint16)).save(folder / "sixteen.tif")
    used["sixteen.png"] = used["sixteen.tif"] = np.repeat(GREY.astype(np.uint8)[..., None], 3, axis=2)

    alpha = flat((0, 0, 0, 0), "RGBA")  # the hidden colour is black, the page behind is white
    alpha.paste((0, 0, 255, 128), (8, 10, 24, 40))
    alpha.save(folder / "alpha.png")
    used["alpha.png"] = np.full((96, 32, 3), 255, np.uint8)
    used["alpha.png"][BLOCK] = (127, 127, 255)
    flat((0, 0, 0)).save(folder / "keyed.png", transparency=(0, 0, 0))
    used["keyed.png"] = np.full((96, 32, 3), 255, np.uint8)
    flat(0, "LA").save(folder / "grey_alpha.png")
    used["grey_alpha.png"] = used["keyed.png"]

    upright = np.zeros((96, 32, 3), np.uint8)
    upright[:48] = (0, 200, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: to be shown turned by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(folder / "turned.png", exif=exif)
    used["turned.png"] = upright

    frames = [flat("yellow"), flat("blue")]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    used["animated.gif"] = used["animated.webp"] = np.asarray(frames[0])
    Image.new("RGB", (1, 1), "teal").save(folder / "dot.png")
    used["dot.png"] = np.asarray(Image.new("RGB", (1, 1), "teal"))

    png = (folder / "person_1.png").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "torn.png").write_bytes(png[: len(png) // 2])
    draw_person(2).save(folder / "torn.jpg")
    os.truncate(folder / "torn.jpg", 900)
    (folder / "stub.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "text.jpg").write_text("not an image")
    (folder / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("1", (10_000, 9_000)).save(folder / "big.png")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "a" / "round").symlink_to("..")  # a loop of folders
    (folder / "unreadable.jpg").symlink_to(UNREADABLE)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "vast.jpg").touch()
    os.truncate(folder / "vast.jpg", 1 << 33)  # a hole of 8 GiB
    refused = {
        "empty.jpg": "zero bytes",
        "torn.png": "cannot be decoded",
        "torn.jpg": "cannot be decoded (OSError)",
        "stub.jpg": "cannot be decoded",
        "text.jpg": "cannot be decoded (UnidentifiedImageError)",
        "page.png": "cannot be decoded (UnidentifiedImageError)",
        "bomb.png": "more than 64,000,000 pixels",
        "big.png": "10000 x 9000 pixels, more than 64,000,000 in all",
        "loop.jpg": "cannot be read (Too many levels of symbolic links)",
        "gone.jpg": "cannot be read (No such file or directory)",
        "unreadable.jpg": "cannot be read (Input/output error)",
        "pipe.jpg": "is not a file",
        "vast.jpg": "more than 268,435,456 bytes",
    }
    (folder / "notes.txt").write_text("not an image by name either")
    (folder / "folder.jpg").mkdir()
    return used, refused


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "crops"
    folder.mkdir()
    return folder, *make_hostile(folder)


@pytest.fixture(scope="module")
def built(hostile, tiny_clip_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "luperson-t"
    main(["--images", str(hostile[0]), "--scorer", str(tiny_clip_folder), "--output", str(output), "--batch-size", "8"])
    return rows_of(output), rejected_of(output), output


def test_used_and_rejected_are_all_that_was_found(hostile, built):
    folder, used, refused = hostile
    rows, rejected, output = built
    found = open_source(folder)
    assert {found.name(position) for position in range(len(found))} == set(used) | set(refused)
    assert len(rows) == len(used) and set(rejected) == set(refused)
    assert len(rows) + len(rejected) == len(found)
    assert len({row["image_id"] for row in rows}) == len(rows)
    statistics = json.loads((output / "statistics.json").read_text())
    assert (statistics["images"], statistics["rejected"]) == (len(used), len(refused))


def test_every_refusal_says_why(hostile, built):
    for name, reason in hostile[2].items():
        assert reason in built[1][name], name


def test_what_is_used_looks_as_a_viewer_shows_it(hostile, built):
    source = FolderSource(hostile[0])
    name_of = {source.ids[position]: source.name(position) for position in range(len(source))}
    for row in built[0]:
        name = name_of[row["image_id"]]
        expected = hostile[1][name]
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            assert image.mode == "RGB" and image.format in ("JPEG", "PNG"), name
            assert not image.getexif() and not image.has_transparency_data and getattr(image, "n_frames", 1) == 1, name
            stored = np.asarray(image).astype(int)
        tolerance = 6 if name == "cmyk.jpg" else 1 if name.startswith(("alpha", "sixteen")) else 0  # rounding
        assert stored.shape == expected.shape, name
        assert np.abs(stored - expected).max() <= tolerance, name


def test_the_copy_is_marked(built):
    duplicate_of = {row["image_id"]: row["duplicate_of"] for row in built[0]}
    assert duplicate_of["person_0.png"] == "copy_of_person_0.png" and duplicate_of["person_1.png"] is None


def test_the_images_are_decoded_so_everywhere(hostile):
    folder, used, _ = hostile
    for name in ("sixteen.png", "alpha.png", "turned.png", "cmyk.tif"):
        assert np.abs(np.asarray(read_image(folder / name)).astype(int) - used[name]).max() <= 1, name


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    draw_person(0).save(tmp_path / "0.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may list every folder
    with pytest.raises(UserError, match="locked cannot be listed .Permission denied"):
        open_source(tmp_path)
