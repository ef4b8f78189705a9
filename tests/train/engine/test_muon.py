"""Muon against torch's own, which computes in bfloat16, and against the singular value decomposition."""

import copy

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType

from modeling_unipt.common.user_errors import UserError
from unipt_train.engine import muon

SHAPES = [(16, 16), (16, 40), (40, 16), (16, 16)]


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def precision(request, monkeypatch):
    dtype = torch.bfloat16 if request.param else torch.float32
    monkeypatch.setattr(muon, "working_dtype", lambda device: dtype)
    return dtype


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_a_direction_keeps_its_singular_vectors_and_gets_singular_values_near_one(shape, precision):
    left, values, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = left * values.clamp(min=0.2 * values.max()) @ right
    found, _ = muon.orthogonalise(torch.stack([matrix, torch.randn(shape)]))
    assert found.dtype == precision and found.shape == shape
    inner = left.T @ found.float() @ right.T
    kept = inner.diagonal()
    assert kept.min() > 0.6 and kept.max() < 1.3
    assert (inner - torch.diag(kept)).abs().max() < (0.05 if precision == torch.bfloat16 else 1e-4)


def test_a_zero_matrix_stays_zero():
    assert (muon.orthogonalise(torch.zeros(1, 3, 4)) == 0).all()


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_steps_are_those_of_torch(precision, decay):
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    optimizers = muon.Muon(ours, lr=0.1, weight_decay=decay), torch.optim.Muon(theirs, lr=0.1, weight_decay=decay)
    start = [matrix.detach().clone() for matrix in ours]
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        assert moved > 0.5 and (mine - other).norm() < (1e-6 if precision == torch.bfloat16 else 0.03) * moved


def test_a_matrix_without_a_gradient_stays_as_it_is():
    still, moved = torch.nn.Parameter(torch.ones(3, 3)), torch.nn.Parameter(torch.ones(3, 3))
    moved.grad = torch.eye(3)
    muon.Muon([still, moved], lr=0.1, weight_decay=0.1).step()
    assert (still == 1).all() and (moved != 1).any()


def test_a_state_that_was_saved_and_loaded_goes_on_alike():
    def train(matrix, optimizer, steps):
        for step in steps:
            matrix.grad = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(4, 6))
    optimizer = muon.Muon([whole], lr=0.1, weight_decay=0.1)
    train(whole, optimizer, range(2))
    resumed = torch.nn.Parameter(whole.detach().clone())
    other = muon.Muon([resumed], lr=9.0, weight_decay=9.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, range(2, 4))
    train(resumed, other, range(2, 4))
    assert torch.equal(whole, resumed)


def test_loss_scaling_divides_the_gradients_of_a_second_optimizer_twice():
    """Why Muon is refused in fp16. If this fails, Accelerate has mended it, and the refusal can go."""
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    Accelerator(cpu=True)
    weights = [torch.nn.Parameter(torch.zeros(())) for _ in range(2)]
    optimizers = [AcceleratedOptimizer(torch.optim.SGD([weight], lr=1.0), scaler=scaler) for weight in weights]
    scaler.scale(sum(weights)).backward()
    for optimizer in optimizers:
        scaler.unscale_(optimizer.optimizer)  # as clipping does
    for optimizer in optimizers:
        optimizer.step()
    assert [float(weight) for weight in weights] == [-1.0, -0.25]


@pytest.mark.parametrize("distributed_type", ["NO", "MULTI_GPU"])
def test_muon_trains_beside_adamw_without_loss_scaling_only(distributed_type):
    for precision in ("no", "bf16"):
        muon.check_muon(0.02, precision, DistributedType(distributed_type))
    muon.check_muon(None, "fp16", DistributedType(distributed_type))
    told = "in precision fp16, which --precision auto takes on GPUs without bf16: give --precision no, or leave"
    with pytest.raises(UserError, match=told):
        muon.check_muon(0.02, "fp16", DistributedType(distributed_type))


def test_muon_needs_whole_matrices():
    muon.check_muon(None, "bf16", DistributedType.FSDP)
    with pytest.raises(UserError, match="under FSDP, because Muon needs whole matrices: launch with DDP"):
        muon.check_muon(0.02, "bf16", DistributedType.FSDP)
