"""The part `sharing` of `make bench`: each measurement has its own environment, threads and busy process."""

import subprocess
import time

import psutil
import pytest

from unipt_train.speed import sharing


def busy_niceness(wanted):
    """The niceness of every busy process that is a child of this one; waits until it is what is wanted."""
    for _ in range(100):
        children = [child for child in psutil.Process().children() if "while True" in " ".join(child.cmdline())]
        found = [child.nice() for child in children]
        if found in ([], [psutil.Process().nice() + wanted]):
            break
        time.sleep(0.05)
    return found


def test_every_way_is_measured_alone_and_beside_a_busy_process(monkeypatch, tmp_path):
    measured = []

    def seconds(way):
        measured.append((way.name, busy_niceness(way.niceness)))
        return 0.5

    monkeypatch.setattr(sharing, "step_seconds", seconds)
    figures = list(sharing.measure(tmp_path))
    assert {figure.value for figure in figures[1:]} == {500.0}
    wanted = []
    for way in sharing.WAYS:
        if not way.niceness:
            wanted.append((way.name, []))
        wanted.append((way.name, [psutil.Process().nice() + way.niceness]))
    assert measured == wanted
    assert busy_niceness(0) == []


def test_a_way_reaches_its_process(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(sharing, "usable_cores", lambda: [0, 1, 2])
    given = []

    def run(command, env, **options):
        given.append((command[-1], env.get("OMP_WAIT_POLICY"), env.get("GOMP_SPINCOUNT")))
        return subprocess.CompletedProcess(command, 0, "a line\n0.25\n", "")

    monkeypatch.setattr(sharing.subprocess, "run", run)
    assert [sharing.step_seconds(way) for way in sharing.WAYS] == [0.25] * len(sharing.WAYS)
    assert given == [
        ("3", None, None),
        ("3", None, None),
        ("3", None, "1000"),
        ("3", None, "10000"),
        ("3", "PASSIVE", None),
        ("1", None, None),
    ]


def test_steps_that_fail_are_told(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "no memory")
    monkeypatch.setattr(sharing.subprocess, "run", lambda *command, **options: failed)
    with pytest.raises(RuntimeError, match="one thread failed: no memory"):
        sharing.step_seconds(sharing.WAYS[-1])
