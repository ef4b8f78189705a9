"""What a launcher was asked for is done, or refused by every process in one sentence."""

import os
import subprocess
import sys
from types import ModuleType

import pytest

from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from unipt_train.engine import launching
from unipt_train.engine.launching import check_shares, launcher_words, numbers_given, stays_on_cpu

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch"]
LAUNCHED = ["-m", "tests.helpers.launched"]
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch(*command, **variables):
    """(exit status, stdout, lines that say an error) of a real launcher."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | variables
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    return finished.returncode, finished.stdout, errors


@pytest.mark.slow
def test_torchrun_on_a_machine_without_gpus_makes_ranks_that_know_each_other():
    status, told, _ = launch(*TORCHRUN, "--nproc-per-node", "2", *LAUNCHED)
    assert status == 0
    assert sorted(told.splitlines()) == ["rank 0 of 2, cpu", "rank 1 of 2, cpu"]


def test_processes_that_accelerate_does_not_start_are_refused_with_the_right_command():
    status, told, errors = launch(*ACCELERATE, "--cpu", "--num_processes", "2", *LAUNCHED, "--option", "a b")
    assert (status, told) == (1, "")
    assert errors == [
        "error: accelerate launch was told to start 2 processes and has started one, because it shares only GPUs "
        "among processes; type: torchrun --nproc-per-node 2 -m tests.helpers.launched --option 'a b'"
    ]


@pytest.mark.slow
def test_an_address_that_the_machine_exports_asks_for_no_processes():
    """As in the jobs of many clusters."""
    for words in ([], ["--cpu", "--num_processes", "1"]):
        status, told, _ = launch(*ACCELERATE, *words, *LAUNCHED, MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
        assert (status, told) == (0, "rank 0 of 1, cpu\n"), words


@pytest.mark.slow
def test_every_rank_says_why_several_gpus_cannot_be_used():
    status, told, errors = launch(*ACCELERATE, "--multi_gpu", "--num_processes", "2", *LAUNCHED)
    assert (status, told) == (1, "")
    assert errors == [
        "error: accelerate launch was told to use 2 GPUs, and there is none here; on the CPU type: torchrun "
        "--nproc-per-node 2 -m tests.helpers.launched"
    ] * len(errors)
    assert errors


@pytest.fixture
def launched(monkeypatch):
    """Sets the variables that a launcher would set, and a number of GPUs."""
    for name in list(os.environ):
        if name in VARIABLES or name.startswith("ACCELERATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["train/pretrain.py", "--dataset", "luperson-t"])
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a script, for it has no __spec__

    def set_up(gpus, **variables):
        monkeypatch.setattr(launching, "_count_gpus", lambda: gpus)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_up


TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
BY_ACCELERATE = {"ACCELERATE_DYNAMO_MODE": "default"}


@pytest.mark.parametrize(
    "cpu, gpus, variables, expected",
    [
        (False, 0, {}, False),
        (True, 0, {}, True),
        (False, 1, {}, False),
        (False, 0, TWO, True),
        (True, 0, TWO, True),
        (False, 2, TWO, False),
        (True, 1, TWO, True),
        (False, 1, TWO | {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "1"}, False),
        (False, 1, BY_ACCELERATE | {"ACCELERATE_USE_CPU": "True"}, True),
        (False, 2, TWO | BY_ACCELERATE | {"ACCELERATE_USE_FSDP": "true"}, False),
    ],
)
def test_where_a_process_computes(launched, cpu, gpus, variables, expected):
    launched(gpus, **variables)
    assert stays_on_cpu(cpu) is expected


@pytest.mark.parametrize(
    "cpu, gpus, variables, message",
    [
        (
            False,
            1,
            TWO,
            "2 processes were started on this machine, which has 1 GPU(s); start one for each GPU, or give --cpu true",
        ),
        (
            False,
            0,
            TWO | BY_ACCELERATE,
            "accelerate launch was told to use 2 GPUs, and there is none here; on the CPU type: torchrun "
            "--nproc-per-node 2 train/pretrain.py --dataset luperson-t",
        ),
        (
            False,
            0,
            TWO | BY_ACCELERATE | {"ACCELERATE_USE_FSDP": "true"},
            "FSDP shares a model among GPUs, and this run has none; on the CPU type: torchrun --nproc-per-node 2 "
            "train/pretrain.py --dataset luperson-t",
        ),
        (
            True,
            2,
            TWO | BY_ACCELERATE | {"ACCELERATE_USE_FSDP": "true"},
            "FSDP shares a model among GPUs, and this run has none; on the CPU type: torchrun --nproc-per-node 2 "
            "train/pretrain.py --dataset luperson-t --cpu true",
        ),
        (
            False,
            2,
            TWO | BY_ACCELERATE | {"ACCELERATE_USE_DEEPSPEED": "true"},
            "DeepSpeed cannot train this model; launch without it, or with FSDP to share a large model",
        ),
        (
            False,
            0,
            {"RANK": "0", "WORLD_SIZE": "two"},
            "RANK and WORLD_SIZE must hold whole numbers, as torchrun sets them",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(launched, cpu, gpus, variables, message):
    launched(gpus, **variables)
    with pytest.raises(UserError) as refused:
        stays_on_cpu(cpu)
    assert str(refused.value) == message


def test_a_process_that_finds_itself_alone_does_not_train_beside_the_others(launched):
    """As under a launcher that announces GPUs without saying which is whose."""
    launched(2, RANK="0", WORLD_SIZE="2", LOCAL_WORLD_SIZE="1")
    assert not stays_on_cpu(False)

    class Alone:
        num_processes = 1

    told = "there are 2 processes, and Accelerate finds 1, so each would train alone; type: torchrun --nproc-per-node 2"
    with pytest.raises(UserError, match=told):
        launching.check_ranks(Alone())


@pytest.mark.parametrize(
    "command, words",
    [
        (["/bin/python", "/env/bin/accelerate", "launch", "--cpu", "x.py"], ["--cpu", "x.py"]),
        (["python", "-m", "accelerate.commands.launch", "x.py", "launch"], ["x.py", "launch"]),
        (["python", "-m", "accelerate.commands.accelerate_cli", "launch", "x.py"], ["x.py"]),
        (["python", "/env/bin/accelerate-launch", "x.py"], ["x.py"]),
        (["make", "launch"], None),
        (["bash", "-c", "accelerate launch x.py"], None),
        (["accelerate", "test"], None),
        ([], None),
    ],
)
def test_the_words_of_a_launcher_are_found(command, words):
    assert launcher_words(command) == words


def test_numbers_come_from_the_words_or_from_the_file_that_they_name(tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "default_config_file", str(tmp_path / "none.yaml"))
    script = ["train/pretrain.py", "--num_processes", "9"]
    assert numbers_given(script) == (1, 1)
    assert numbers_given(["--cpu", "--num-processes", "2", *script]) == (2, 1)
    assert numbers_given(["--num_processes=4", "--num_machines", "2", *script]) == (4, 2)
    file = str(ROOT / "train" / "configs" / "accelerate" / "ddp_8_gpus.yaml")
    assert numbers_given(["--config_file", file, *script]) == (8, 1)
    assert numbers_given(["--config_file", file, "--num_processes", "2", *script]) == (2, 1)


def test_a_batch_that_cannot_be_shared_is_refused():
    check_shares(16, 4)
    with pytest.raises(UserError, match="a batch of 16 cannot be shared evenly by 3 processes"):
        check_shares(16, 3)
