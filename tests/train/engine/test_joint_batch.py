"""A step over processes and chunks is the step of one process on the joint batch."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.joint_batch_ranks import CASES, PAIRS, make_batch, make_objective, step
from tests.helpers.paths import ROOT
from unipt_train.engine.joint_batch import split_rows

RANKS = ["-m", "tests.helpers.joint_batch_ranks"]
BOUND = 1e-9


def whole(case):
    """Losses and gradients without any of what is tested."""
    made, batch = make_objective(case), make_batch(case)
    losses = made.losses(made(**made.inputs(batch)), made.targets(batch))
    losses["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in made.named_parameters() if parameter.requires_grad}
    return {**{name: loss.detach() for name, loss in losses.items()}, **gradients}


def assert_same(found, expected):
    """Relative errors; gradients that are zero but for rounding (biases of keys) count by the size of the others."""
    assert set(found) >= set(expected)
    typical = torch.stack([value.norm() for value in expected.values()]).median()
    for name, value in expected.items():
        error = float((found[name] - value).norm() / value.norm().clamp(min=1e-6 * typical))
        assert error < BOUND, (name, error)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunk_size", [1, 3, 8])
def test_chunks_change_nothing(case, chunk_size):
    losses, gradients, *_ = step(case, chunk_size)
    assert_same({**losses, **gradients}, whole(case))


def two_processes(tmp_path, *arguments):
    """What each of two processes found."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    case, chunk_size, *rest = map(str, arguments)
    finished = subprocess.run(
        [*launch, *RANKS, case, chunk_size, tmp_path / "rank", *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr
    return [load_file(tmp_path / f"rank-{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunk_size", [0, 3])
def test_two_processes_are_one_on_the_joint_batch(case, chunk_size, tmp_path):
    expected = whole(case)
    for found in two_processes(tmp_path, case, chunk_size):
        assert_same(found, expected)


@pytest.mark.slow
def test_compiled_processes_average_their_gradients_once_a_step(tmp_path):
    """Accelerate's unwrapping would take DDP out of a compiled model, and with it the pause between chunks."""
    expected = whole("paper")
    for found in two_processes(tmp_path, "paper", 2, "eager"):
        assert int(found["averages"]) == 1
        assert_same(found, expected)


def test_a_loss_of_each_share_alone_would_be_another():
    """The bound means something: without the gather the contrastive loss has half the negatives."""
    made, batch = make_objective("paper"), make_batch("paper")
    halves = split_rows(batch, PAIRS // 2)
    alone = [made.losses(made(**made.inputs(half)), made.targets(half))["contrastive_loss"] for half in halves]
    joint = made.losses(made(**made.inputs(batch)), made.targets(batch))["contrastive_loss"]
    assert float((torch.stack(alone).mean() - joint).detach().abs()) > 0.1


def test_every_chunk_drops_the_same_units_in_both_passes():
    from accelerate import Accelerator

    from unipt_train.engine.joint_batch import joint_backward

    seen, accelerator = [], Accelerator(cpu=True, mixed_precision="no")
    made, batch = make_objective("paper").train(), make_batch("paper")
    made.register_forward_hook(lambda *call: seen.append(call[-1]["text_embeds"].detach().clone()))
    joint_backward(accelerator, made, batch, chunk_size=4, seed=5)
    first, second, first_again, second_again = seen
    assert torch.equal(first, first_again) and torch.equal(second, second_again)
    joint_backward(accelerator, made, batch, chunk_size=4, seed=6)
    assert not torch.equal(seen[4], first)
