"""The loop itself, on a model of one number: what stops it, what it reports, what a resumed run repeats."""

import json
import math
import os

import pytest
import torch

from modeling_unipt.common.user_errors import UserError
from unipt_train.data.batches import EpochBatches
from unipt_train.engine import loop as training_loop
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.engine.loop import LoopOptions, run_training
from unipt_train.engine.optimizers import build_optimizers, make_schedulers
from unipt_train.engine.result import start_tracking
from unipt_train.engine.set_up import make_accelerator
from unipt_train.objectives.base import Objective


class Numbers(torch.utils.data.Dataset):
    """Sample i is i, and is called image-i."""

    def __len__(self):
        return 12

    def __getitem__(self, key):
        return float(key[1])

    def name_of(self, index):
        return f"image-{index}"


class OneNumber(Objective):
    """One number, and how far it is from those of the batch."""

    def __init__(self, start=0.0, most=math.inf):
        super().__init__(model=None)
        self.value = torch.nn.Parameter(torch.tensor(start))
        self.most = most
        self.passed = []

    @torch.no_grad()
    def keep_in_bounds(self):
        self.value.clamp_(max=self.most)

    def inputs(self, batch):
        return batch

    def targets(self, batch):
        return batch

    def forward(self, values):
        self.passed.append(float(self.value.detach()))
        return {"value": self.value.expand(len(values))}

    def losses(self, features, targets):
        return {"loss": (features["value"] - targets["values"]).square().mean()}


def collate(samples):
    return {"values": torch.tensor(samples)}


class Nicenesses(Numbers):
    """Each sample is how nice the process is that made it."""

    def __getitem__(self, key):
        return float(os.nice(0))


def loop(
    tmp_path,
    save_steps=4,
    chunk_size=0,
    report_to="none",
    scheduler="linear",
    model=None,
    dataset=None,
    num_workers=0,
):
    """(log, model) of a run into ``tmp_path``."""
    options = LoopOptions(
        max_steps=10,
        batch_size=4,
        seed=0,
        save_steps=save_steps,
        log_steps=2,
        chunk_size=chunk_size,
        max_grad_norm=1.0,
        num_workers=num_workers,
    )
    accelerator = make_accelerator("no", cpu=True, report_to=report_to, output_dir=str(tmp_path / "out"))
    start_tracking(accelerator, tmp_path)
    model = model or OneNumber()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1)]
    schedulers = make_schedulers(optimizers, scheduler, 0.1, options.max_steps)
    dataset = dataset or Numbers()
    _, log = run_training(accelerator, model, optimizers, schedulers, dataset, collate, options, tmp_path)
    accelerator.end_training()
    return log, model


