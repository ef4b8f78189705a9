"""How a training's threads wait: asleep where other processes keep cores busy, unless the user has said how."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from modeling_unipt.common.parallel import usable_cores
from tests.helpers.paths import ROOT
from unipt_train.engine import waiting
from unipt_train.engine.waiting import busy_cores, sleep_where_cores_are_busy


@pytest.fixture
def start(monkeypatch):
    """A function that is the start of a command: the environment, and whether cores are busy; returns the policy."""

    def start(environment, busy_share, torch_is_loaded=False):
        for name in (*waiting.SET_BY_THE_USER, "LOCAL_WORLD_SIZE"):
            # What was not set before is taken away in the end only if monkeypatch has set it itself.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(waiting, "sys", SimpleNamespace(modules={"torch": None} if torch_is_loaded else {}))
        monkeypatch.setattr(waiting, "usable_cores", lambda: [0, 1])
        monkeypatch.setattr(waiting, "busy_cores", lambda: 2 * busy_share)
        sleep_where_cores_are_busy()
        return os.environ.get("OMP_WAIT_POLICY")

    return start


@pytest.mark.parametrize(("busy_share", "policy"), [(0, None), (0.2, None), (0.5, "PASSIVE"), (1, "PASSIVE")])
def test_waiting_threads_sleep_where_cores_are_busy(busy_share, policy, start):
    assert start({}, busy_share) == policy


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_said_stays(name, start):
    assert start({name: "1000"}, 1) is None
    assert os.environ[name] == "1000"
    assert start({"OMP_WAIT_POLICY": "ACTIVE"}, 1) == "ACTIVE"


def test_nothing_is_said_too_late_or_among_ranks(start):
    assert start({}, 1, torch_is_loaded=True) is None
    assert start({"LOCAL_WORLD_SIZE": "2"}, 1) is None
    assert start({"LOCAL_WORLD_SIZE": "1"}, 1) == "PASSIVE"


def test_a_busy_process_is_seen():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        seen = max(busy_cores() for _ in range(5))
    finally:
        busy.kill()
        busy.wait()
    assert 0.7 < seen <= len(usable_cores())


FIRST_OF_ALL = """
import sys
from unipt_train import finetune, pretrain, train_clip
assert "torch" not in sys.modules, "torch is loaded with the command"
for command in (pretrain, finetune, train_clip):
    def say(command=command):
        raise SystemExit(command.__name__)
    command.sleep_where_cores_are_busy = say
    try:
        command.main(["--no-such-option"])
    except SystemExit as stop:
        assert stop.code == command.__name__, stop.code
"""


def test_every_training_looks_before_it_loads_torch():
    ended = subprocess.run([sys.executable, "-c", FIRST_OF_ALL], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("policy, niceness", [("ACTIVE", 10), ("PASSIVE", 0)])
def test_a_loader_gives_way_only_to_threads_that_spin(policy, niceness):
    """Beside other work and threads that sleep, a loader of niceness 10 was too slow: a step took 5 s, and not 0.7."""
    tell = "import os; from unipt_train.engine.waiting import give_way; give_way(); print(os.nice(0))"
    environment = os.environ | {"OMP_WAIT_POLICY": policy}
    before = os.nice(0)
    told = subprocess.run([sys.executable, "-c", tell], env=environment, capture_output=True, text=True, check=True)
    assert int(told.stdout) == min(before + niceness, 19)
