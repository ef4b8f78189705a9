"""The one atomic write: the former file or the new one, whole, whatever happens to the writer."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from modeling_unipt.common.atomic_files import write_json, write_text, written_aside
from tests.helpers.paths import ROOT


def test_text_and_json_replace_a_file(tmp_path):
    path = tmp_path / "settings.json"
    write_text(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    write_json(path, {"size": "größe", "numbers": (1, 2)})
    assert path.read_text(encoding="utf-8").startswith('{\n  "size": "größe"') and path.read_text()[-1] == "\n"
    write_json(path, {"numbers": [1, 2]}, indent=None)
    assert path.read_text() == '{"numbers": [1, 2]}\n'
    assert [each.name for each in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failing_block_leaves_the_former_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("former")
    with pytest.raises(type(error)), written_aside(path) as aside:
        aside.write_text("half")
        assert path.read_text() == "former"
        raise error
    assert path.read_text() == "former" and [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_a_value_that_json_does_not_know_leaves_the_former_file(tmp_path):
    path = tmp_path / "settings.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


def test_a_killed_process_leaves_the_former_file_and_the_next_writer_cleans_up(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("former")
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from modeling_unipt.common.atomic_files import written_aside
with written_aside({str(path)!r}) as aside:
    aside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -signal.SIGKILL
    assert path.read_text() == "former"
    assert [each.name for each in tmp_path.iterdir() if each != path] == [".aside-table.csv"]
    write_text(path, "new")
    assert path.read_text() == "new" and [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_the_suffix_is_kept_because_writers_choose_the_format_by_it(tmp_path):
    for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG")):
        path = tmp_path / f"sheet{suffix}"
        with written_aside(path) as aside:
            Image.new("RGB", (2, 2)).save(aside)
        assert Image.open(path).format == kind


def test_an_error_names_the_file_and_not_the_one_aside(tmp_path):
    for path in (tmp_path / "gone" / "a.json", tmp_path / "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(OSError) as failed:
            write_text(path, "new")
        assert failed.value.filename == str(path)
        assert failed.value.errno in (errno.ENOENT, errno.EISDIR)
    assert sorted(os.listdir(tmp_path)) == ["folder"]


def test_other_files_keep_their_names_in_errors(tmp_path):
    with pytest.raises(FileNotFoundError) as failed, written_aside(tmp_path / "copy"):
        (tmp_path / "original").read_bytes()
    assert failed.value.filename == str(tmp_path / "original")


def test_the_bytes_are_on_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    write_text(tmp_path / "a", "text")
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_a_file_is_as_readable_as_the_umask_says_whatever_wrote_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with written_aside(tmp_path / "best.safetensors") as aside:
            aside.touch(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "best.safetensors").stat().st_mode & 0o777 == mode
