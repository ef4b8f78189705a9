"""How an output folder comes to be: begun, continued, finished, left alone or refused."""

import json
import os
import threading

import pytest
import torch
from safetensors.torch import save_file

from modeling_unipt.common.output_folders import SETTINGS_FILE, finish_output, held_output, start_output
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


def test_a_second_process_is_refused_while_the_first_one_writes(tmp_path):
    output = tmp_path / "out"
    told = f"another process is already writing {output}; wait for it, or stop it first"
    with held_output(output, SETTINGS) as partial:
        (partial / "half").write_text("1")
        with pytest.raises(UserError) as refused, held_output(output, SETTINGS):
            pytest.fail("claimed twice")
        assert str(refused.value) == told
    with held_output(output, SETTINGS) as again:
        assert again == partial and (partial / "half").exists(), "what was begun is gone on with"
        finish_output(partial, output)
    assert sorted(path.name for path in output.iterdir()) == [SETTINGS_FILE, "half"], "no lock is left"
    with held_output(output, SETTINGS) as folder:
        assert folder is None
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_who_waits_for_the_lock_of_work_that_is_finished_meanwhile_finds_it_complete(tmp_path):
    found = []

    def claim():
        with held_output(tmp_path / "out", SETTINGS) as folder:
            found.append(folder)

    waiting = threading.Thread(target=claim)
    with held_output(tmp_path / "out", SETTINGS) as partial:
        waiting.start()
        waiting.join(timeout=0.1)
        assert waiting.is_alive() and not found
        finish_output(partial, tmp_path / "out")
    waiting.join()
    assert found == [None]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_all_of_a_finished_output_is_as_readable_as_the_umask_says(tmp_path, umask, mode):
    """Safetensors writes files for their owner alone."""
    before = os.umask(umask)
    try:
        partial = start_output(tmp_path / "out", SETTINGS)
        (partial / "deep").mkdir()
        for path in (partial / "model.safetensors", partial / "deep" / "model.safetensors"):
            save_file({"weight": torch.zeros(2)}, path)
            assert path.stat().st_mode & 0o777 == 0o600
        (partial / "run.sh").write_text("")
        (partial / "run.sh").chmod(0o700)
        (tmp_path / "elsewhere").write_text("")
        (tmp_path / "elsewhere").chmod(0o600)
        (partial / "link").symlink_to(tmp_path / "elsewhere")
        finish_output(partial, tmp_path / "out")
        assert os.umask(umask) == umask, "the umask stays"
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*.safetensors")}
    assert modes == {"model.safetensors": mode}
    assert (tmp_path / "out" / "deep" / "model.safetensors").stat().st_mode & 0o777 == mode
    assert (tmp_path / "out" / SETTINGS_FILE).stat().st_mode & 0o777 == mode
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o777 == mode | 0o700, "no right is taken away"
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o600, "what a link points to is not ours"
