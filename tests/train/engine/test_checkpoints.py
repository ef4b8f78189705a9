"""A checkpoint is whole, with the random states of every process, or it is none."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from unipt_train.engine import checkpoints
from unipt_train.engine.checkpoints import find_broken, find_checkpoints, save_checkpoint
from unipt_train.engine.progress import Progress
from unipt_train.engine.set_up import make_accelerator


@pytest.fixture
def saved(tmp_path):
    """(accelerator of one process, folder with checkpoints of steps 1 and 2)."""
    accelerator = make_accelerator("no", cpu=True)
    accelerator.prepare(torch.nn.Linear(2, 1))
    progress = Progress(accelerator, tmp_path)
    for step in (1, 2):
        progress.step = step
        progress.save()
    return accelerator, tmp_path


def change_progress(checkpoint, **changes):
    path = checkpoint / "progress.json"
    kept = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))


def test_a_checkpoint_tells_how_many_processes_wrote_it(saved):
    accelerator, folder = saved
    found = find_checkpoints(folder)
    assert list(found) == [1, 2] and find_broken(folder) == {}
    assert json.loads((found[2] / "progress.json").read_text())["processes"] == 1
    for file in found[2].iterdir():
        umask = os.umask(0o022)
        os.umask(umask)
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask, file


@pytest.mark.parametrize(
    "harm, missing",
    [
        (lambda path: (path / "random_states_0.pkl").unlink(), "random_states_0.pkl"),
        (lambda path: change_progress(path, processes=2), "random_states_1.pkl"),
        (lambda path: (path / "progress.json").write_text("{"), "progress.json"),
    ],
)
def test_one_that_lacks_a_part_is_passed_over_and_told(saved, harm, missing, caplog):
    accelerator, folder = saved
    newest = find_checkpoints(folder)[2]
    harm(newest)
    assert list(find_checkpoints(folder)) == [1]
    progress = Progress(accelerator, folder)
    assert progress.step == 1
    assert f"{newest} lacks {missing}, so this run does not go on from it" in caplog.messages
    progress.step = 2
    progress.save()
    assert list(find_checkpoints(folder)) == [1, 2], "it is written anew"


def test_one_of_an_older_version_is_whole_although_it_does_not_tell_its_processes(saved, caplog):
    accelerator, folder = saved
    change_progress(find_checkpoints(folder)[2], processes=None)
    assert Progress(accelerator, folder).step == 2
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_another_number_of_processes_goes_on_and_is_told_what_that_changes(saved, caplog):
    accelerator, folder = saved
    newest = find_checkpoints(folder)[2]
    shutil.copy(newest / "random_states_0.pkl", newest / "random_states_1.pkl")
    change_progress(newest, processes=2)
    assert Progress(accelerator, folder).step == 2
    (told,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith(f"{newest} was written by 2 process(es) and 1 go on from it, each of which draws its own")


def test_a_process_that_wrote_elsewhere_is_no_checkpoint(saved, monkeypatch):
    """As on several machines without a common disk."""
    accelerator, folder = saved
    monkeypatch.setattr(type(accelerator), "num_processes", 2)
    with pytest.raises(UserError, match="lacks random_states_1.pkl, which another process has written elsewhere; give"):
        save_checkpoint(accelerator, folder, 3, {})
    assert list(find_checkpoints(folder)) == [1, 2]


@pytest.mark.slow
def test_a_late_process_is_waited_for(tmp_path):
    """Without the barrier the folder is renamed while the second process is about to write into it."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    finished = subprocess.run(
        [*launch, "-m", "tests.helpers.late_rank", str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (checkpoint,) = find_checkpoints(tmp_path).values()
    names = {path.name for path in checkpoint.iterdir()}
    assert {"random_states_0.pkl", "random_states_1.pkl", "model.safetensors", checkpoints.PROGRESS} <= names
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
