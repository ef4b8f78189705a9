"""The loop itself, on a model of one number: what stops it, what it reports, what a resumed run repeats."""

import json
import math

import pytest
import torch

from modeling_unipt.user_errors import UserError
from run_arguments import RunArguments, make_accelerator, make_schedulers
from training_loop import run_training, start_tracking


class Numbers(torch.utils.data.Dataset):
    """Sample i is i, and is called image-i."""

    def __len__(self):
        return 12

    def __getitem__(self, key):
        return float(key[1])

    def name_of(self, index):
        return f"image-{index}"


class OneNumber(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(()))

    def forward(self, batch):
        return (self.value - batch).square().mean()


def loop(tmp_path, take_step=None, **options):
    """(log, model) of a run into ``tmp_path``; ``take_step`` is given the accelerator before its own arguments."""
    settings = {"report_to": "none", "precision": "no", "num_workers": 0, "log_steps": 2, "save_steps": 4, "cpu": True}
    arguments = RunArguments(**settings | options)
    arguments.batch_size, arguments.max_steps, arguments.output_dir = 4, 10, str(tmp_path / "out")
    accelerator = make_accelerator(arguments)
    start_tracking(accelerator, tmp_path)
    model = OneNumber()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1)]

    def step(prepared, batch, seed):
        loss = prepared(batch)
        accelerator.backward(loss)
        return {"loss": loss}

    def given(*call):
        return take_step(step, *call)

    _, log = run_training(
        accelerator, model, optimizers, make_schedulers(optimizers, arguments), Numbers(), torch.tensor,
        given if take_step else step, arguments, tmp_path,
    )  # fmt: skip
    accelerator.end_training()
    return log, model


def fails_at(wanted, loss=None, error=None):
    """A step that is the ordinary one but for the ``wanted`` one, counted from 1."""
    count = iter(range(1, 100))

    def take_step(step, prepared, batch, seed):
        if next(count) != wanted:
            return step(prepared, batch, seed)
        if error:
            raise error
        return {"loss": torch.tensor(loss)}

    return take_step


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("wanted", [5, 7, 10])
def test_a_loss_that_is_no_number_names_step_batch_and_checkpoint(tmp_path, loss, wanted):
    from data import EpochBatches

    with pytest.raises(UserError) as stopped:
        loop(tmp_path, fails_at(wanted, loss))
    ids = ", ".join(f"image-{index}" for _, index in EpochBatches(12, 4, 0, 0, 10).keys_of(wanted - 1))
    assert f"the loss became {loss} at step {wanted}, on the batch of images {ids};" in str(stopped.value)
    last = "step-00000008" if wanted > 8 else "step-00000004"
    assert f"the last good checkpoint is {tmp_path}/checkpoints/{last}" in str(stopped.value)
    progress = json.loads((tmp_path / "checkpoints" / last / "progress.json").read_text())
    assert progress["log"][-1]["step"] == int(last[-2:])


def test_a_bad_loss_is_never_saved(tmp_path):
    with pytest.raises(UserError, match="no checkpoint was written before"):
        loop(tmp_path, fails_at(4, math.nan))
    assert not list((tmp_path / "checkpoints").glob("step-????????"))


def test_out_of_memory_says_which_knob_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(UserError, match="out of GPU memory at step 6: lower --batch_size; or set --gradient_check"):
        loop(tmp_path, fails_at(6, error=torch.OutOfMemoryError()))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]


def test_pretraining_out_of_memory_is_told_of_chunks(tmp_path):
    from training_loop import out_of_memory

    arguments = RunArguments()
    arguments.chunk_size = 0
    assert "lower --chunk_size (now the whole batch): the losses stay those of the batch" in str(
        out_of_memory(0, arguments)
    )


@pytest.mark.parametrize("save_steps", [4, 5])
def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path, save_steps):
    """Also from a checkpoint between two lines of the log."""
    whole, model = loop(tmp_path / "whole")
    with pytest.raises(UserError):
        loop(tmp_path / "stopped", fails_at(7, error=torch.OutOfMemoryError()), save_steps=save_steps)
    resumed, again = loop(tmp_path / "stopped")
    drop = "samples_per_second"
    assert [{k: v for k, v in row.items() if k != drop} for row in resumed] == [
        {k: v for k, v in row.items() if k != drop} for row in whole
    ]
    assert float(again.value) == float(model.value)


def test_a_half_written_checkpoint_is_never_chosen(tmp_path, capsys):
    with pytest.raises(UserError):
        loop(tmp_path, fails_at(7, error=torch.OutOfMemoryError()))
    (tmp_path / "checkpoints" / "step-00000006.partial").mkdir()
    loop(tmp_path)
    assert f"resuming at step 4 from {tmp_path}/checkpoints/step-00000004" in capsys.readouterr().out


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
        ({"report_to": "paper"}, "--report_to paper is no tracker; valid ones: none, aim, "),
        ({"report_to": "wandb"}, "--report_to wandb needs the package of that name"),
        ({"scheduler": "steep"}, "--scheduler steep cannot be used: steep is not a valid SchedulerType"),
    ],
)
def test_mistakes(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        loop(tmp_path, **options)
