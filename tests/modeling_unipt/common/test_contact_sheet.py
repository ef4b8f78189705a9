"""The contact sheet: every image whole, framed by what is known of it."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from modeling_unipt.common.contact_sheet import (
    FRAME_COLOURS,
    TILE_HEIGHT,
    TILE_WIDTH,
    check_sheet_path,
    contact_sheet,
    write_contact_sheet,
)
from modeling_unipt.common.user_errors import UserError


def count_pixels(sheet, colour):
    return int((np.asarray(sheet) == ImageColor.getrgb(colour)).all(axis=2).sum())


def results(*hits, size=(64, 192), colour="#204080"):
    return [(Image.new("RGB", size, colour), f"{rank}: 0.5", hit) for rank, hit in enumerate(hits, start=1)]


def test_hits_and_misses_are_framed_in_their_colours():
    sheet = contact_sheet([("a man", results(True, False, False))])
    hit, miss = count_pixels(sheet, FRAME_COLOURS[True]), count_pixels(sheet, FRAME_COLOURS[False])
    assert hit > 1000 and miss == 2 * hit
    assert count_pixels(sheet, FRAME_COLOURS[None]) == 0


def test_unknown_truth_gets_a_neutral_frame():
    sheet = contact_sheet([("a man", results(None, None))])
    assert count_pixels(sheet, FRAME_COLOURS[None]) > 1000
    assert count_pixels(sheet, FRAME_COLOURS[True]) == count_pixels(sheet, FRAME_COLOURS[False]) == 0


@pytest.mark.parametrize("size", [(64, 192), (200, 60), (10, 900), (3000, 3000)])
def test_images_are_shown_whole_in_their_own_shape(size):
    sheet = contact_sheet([("a man", results(None, size=size))])
    scale = min(TILE_WIDTH / size[0], TILE_HEIGHT / size[1])
    shown = round(size[0] * scale) * round(size[1] * scale)
    assert count_pixels(sheet, "#204080") == pytest.approx(shown, rel=0.1)


def test_long_queries_are_wrapped_and_bounded():
    short = contact_sheet([("a man", results(None))])
    long = contact_sheet([("a woman in a red coat " * 8, results(None))])
    endless = contact_sheet([("a woman in a red coat " * 400, results(None))])
    one_word = contact_sheet([("x" * 5000, results(None))])
    assert long.width == short.width and short.height < long.height <= endless.height < short.height + 120
    assert one_word.height <= endless.height


def test_rows_may_differ_in_length_and_images_in_mode():
    grey = [(Image.new("LA", (20, 60), (90, 255)), "1", None)]
    sheet = contact_sheet([("a man", results(None, None, None, None, None, None)), ("", grey), ("nobody", [])])
    assert sheet.mode == "RGB"


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one query"):
        contact_sheet([])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_a_sheet_is_saved_in_the_format_of_its_suffix(tmp_path, suffix):
    path = tmp_path / f"sheet{suffix}"
    check_sheet_path(path)
    write_contact_sheet(path, [("a man", results(None))])
    assert Image.open(path).size == contact_sheet([("a man", results(None))]).size
    assert list(tmp_path.iterdir()) == [path]


def test_a_sheet_that_cannot_be_saved_is_one_sentence(tmp_path):
    (tmp_path / "folder.png").mkdir()
    many = [("a man", results(None))] * 250
    for path, sheet, reason in (
        (tmp_path / "gone" / "sheet.png", many[:1], "No such file or directory"),
        (tmp_path / "folder.png", many[:1], "Is a directory"),
        (tmp_path / "sheet.xyz", many[:1], "unknown file extension"),
        (tmp_path / "sheet.jpg", many, ""),
    ):
        with pytest.raises(UserError, match=f"the contact sheet {path} cannot be saved: .*{reason}") as refused:
            write_contact_sheet(path, sheet)
        assert "\n" not in str(refused.value) and ".aside" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_suffix_without_a_format_is_told_early(tmp_path):
    with pytest.raises(UserError, match=r"--sheet .*out.xyz must end in one of .jpeg, .jpg, .png, .webp"):
        check_sheet_path(tmp_path / "out.xyz", "--sheet")
