"""Fine-tuning on a person retrieval benchmark: L = L_id + L_rk + gamma L_pgu (paper section 3.4, equations 4 to 7).

The dataset needs the columns `image`, `captions` and `person_id`; `python -m dataset_builders.benchmarks` writes such.

    accelerate launch train/finetune.py --config train/configs/finetune_tiny.yaml \\
        --model runs/pretrained --dataset runs/demo/cuhk-pedes --output_dir runs/finetuned

Kill it and run the same command again: it goes on from its last checkpoint.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.engine.run_arguments import RunArguments, make_accelerator, make_schedulers, set_up_model


@dataclass
class FinetuneArguments(RunArguments):
    model: str | None = field(default=None, metadata={"help": "folder or Hub name of the UniPT model to start from"})
    dataset: str | None = field(default=None, metadata={"help": "folder or Hub name of a benchmark"})
    output_dir: str | None = field(default=None, metadata={"help": "folder for the fine-tuned model; must be new"})
    split: str = field(default="train", metadata={"help": "split of the dataset"})
    batch_size: int = field(default=64, metadata={"help": "captions a step, over all processes"})
    captions_per_person: int = field(
        default=0, metadata={"help": "captions of each person in a batch; 0: captions are shuffled, whoever they show"}
    )
    epochs: float = field(default=60, metadata={"help": "passes over the captions, unless --max_steps is given"})
    max_steps: int = field(default=-1, metadata={"help": "number of steps; -1: by --epochs"})
    vision_learning_rate: float = field(default=1e-4, metadata={"help": "peak rate of the image encoder"})
    text_learning_rate: float = field(default=1e-5, metadata={"help": "peak rate of the text encoder"})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "peak rate of all other parameters"})
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "train the matrices inside transformer layers by Muon at this peak rate"}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "0 makes AdamW the paper's Adam"})
    margin: float = field(default=0.2, metadata={"help": "alpha of equation 5"})
    matching_loss: Literal["ranking", "sdm"] = field(
        default="ranking",
        metadata={"help": "ranking: the paper's L_rk; sdm: IRRA's similarity distribution matching"},
    )
    granularity_loss_weight: float = field(
        default=1.0,
        metadata={"help": "gamma of equation 7; 0: no prototypes, the model embeds by its pooled tokens as before"},
    )
    num_prototypes: int = field(default=6, metadata={"help": "prototypes that make the embedding, if gamma is not 0"})
    prototype_dim: int = field(default=512, metadata={"help": "length of each prototype's part of the embedding"})
    prototype_layers: int = field(default=2, metadata={"help": "layers of attention from prototypes to tokens"})
    prototype_heads: int = field(default=6, metadata={"help": "heads of that attention"})
    prototype_head_dim: int = field(default=512, metadata={"help": "length of a query, key and value of a head"})
    prototype_mlp_dim: int = field(default=512, metadata={"help": "width of its feed-forward layers"})
    eval_steps: int = field(
        default=500,
        metadata={"help": "steps between measurements on validation, whose best is saved; 0: the last step is saved"},
    )
    validation_split: str | None = field(
        default=None, metadata={"help": "where to choose; default: val or validation, or else people held out"}
    )
    held_out_people: float = field(
        default=0.1, metadata={"help": "share of the training people, if there is no such split"}
    )


def main(argv=None):
    arguments = parse_arguments(FinetuneArguments, __doc__, argv)
    require(arguments, "model", "dataset", "output_dir")
    if arguments.batch_size < 2:
        raise UserError(
            f"--batch_size {arguments.batch_size} is too small: a ranking loss needs a negative in the batch"
        )
    for name in ("granularity_loss_weight", "eval_steps"):
        if getattr(arguments, name) < 0:
            raise UserError(f"--{name} {getattr(arguments, name)} must not be negative")
    if not 0 <= arguments.captions_per_person <= arguments.batch_size:
        raise UserError(
            f"--captions_per_person {arguments.captions_per_person} must lie between 0 and the batch size, "
            f"{arguments.batch_size}"
        )

    from accelerate.utils import set_seed

    from modeling_unipt.loading import load_unipt
    from unipt_train.data.batches import IdentityBatches
    from unipt_train.data.pairs import Collator, EpochBatches, IdentityPairs, load_splits, rows_of, steps_per_epoch
    from unipt_train.engine.loop import claim_output, run_training, save_result, start_tracking
    from unipt_train.engine.optimizers import build_optimizers
    from unipt_train.engine.validation import Validation, validation_rows
    from unipt_train.objectives.finetuning import Finetuner, with_prototypes

    columns = ["image", "captions", "person_id"]
    splits = load_splits(arguments.dataset)
    if arguments.eval_steps:
        rows, rows_to_validate, record = validation_rows(splits, arguments, columns)
    else:
        rows = rows_of(splits, arguments.dataset, arguments.split, columns)
    model, processor = load_unipt(arguments.model)
    model.float()  # released weights are rounded to half precision
    if arguments.granularity_loss_weight:
        set_seed(arguments.seed)
        model = with_prototypes(model, vars(arguments))
    elif model.config.num_prototypes:
        raise UserError(
            f"{arguments.model} embeds by prototypes, which --granularity_loss_weight 0 would leave untrained; give "
            "another weight or another model"
        )
    set_up_model(model, arguments)
    pairs = IdentityPairs(rows, processor, arguments.seed)
    if len(pairs.person_ids) < 2:
        raise UserError(
            f"split '{arguments.split}' of '{arguments.dataset}' has a single person_id; nothing to tell apart"
        )
    if arguments.max_steps < 0:
        arguments.max_steps = int(arguments.epochs * steps_per_epoch(len(pairs), arguments.batch_size))
    accelerator = make_accelerator(arguments)
    if arguments.eval_steps and accelerator.distributed_type == "FSDP":
        raise UserError("--eval_steps measures whole models, and FSDP has pieces; launch without FSDP or give 0")
    folder = claim_output(accelerator, arguments, {"command": "finetune", "pairs": len(pairs)})
    if folder is None:
        return
    start_tracking(accelerator, folder)
    set_seed(arguments.seed)
    finetuner = Finetuner(model, len(pairs.person_ids), arguments)
    rates = {
        "model.vision_model": arguments.vision_learning_rate,
        "model.text_model": arguments.text_learning_rate,
    }
    optimizers = build_optimizers(
        finetuner,
        rates,
        arguments.head_learning_rate,
        arguments.weight_decay,
        (0.9, 0.999),
        arguments.muon_learning_rate,
    )
    accelerator.print(
        f"fine-tuning on {len(pairs)} captions of {len(pairs.person_ids)} people for {arguments.max_steps} steps of "
        f"{arguments.batch_size}, precision {accelerator.mixed_precision}"
    )
    validation = None
    if arguments.eval_steps:
        if record["held_out_person_ids"]:
            accelerator.print(
                f"held out of training, to choose the checkpoint: {len(record['held_out_person_ids'])} people"
            )
        validation = Validation(
            accelerator, rows_to_validate, processor, arguments.eval_steps, arguments.max_steps, folder, record
        )
    sampler = EpochBatches
    if arguments.captions_per_person:
        sampler = partial(IdentityBatches, [person for *_, person in pairs.pairs], arguments.captions_per_person)

    trained, log = run_training(
        accelerator,
        finetuner,
        optimizers,
        make_schedulers(optimizers, arguments),
        pairs,
        Collator(processor.tokenizer.pad_token_id),
        arguments,
        folder,
        after_step=validation,
        sampler=sampler,
    )
    if validation:
        validation.finish(model)
    save_result(accelerator, trained, model, processor, log, "Fine-tuning", folder, arguments.output_dir)


if __name__ == "__main__":
    run_command(main)
