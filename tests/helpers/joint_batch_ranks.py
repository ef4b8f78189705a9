"""Run by torchrun: the losses and gradients of a step, each process with its share of a batch, to a safetensors file.

torchrun --nproc-per-node 2 -m tests.helpers.joint_batch_ranks CASE CHUNK_SIZE OUTPUT [DYNAMO_BACKEND]

With a backend of torch.compile the objective is compiled, and the file says how often gradients were averaged.
"""

import sys

import torch

PAIRS = 8
TOKENS = 12
COLUMNS = [2, 3]
CASES = {
    "paper": {},
    "best": {"mask_contrast": True, "weigh_negatives": True, "attribute_loss_weight": 1.0, "fact_sizes": COLUMNS},
    "finetuning": {"granularity_loss_weight": 0.5, "matching_loss": "ranking", "margin": 0.2},
}
PROTOTYPES = {"num_prototypes": 2, "prototype_dim": 5, "prototype_heads": 2, "prototype_head_dim": 4}


def make_objective(case):
    """A small objective in float64 without dropout, the same in every process."""
    from transformers import BertConfig, ViTConfig

    from modeling_unipt import UniPTConfig, UniPTForPreTraining, UniPTModel
    from unipt_train.objectives.finetuning import FinetuningObjective
    from unipt_train.objectives.pretraining import PretrainingObjective

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = UniPTConfig(
        text_config=BertConfig(vocab_size=50, max_position_embeddings=TOKENS, **size).to_dict(),
        vision_config=ViTConfig(image_size=32, patch_size=16, **size).to_dict(),
        projection_dim=12,
        **(PROTOTYPES if case == "finetuning" else {}),
    )
    torch.manual_seed(0)
    if case == "finetuning":
        return FinetuningObjective(UniPTModel(config), 4, **CASES[case]).double().eval()
    return PretrainingObjective(UniPTForPreTraining(config), **CASES[case]).double().eval()


def make_batch(case):
    """The whole batch: texts of unequal length with unequal numbers of masked tokens, some repeated."""
    random = torch.Generator().manual_seed(1)
    lengths = torch.tensor([12, 5, 7, 12, 3, 4, 9, 12])
    mask = (torch.arange(TOKENS)[None] < lengths[:, None]).long()
    ids = torch.randint(5, 50, (PAIRS, TOKENS), generator=random) * mask
    labels = torch.full_like(ids, -100)
    for row, count in enumerate([1, 2, 3, 1, 1, 2, 4, 1]):
        labels[row, 1 : 1 + count] = ids[row, 1 : 1 + count]
    pixels = torch.randn(PAIRS, 3, 32, 32, generator=random, dtype=torch.float64)
    batch = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}
    if case == "finetuning":
        people = torch.tensor([0, 1, 2, 3, 0, 0, 2, 1])
        return batch | {"person_index": people, "picks": torch.rand(PAIRS, 2, generator=random)}
    batch |= {"mlm_input_ids": torch.where(labels == -100, ids, 4), "mlm_labels": labels}
    if case == "best":
        batch["told"] = torch.rand(PAIRS, sum(COLUMNS), generator=random) < 0.3
        shown = torch.rand(PAIRS, sum(COLUMNS), generator=random, dtype=torch.float64)
        batch["shown"] = torch.cat([part / part.sum(dim=1, keepdim=True) for part in shown.split(COLUMNS, 1)], dim=1)
        batch["image_ids"] = torch.tensor([0, 1, 2, 3, 4, 0, 6, 7])
        batch["text_ids"] = torch.tensor([0, 1, 2, 2, 4, 5, 6, 7])
    return batch


def count_averages(ddp):
    """A list that gets an entry whenever DDP averages the gradients of its first bucket."""
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    averages = []

    def hook(state, bucket):
        if bucket.index() == 0:
            averages.append(bucket.index())
        return allreduce_hook(state, bucket)

    ddp.register_comm_hook(None, hook)
    return averages


def step(case, chunk_size, dynamo_backend=None):
    """(losses, gradients by name, accelerator, averages) of this process's share, as the training loop gets them."""
    from accelerate import Accelerator

    from unipt_train.engine.joint_batch import joint_backward

    accelerator = Accelerator(cpu=True, mixed_precision="no", dynamo_backend=dynamo_backend)
    made, batch = make_objective(case), make_batch(case)
    prepared = accelerator.prepare(made)
    averages = count_averages(prepared._orig_mod) if dynamo_backend else None
    share = PAIRS // accelerator.num_processes
    own = {name: rows[accelerator.process_index * share :][:share] for name, rows in batch.items()}
    losses = joint_backward(accelerator, prepared, own, chunk_size, seed=0)
    gradients = {name: parameter.grad for name, parameter in made.named_parameters() if parameter.requires_grad}
    return {name: loss.detach() for name, loss in losses.items()}, gradients, accelerator, averages


def main():
    from safetensors.torch import save_file

    case, chunk_size, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    losses, gradients, accelerator, averages = step(case, chunk_size, *sys.argv[4:])
    assert accelerator.num_processes == 2
    found = losses | gradients
    if averages is not None:
        found |= {"averages": torch.tensor(len(averages))}
    save_file(
        {name: value.contiguous().clone() for name, value in found.items()},
        f"{output}-{accelerator.process_index}.safetensors",
    )
    accelerator.end_training()


if __name__ == "__main__":
    main()