@pytest.mark.skipif(os.nice(0) > 9, reason="these tests give way themselves, and nothing can give way any more")
def test_a_process_that_loads_data_gives_way_to_the_training(tmp_path, monkeypatch):
    """The model's number moves towards what the samples are: 0 in this process, more in one that gives way."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    before = os.nice(0)
    _, model = loop(tmp_path / "beside", dataset=Nicenesses(), num_workers=1, model=OneNumber(float(before)))
    assert before < model.value.item() <= before + 10
    _, model = loop(tmp_path / "alone", dataset=Nicenesses(), model=OneNumber(float(before)))
    assert model.value.item() == before == os.nice(0)


@pytest.fixture
def fails_at(monkeypatch):
    """Has a step, counted from 1, give another loss or an error."""

    def fail(wanted, loss=None, error=None):
        count = iter(range(1, 100))

        def backward(*given):
            if next(count) != wanted:
                return joint_backward(*given)
            if error:
                raise error
            return {"loss": torch.tensor(loss)}

        monkeypatch.setattr(training_loop, "joint_backward", backward)

    return fail


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("wanted", [5, 7, 10])
def test_a_loss_that_is_no_number_names_step_batch_and_checkpoint(tmp_path, fails_at, loss, wanted):
    fails_at(wanted, loss)
    with pytest.raises(UserError) as stopped:
        loop(tmp_path)
    ids = ", ".join(f"image-{index}" for _, index in EpochBatches(12, 4, 0, 0, 10).keys_of(wanted - 1))
    assert f"the loss became {loss} at step {wanted}, on the batch of images {ids};" in str(stopped.value)
    last = "step-00000008" if wanted > 8 else "step-00000004"
    assert f"the last good checkpoint is {tmp_path}/checkpoints/{last}" in str(stopped.value)
    progress = json.loads((tmp_path / "checkpoints" / last / "progress.json").read_text())
    assert progress["log"][-1]["step"] == int(last[-2:])


def test_a_bad_loss_is_never_saved(tmp_path, fails_at):
    fails_at(4, math.nan)
    with pytest.raises(UserError, match="no checkpoint was written before"):
        loop(tmp_path)
    assert not list((tmp_path / "checkpoints").glob("step-????????"))


@pytest.mark.parametrize(("chunk_size", "now"), [(0, "the whole batch"), (2, "2")])
def test_out_of_memory_says_which_knob_and_keeps_the_checkpoint(tmp_path, fails_at, chunk_size, now):
    fails_at(6, error=torch.OutOfMemoryError())
    told = rf"out of GPU memory at step 6: lower --chunk-size \(now {now}\): the losses stay those of the batch; or set"
    with pytest.raises(UserError, match=told):
        loop(tmp_path, chunk_size=chunk_size)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]


@pytest.mark.parametrize("save_steps", [4, 5])
def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path, fails_at, save_steps):
    """Also from a checkpoint between two lines of the log."""
    whole, model = loop(tmp_path / "whole")
    fails_at(7, error=torch.OutOfMemoryError())
    with pytest.raises(UserError):
        loop(tmp_path / "stopped", save_steps=save_steps)
    resumed, again = loop(tmp_path / "stopped")
    drop = "samples_per_second"
    assert [{k: v for k, v in row.items() if k != drop} for row in resumed] == [
        {k: v for k, v in row.items() if k != drop} for row in whole
    ]
    assert float(again.value) == float(model.value)


def test_a_number_with_a_bound_is_never_beyond_it_and_comes_back_at_once(tmp_path):
    """The mean of what it learns is 5.5; it starts above the bound, and is pulled against it or away from it."""
    _, against = loop(tmp_path / "against", model=OneNumber(start=9.0, most=3.0))
    assert against.passed == [3.0] * 10 and float(against.value.detach()) == 3.0
    _, away = loop(tmp_path / "away", model=OneNumber(start=9.0, most=8.0))
    assert away.passed[:2] == [8.0, 8.0]  # the first step of the warm-up has rate 0
    assert away.passed[2] < 8.0 and float(away.value.detach()) < away.passed[2]


def test_a_checkpoint_beyond_the_bound_goes_on_from_the_bound(tmp_path, fails_at):
    fails_at(7, error=torch.OutOfMemoryError())
    with pytest.raises(UserError):
        loop(tmp_path, model=OneNumber())
    _, resumed = loop(tmp_path, model=OneNumber(most=0.25))
    assert resumed.passed[0] == 0.25


def test_the_rate_logged_is_that_of_matrices(tmp_path):
    module = torch.nn.Module()
    module.scale = torch.nn.Parameter(torch.zeros(()))
    module.layer = torch.nn.Linear(2, 2)
    (adamw,) = build_optimizers(module, {"scale": 0.5}, 0.25, 0.1, (0.9, 0.98))
    assert adamw.param_groups[0]["lr"] == 0.5
    assert adamw.param_groups[training_loop._group_to_log(adamw)]["lr"] == 0.25
    scale_alone = torch.optim.SGD([module.scale], lr=0.5)
    assert training_loop._group_to_log(scale_alone) == 0


def test_a_half_written_checkpoint_is_never_chosen(tmp_path, fails_at, caplog):
    caplog.set_level("INFO", "unipt_train")
    fails_at(7, error=torch.OutOfMemoryError())
    with pytest.raises(UserError):
        loop(tmp_path)
    (tmp_path / "checkpoints" / "step-00000006.partial").mkdir()
    loop(tmp_path)
    assert f"resuming at step 4 from {tmp_path}/checkpoints/step-00000004" in caplog.text


def test_tensorboard_has_what_the_log_has(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log, _ = loop(tmp_path, report_to="tensorboard")
    events = EventAccumulator(str(tmp_path / "tracking"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in log
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"report_to": "paper"}, "--report-to paper is no tracker; valid ones: none, aim, "),
        ({"report_to": "wandb"}, "--report-to wandb needs the package of that name"),
        ({"scheduler": "steep"}, "--scheduler steep cannot be used: steep is not a valid SchedulerType"),
    ],
)
def test_mistakes(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        loop(tmp_path, **options)
