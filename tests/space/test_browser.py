"""The browser tests are never silently missing: a browser is got where that is possible, and its absence is told."""

import subprocess
import sys
import time

import pytest

from tests.helpers import get_chromium, space_server
from tests.helpers.paths import ROOT


@pytest.fixture
def no_browser(tmp_path, monkeypatch):
    """A machine on which there is no browser: an empty PATH and home."""
    monkeypatch.setattr(get_chromium, "SYSTEM_CHROMIUM", tmp_path / "missing")
    monkeypatch.setattr(get_chromium, "PLAYWRIGHT_FOLDERS", (tmp_path / "home",))
    monkeypatch.delenv("PLAYWRIGHT_BROWSERS_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def put_program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("variable", ["CI", "UNIPT_BROWSER_TESTS", None])
def test_without_a_browser_a_test_is_skipped_or_fails_with_the_mend(no_browser, monkeypatch, variable):
    for name in ("CI", "UNIPT_BROWSER_TESTS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "required")
    expected = pytest.fail.Exception if variable else pytest.skip.Exception
    with pytest.raises(expected, match="needs Chromium, and there is none; get one with .*get_chromium.py"):
        space_server.chromium_or_skip()


@pytest.mark.parametrize(
    "program",
    [
        "bin/chromium",
        "bin/google-chrome",
        "home/chromium-1200/chrome-linux64/chrome",
        "home/chromium-1200/chrome-mac/Chromium.app/Contents/MacOS/Chromium",
    ],
)
def test_a_browser_is_found_on_the_path_and_where_playwright_keeps_it(no_browser, program):
    assert get_chromium.find_chromium() is None
    put_program(no_browser / program)
    assert get_chromium.find_chromium() == no_browser / program


@pytest.mark.parametrize(
    ("root", "working", "expected"),
    [
        (True, "apt-get", ["apt-get update", "apt-get install"]),
        (True, "playwright", ["apt-get update", "playwright install"]),
        (False, "playwright", ["playwright install"]),
        (False, None, ["playwright install"]),
    ],
)
def test_the_script_tries_apt_as_root_then_playwright(no_browser, monkeypatch, capsys, root, working, expected):
    put_program(no_browser / "bin" / "apt-get")
    monkeypatch.setattr(get_chromium.os, "geteuid", lambda: 0 if root else 1000)
    tried = []

    def run(command):
        name = "apt-get" if command[0] == "apt-get" else "playwright"
        tried.append(f"{name} {'update' if 'update' in command else 'install'}")
        if name == working and "install" in command:
            put_program(no_browser / "bin" / "chromium")
        return name == working

    monkeypatch.setattr(get_chromium, "run", run)
    get_chromium.main()
    assert tried == expected
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (1 if working else 2)
    assert working or told[1].startswith("no Chromium could be got, so the browser tests will be skipped; get one with")


def test_the_script_is_quick_if_the_browser_is_there(tmp_path):
    put_program(tmp_path / "google-chrome")
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, ROOT / "tests" / "helpers" / "get_chromium.py"],
            env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
            capture_output=True,
        )
        taken.append(time.perf_counter() - begun)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert min(taken) < 0.2
