"""Locks between processes: held, looked at by many at once, and free again when their holder dies."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from modeling_unipt.common.locks import held as hold
from modeling_unipt.common.locks import is_held
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT

REFUSAL = "another process writes here"
HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from modeling_unipt.common.locks import held
with held({path!r}, "held"):
    print("held", flush=True)
    sys.stdin.read()
"""
LOOKER = """
import sys, time
sys.path.insert(0, {root!r})
from modeling_unipt.common.locks import is_held
print("ready", flush=True)
sys.stdin.readline()
print(*{{is_held({path!r}) for _ in range(200)}})
"""
WITHOUT_FCNTL = """
import os, sys
sys.path.insert(0, {root!r})
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "fcntl":
            raise ImportError("hidden by this test")
sys.modules.pop("fcntl", None)
sys.meta_path.insert(0, Hidden())
del os.sched_getaffinity
from modeling_unipt.common.locks import held, is_held
from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError
path = {path!r}
assert usable_cores() == list(range(os.cpu_count()))
assert not is_held(path)
with held(path, "first"):
    assert is_held(path)
    try:
        with held(path, "second"):
            raise AssertionError("held twice")
    except UserError as error:
        assert str(error) == "second"
assert not is_held(path)
with held(path, "third"):
    pass
assert "fcntl" not in sys.modules
print("all held")
"""


def python(program, path):
    return subprocess.Popen(
        [sys.executable, "-c", program.format(root=str(ROOT), path=str(path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "lock"


def test_a_held_lock_refuses_and_is_seen(lock):
    assert not is_held(lock) and not lock.exists(), "to look makes no lock file"
    with hold(lock, REFUSAL):
        assert is_held(lock)
        with pytest.raises(UserError, match=REFUSAL), hold(lock, REFUSAL):
            pytest.fail("held twice")
        assert is_held(lock), "a refusal frees nothing"
    assert lock.exists() and not is_held(lock)
    with hold(lock, REFUSAL):
        pass


def test_a_failing_block_frees_the_lock(lock):
    with pytest.raises(KeyError), hold(lock, REFUSAL):
        raise KeyError
    assert not is_held(lock)


def test_a_missing_folder_is_no_held_lock(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone does not exist"), hold(tmp_path / "gone" / "lock", REFUSAL):
        pass
    assert not is_held(tmp_path / "gone" / "lock")


def test_a_killed_process_frees_its_lock(lock):
    holder = python(HOLDER, lock)
    assert holder.stdout.readline() == "held\n"
    assert is_held(lock)
    with pytest.raises(UserError, match=REFUSAL), hold(lock, REFUSAL):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=60)
    assert not is_held(lock)
    with hold(lock, REFUSAL):
        pass


def looks(lock):
    """What two processes see that look 200 times each at the same time."""
    lookers = [python(LOOKER, lock) for _ in range(2)]
    for looker in lookers:
        assert looker.stdout.readline() == "ready\n"
    seen = []
    for looker in lookers:
        looker.stdin.write("now\n")
        looker.stdin.flush()
    for looker in lookers:
        answers, errors = looker.communicate(timeout=60)
        assert looker.returncode == 0, errors
        seen.append(answers.strip())
    return seen


def test_two_processes_that_only_look_both_see_the_truth(lock):
    with hold(lock, REFUSAL):
        assert looks(lock) == ["True", "True"]
    assert looks(lock) == ["False", "False"]
    assert sorted(os.listdir(lock.parent)) == [".looking", "lock"]


def test_a_claim_waits_for_those_who_only_look(lock):
    with hold(lock, REFUSAL):
        pass
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_held(lock)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            with hold(lock, REFUSAL):
                pass
    finally:
        stop.set()
        looker.join()


def test_a_looker_that_was_halted_is_told(lock, monkeypatch):
    monkeypatch.setattr("modeling_unipt.common.locks.LOOK_SECONDS", 0.05)
    lock.touch()
    with (
        hold(lock.with_name(".looking"), REFUSAL),
        pytest.raises(UserError, match=r"another process has held .*\.looking for 0.05 seconds; end it and try again"),
    ):
        is_held(lock)


def test_it_works_where_python_lacks_fcntl_and_sched_getaffinity(lock):
    process = python(WITHOUT_FCNTL, lock)
    out, errors = process.communicate(timeout=60)
    assert out == "all held\n", errors
