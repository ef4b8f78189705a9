"""How an output folder comes to be: begun, continued, finished, left alone or refused."""

import json

import pytest

from modeling_unipt.common.output_folders import SETTINGS_FILE, finish_output, start_output
from modeling_unipt.common.user_errors import UserError

SETTINGS = {"command": "index", "size": (384, 128)}
DEFAULTS = {"sources": None, "index": "exact"}


def finished(output, settings):
    finish_output(start_output(output, settings), output)


def begun(output, settings):
    return start_output(output, settings, keep_partial=True)


def test_an_output_is_begun_and_finished(tmp_path):
    output = tmp_path / "deep" / "out"
    partial = start_output(output, SETTINGS)
    assert partial == tmp_path / "deep" / "out.partial" and not output.exists()
    (partial / "result").write_text("1")
    finish_output(partial, output)
    assert sorted(path.name for path in output.iterdir()) == [SETTINGS_FILE, "result"]
    assert json.loads((output / SETTINGS_FILE).read_text()) == {"command": "index", "size": [384, 128]}
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_an_empty_folder_may_be_there(tmp_path):
    (tmp_path / "out").mkdir()
    finished(tmp_path / "out", SETTINGS)
    assert (tmp_path / "out" / SETTINGS_FILE).exists()


def test_a_complete_output_is_left_alone_and_that_is_told(tmp_path, caplog):
    caplog.set_level("INFO", "modeling_unipt")
    finished(tmp_path / "out", SETTINGS)
    assert start_output(tmp_path / "out", SETTINGS) is None
    assert caplog.messages == [f"{tmp_path / 'out'} is already complete; nothing to do"]


def test_other_settings_are_refused_with_the_difference(tmp_path):
    finished(tmp_path / "out", SETTINGS)
    with pytest.raises(
        UserError, match=r"out was made with other settings: size was \[384, 128\] and is now \[192, 64\]"
    ):
        start_output(tmp_path / "out", SETTINGS | {"size": (192, 64)})


def test_what_is_not_ours_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.doc").write_text("")
    for name in ("file", "folder"):
        with pytest.raises(UserError, match=f"{name} exists and was not made by this command"):
            start_output(tmp_path / name, SETTINGS)


# A setting of a newer version is missing in an older version's file, and the other way round.
ONE_SIDE = [
    (SETTINGS, SETTINGS | {"index": "exact"}),
    (SETTINGS | {"index": "exact"}, SETTINGS),
    (SETTINGS, SETTINGS | {"sources": None, "unknown": None}),
    (SETTINGS | {"sources": None, "unknown": None}, SETTINGS),
]
DIFFERENT = [
    (SETTINGS, SETTINGS | {"index": "ivf"}, 'index was "exact" and is now "ivf"'),
    (SETTINGS | {"index": "ivf"}, SETTINGS, 'index was "ivf" and is now "exact"'),
    (SETTINGS, SETTINGS | {"unknown": 3}, "unknown was null and is now 3"),
    (SETTINGS | {"unknown": 3}, SETTINGS, "unknown was 3 and is now null"),
]


@pytest.mark.parametrize(("before", "now"), ONE_SIDE)
def test_a_setting_that_one_side_lacks_counts_as_its_default(tmp_path, before, now):
    finished(tmp_path / "out", before)
    assert start_output(tmp_path / "out", now, defaults=DEFAULTS) is None
    partial = begun(tmp_path / "other", before)
    (partial / "half").write_text("1")
    assert start_output(tmp_path / "other", now, keep_partial=True, defaults=DEFAULTS) == partial
    assert (partial / "half").exists()


@pytest.mark.parametrize(("before", "now", "difference"), DIFFERENT)
def test_a_setting_that_differs_from_the_default_is_refused(tmp_path, before, now, difference):
    finished(tmp_path / "out", before)
    with pytest.raises(UserError, match=f"out was made with other settings: {difference}"):
        start_output(tmp_path / "out", now, defaults=DEFAULTS)
    begun(tmp_path / "other", before)
    with pytest.raises(UserError, match=f"other.partial was begun with other settings: {difference}; run that command"):
        start_output(tmp_path / "other", now, keep_partial=True, defaults=DEFAULTS)
    assert (tmp_path / "other.partial").exists()


def test_unfinished_work_is_continued_or_begun_anew(tmp_path):
    partial = begun(tmp_path / "out", SETTINGS)
    (partial / "half").write_text("1")
    assert begun(tmp_path / "out", SETTINGS) == partial and (partial / "half").exists()
    assert start_output(tmp_path / "out", SETTINGS) == partial and not (partial / "half").exists()
    (partial / SETTINGS_FILE).write_text("{")
    (partial / "half").write_text("1")
    assert begun(tmp_path / "out", SETTINGS) == partial and not (partial / "half").exists(), "nobody knows what it was"


def test_an_output_that_cannot_be_made_is_named_and_nothing_is_left(tmp_path):
    """The sentence names what the user typed, not the folder aside."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^output .*/file/output cannot be made \(Not a directory\)"):
        start_output(tmp_path / "file" / "output", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
