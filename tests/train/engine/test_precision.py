"""Which precision a run computes in: named, measured by the first process, remembered, and without any trace."""

import json
import os
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from modeling_unipt import UniPTForPreTraining
from tests.helpers.paths import ROOT
from unipt_train.engine import precision, set_up
from unipt_train.engine.precision import MEASURED, faster_on_cpu, settle_precision
from unipt_train.objectives.pretraining import PretrainingObjective


@pytest.fixture
def objective(tiny_config):
    torch.manual_seed(0)
    return PretrainingObjective(UniPTForPreTraining(tiny_config()))


def make_batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (4, 9), generator=generator)
    labels = torch.full_like(ids, -100)
    labels[:, 3] = ids[:, 3]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mlm_input_ids": ids.masked_fill(labels != -100, 4),
        "mlm_labels": labels,
        "pixel_values": torch.randn(4, 3, 64, 64, generator=generator),
    }


@pytest.fixture
def faster(monkeypatch):
    """A function that makes a CPU on which one precision is the faster one; it returns what is measured."""
    measured = []

    def make(name):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device_type: True)

        def fastest(step, tried):
            step()
            measured.append(tried)
            return 1.0 if tried == name else 2.0

        monkeypatch.setattr(precision, "_fastest", fastest)
        return measured

    return make


def trained(objective, wanted, folder):
    """The weights after two steps of a run that asked for a precision."""
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True, mixed_precision="no" if wanted == "auto" else wanted)
    settle_precision(accelerator, wanted, objective, make_batch, folder)
    prepared, optimizer = accelerator.prepare(objective, torch.optim.AdamW(objective.parameters(), lr=1e-2))
    batch = make_batch()
    for _ in range(2):
        features = prepared(**objective.inputs(batch))
        assert features["text_embeds"].dtype == torch.float32
        objective.losses(features, objective.targets(batch))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.clone() for name, value in objective.state_dict().items()}


@pytest.mark.parametrize("name", ["no", "bf16"])
def test_a_measured_precision_gives_the_bytes_of_a_named_one(name, faster, tiny_config, tmp_path):
    faster(name)
    weights = []
    for wanted in ("auto", name):
        torch.manual_seed(0)
        objective = PretrainingObjective(UniPTForPreTraining(tiny_config()))
        weights.append(trained(objective, wanted, tmp_path))
    assert weights[0].keys() == weights[1].keys()
    for key in weights[0]:
        assert torch.equal(weights[0][key], weights[1][key]), key


def test_measuring_leaves_no_trace_but_its_record(faster, objective, tmp_path):
    measured = faster("bf16")
    objective.eval()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    state = torch.get_rng_state()
    assert settle_precision(Accelerator(cpu=True), "auto", objective, make_batch, tmp_path) == "bf16"
    assert measured == ["no", "bf16"]
    assert torch.equal(torch.get_rng_state(), state) and not objective.training
    for name, value in objective.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in objective.parameters())
    record = json.loads((tmp_path / MEASURED).read_text())
    assert record == {"precision": "bf16", "seconds_of_a_step": {"no": 2.0, "bf16": 1.0}}


def test_a_resumed_run_does_not_measure_again(faster, objective, tmp_path):
    faster("bf16")
    settle_precision(Accelerator(cpu=True), "auto", objective, make_batch, tmp_path)
    measured = faster("no")
    measured.clear()
    assert settle_precision(Accelerator(cpu=True), "auto", objective, make_batch, tmp_path) == "bf16"
    assert measured == []


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16"), (False, "no")])
def test_a_run_of_a_version_that_did_not_measure_goes_on_as_it_began(native, wanted, objective, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoints" / "step-00000010"
    checkpoint.mkdir(parents=True)
    (checkpoint / "progress.json").write_text("{}")
    (checkpoint / "random_states_0.pkl").touch()
    monkeypatch.setattr(precision, "has_bfloat16", lambda device_type: native)
    found = settle_precision(Accelerator(cpu=True), "auto", objective, lambda: pytest.fail("measured"), tmp_path)
    assert found == wanted


@pytest.mark.parametrize("name", ["no", "bf16"])
def test_a_named_precision_is_not_measured(name, objective, tmp_path):
    accelerator = Accelerator(cpu=True, mixed_precision=name)
    assert settle_precision(accelerator, name, objective, lambda: pytest.fail("measured"), tmp_path) == name
    assert list(tmp_path.iterdir()) == []


def test_a_cpu_without_bfloat16_takes_float32_at_once(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device_type: False)
    assert faster_on_cpu(lambda: pytest.fail("measured")) == ("no", {})


def test_the_faster_step_is_chosen(monkeypatch):
    """By a clock that bfloat16 makes go slower or faster, the first step of each being the slowest."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device_type: True)
    for share, wanted in ((0.5, "bf16"), (1.5, "no")):
        clock = [0.0]
        calls = []

        def step(share=share, clock=clock, calls=calls):
            is_bf16 = torch.is_autocast_enabled("cpu")
            calls.append(is_bf16)
            clock[0] += (share if is_bf16 else 1.0) + (5.0 if calls.count(is_bf16) == 1 else 0.0)

        monkeypatch.setattr(precision.time, "perf_counter", lambda clock=clock: clock[0])
        choice, seconds = faster_on_cpu(step)
        assert choice == wanted
        assert seconds == pytest.approx({"no": 1.0, "bf16": share})


@pytest.mark.parametrize(
    ("environment", "threads", "wanted"),
    [
        ({}, None, 6),
        ({}, 1, 1),
        # The user's own, which torch has read.
        ({"OMP_NUM_THREADS": "1"}, None, None),
        ({"OMP_NUM_THREADS": "1"}, 2, 2),
        # What accelerate launch and torchrun set, whoever wants it.
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_DYNAMO_MODE": "default"}, None, 6),
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, None, 3),
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, 5, 5),
        ({"LOCAL_WORLD_SIZE": "8"}, None, 1),
    ],
)
def test_threads_of_a_process(environment, threads, wanted, monkeypatch):
    for name in ("OMP_NUM_THREADS", "ACCELERATE_DYNAMO_MODE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given = []
    monkeypatch.setattr(set_up, "usable_cores", lambda: list(range(6)))
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    set_up.set_threads(threads)
    assert given == ([] if wanted is None else [wanted])


def test_a_command_keeps_to_the_threads_that_its_user_named(tmp_path):
    """In a real process, where torch reads OMP_NUM_THREADS as it is loaded."""
    script = "from unipt_train.engine.set_up import set_threads; set_threads(None); import torch; "
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    kept.pop("LOCAL_WORLD_SIZE", None)
    found = subprocess.run(
        [sys.executable, "-c", script + "print(torch.get_num_threads())"],
        cwd=ROOT,
        env=kept | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) == 1
