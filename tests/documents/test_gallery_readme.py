"""README's section on searching a folder runs as printed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person


@pytest.fixture
def section(tmp_path, monkeypatch):
    """The section's code blocks by language; the folders and files that they speak of are in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("unipt").symlink_to(ROOT / "unipt")
    for folder, names in (("MY_CROPS", ["a.jpg", "b.jpg", "cam_b/0017.jpg"]), ("MORE_CROPS", ["c.jpg"])):
        for seed, name in enumerate(names):
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            draw_person(seed + 10 * len(names)).save(Path(folder, name))
    draw_person(9).save("somebody.jpg")
    Path("cameras.csv").write_text("file_name,camera\na.jpg,3\nb.jpg,5\n")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Search your own folder") : text.index("## From unlabelled crops")]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.S))


def test_the_commands_run_as_printed(section, capsys):
    from modeling_unipt.cli import main

    ran = []
    for line in section["bash"].splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "unipt":
            with pytest.raises(SystemExit) as stopped:
                main(words[1:])
            out, err = capsys.readouterr()
            assert stopped.value.code == 0, (line, err)
            assert out, line
            ran.append(words[1])
    assert ran == ["index", "search", "search", "add", "remove", "info"]
    assert Path("found.png").exists()


def test_the_python_example_runs_as_printed(section):
    environment = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", section["python"]], env=environment, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(r"1 -?\d\.\d\d .*/MY_CROPS/a.jpg \{'camera': 3\}\n", finished.stdout)
    assert Path("my-gallery", "gallery.json").exists()
