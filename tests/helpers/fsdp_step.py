"""A process of two that share a model by FSDP 2, wrapped as train/configs/accelerate/fsdp_8_gpus.yaml says.

    torchrun --nproc-per-node 2 -m tests.helpers.fsdp_step ENCODERS

Accelerate starts FSDP on GPUs only, so that what it would call is called here: `fully_shard` of the layers, then of the
rest, and the switching off of synchronisation between chunks. Prints, as JSON, the relative difference of the loss to
that of one process, and the largest of a gradient, with whole batches and with chunks.
"""

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from accelerate.commands.config.config_args import load_config_from_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.helpers.paths import ROOT
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.speed import training as bench_training

PAIRS = 4


@contextlib.contextmanager
def no_sync(model):
    model.set_requires_gradient_sync(False)
    yield
    model.set_requires_gradient_sync(True)


def main(encoders):
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, processes = dist.get_rank(), dist.get_world_size()
    options = bench_training.paper_options(encoders, "vit-b16")
    options += ["--image_height", "64", "--image_width", "32", "--projection_dim", "24"]
    whole, shared = (bench_training.build_objective(options).double() for _ in range(2))
    batch = bench_training.ready_batch(whole.model.config, PAIRS, 64, 32, 20)
    batch["pixel_values"] = batch["pixel_values"].double()
    expected = bench_training.project_step(whole, batch)

    config = load_config_from_file(str(ROOT / "train" / "configs" / "accelerate" / "fsdp_8_gpus.yaml")).fsdp_config
    mesh = init_device_mesh("cpu", (processes,))
    reshard = {"reshard_after_forward": config["fsdp_reshard_after_forward"]}
    layers = config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    for module in list(shared.modules()):
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh, **reshard)
    fully_shard(shared, mesh=mesh)
    accelerator = SimpleNamespace(
        unwrap_model=lambda model, keep_torch_compile: model,
        backward=lambda loss: loss.backward(),
        no_sync=no_sync,
        num_processes=processes,
    )
    share = PAIRS // processes
    mine = {name: rows[rank * share :][:share] for name, rows in batch.items()}
    told = {}
    for chunk_size in (0, 1):
        shared.zero_grad()
        loss = joint_backward(accelerator, shared, mine, chunk_size)["loss"]
        told[f"loss, chunks of {chunk_size}"] = float(abs(loss - expected) / expected)
        scale = max(float(p.grad.norm()) for p in whole.parameters() if p.grad is not None)
        told[f"gradients, chunks of {chunk_size}"] = max(
            float((parameter.grad.full_tensor() - other.grad).norm()) / scale
            for parameter, other in zip(shared.parameters(), whole.parameters(), strict=True)
            if other.grad is not None
        )
    if rank == 0:
        print(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
