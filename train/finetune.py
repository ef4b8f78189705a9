"""Fine-tuning on a person retrieval benchmark: L = L_id + L_rk + gamma L_pgu (paper section 3.4, equations 4 to 7).

The dataset needs the columns `image`, `captions` and `person_id`; `python -m dataset_builders.benchmarks` writes such.
Several benchmarks may be named; people of different ones are different people.

    accelerate launch train/finetune.py --config train/configs/finetune_tiny.yaml \\
        --model runs/pretrained --dataset runs/demo/cuhk-pedes --output-dir runs/finetuned

Where only the package is installed, from any folder:

    accelerate launch -m unipt_train.finetune --config finetune_tiny.yaml --model MODEL --dataset DATASET \\
        --output-dir OUTPUT

Kill it and run the same command again: it goes on from its last checkpoint.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, part_of, require
from unipt_train.engine.run_arguments import FinetuneArguments
from unipt_train.engine.waiting import sleep_where_cores_are_busy

COLUMNS = ("image", "captions", "person_id")


def check(arguments: FinetuneArguments) -> None:
    """Refuse what can be known to be wrong before anything is loaded.

    Raises:
        UserError: an option is missing or out of its range.
    """
    require(arguments, "model", "dataset", "output_dir")
    if arguments.batch_size < 2:
        raise UserError(
            f"--batch-size {arguments.batch_size} is too small: a ranking loss needs a negative in the batch"
        )
    for name in ("granularity_loss_weight", "eval_steps"):
        if getattr(arguments, name) < 0:
            raise UserError(f"--{name.replace('_', '-')} {getattr(arguments, name)} must not be negative")
    if not 0 <= arguments.captions_per_person <= arguments.batch_size:
        raise UserError(
            f"--captions-per-person {arguments.captions_per_person} must lie between 0 and the batch size, "
            f"{arguments.batch_size}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    sleep_where_cores_are_busy()
    arguments = parse_arguments(FinetuneArguments, __doc__, argv)
    check(arguments)
    # It holds the lock of the output to the end.
    with ExitStack() as stack:
        train(arguments, stack)


def train(arguments: FinetuneArguments, stack: ExitStack) -> None:
    """Train as the options say, and write the result.

    Args:
        stack: what is to be held while the run lasts.

    Raises:
        UserError: something that the options name cannot be used, or cannot be used here.
    """
    # These load accelerate, datasets and more, for which --help and a mistake in the options should not wait.
    from accelerate.utils import set_seed

    from modeling_unipt.loading import load_unipt
    from unipt_train.data.batches import Collator, EpochBatches, IdentityBatches, first_pass, steps_per_epoch
    from unipt_train.data.identity import dataset_digest
    from unipt_train.data.loading import joined, load_several
    from unipt_train.data.pairs import IdentityPairs
    from unipt_train.engine.launching import check_shares
    from unipt_train.engine.loop import LoopOptions, run_training
    from unipt_train.engine.muon import check_muon
    from unipt_train.engine.optimizers import build_optimizers, make_schedulers
    from unipt_train.engine.precision import settle_precision
    from unipt_train.engine.result import claim_output, save_result, start_tracking
    from unipt_train.engine.set_up import make_accelerator, set_up_model
    from unipt_train.engine.validation import Validation, ValidationOptions, divide_benchmarks
    from unipt_train.objectives.finetuning import PROTOTYPE_FIELDS, FinetuningObjective, with_prototypes

    divided = None
    if arguments.eval_steps:
        divided = divide_benchmarks(arguments.dataset, part_of(arguments, ValidationOptions), COLUMNS)
        rows = divided.training
    else:
        rows = joined(load_several(arguments.dataset, arguments.split, COLUMNS))
    model, processor = load_unipt(arguments.model)
    model.float()  # released weights are rounded to half precision
    if arguments.granularity_loss_weight:
        set_seed(arguments.seed)
        model = with_prototypes(model, {name: getattr(arguments, name) for name in PROTOTYPE_FIELDS})
    elif model.config.num_prototypes:
        raise UserError(
            f"{arguments.model} embeds by prototypes, which --granularity-loss-weight 0 would leave untrained; give "
            "another weight or another model"
        )
    set_up_model(model, arguments.attn_implementation, arguments.gradient_checkpointing)
    pairs = IdentityPairs(rows, processor, arguments.seed)
    people = len(pairs.person_ids)
    if people < 2:
        raise UserError(
            f"split '{arguments.split}' of '{arguments.dataset[0]}' has a single person_id; nothing to tell apart"
        )
    if arguments.max_steps < 0:
        steps = int(arguments.epochs * steps_per_epoch(len(pairs), arguments.batch_size))
        arguments = dataclasses.replace(arguments, max_steps=steps)
    accelerator = make_accelerator(
        arguments.precision,
        arguments.cpu,
        arguments.torch_compile,
        arguments.report_to,
        arguments.output_dir,
        arguments.threads,
    )
    check_shares(min(arguments.batch_size, len(pairs)), accelerator.num_processes)
    check_muon(arguments.muon_learning_rate, accelerator.mixed_precision, accelerator.distributed_type)
    if arguments.eval_steps and accelerator.distributed_type == "FSDP":
        raise UserError("--eval-steps measures whole models, and FSDP has pieces; launch without FSDP or give 0")
    # By it the model is known as fine-tuned on this dataset. An output that does not keep it counts as made of it.
    digests = [dataset_digest(name) for name in arguments.dataset]
    identity = {"dataset_digest": digests if len(digests) > 1 else digests[0]}
    settings = arguments.settings() | {"command": "finetune", "pairs": len(pairs)} | identity
    defaults = arguments.defaults() | identity
    folder = stack.enter_context(claim_output(accelerator, arguments.output_dir, settings, defaults))
    if folder is None:
        return
    start_tracking(accelerator, folder)
    # Again: loading has drawn numbers, and the classifiers must start alike in every process and every rerun.
    set_seed(arguments.seed)
    objective = FinetuningObjective(
        model, people, arguments.granularity_loss_weight, arguments.matching_loss, arguments.margin
    )
    collator = Collator(processor.tokenizer.pad_token_id)
    precision = settle_precision(
        accelerator,
        arguments.precision,
        objective,
        lambda: first_pass(pairs, collator, arguments.batch_size, arguments.chunk_size, accelerator.num_processes),
        folder,
    )
    optimizers = build_optimizers(
        objective,
        {"model.vision_model": arguments.vision_learning_rate, "model.text_model": arguments.text_learning_rate},
        arguments.head_learning_rate,
        arguments.weight_decay,
        (0.9, 0.999),
        arguments.muon_learning_rate,
        arguments.decay_positions,
    )
    schedulers = make_schedulers(optimizers, arguments.scheduler, arguments.warmup_ratio, arguments.max_steps)
    accelerator.print(
        f"fine-tuning on {len(pairs)} captions of {people} people for {arguments.max_steps} steps of "
        f"{arguments.batch_size}, precision {precision}"
    )
    validation = None
    if divided:
        if divided.held_out_person_ids:
            accelerator.print(f"held out of training, to choose the checkpoint: {divided.held_out} people")
        validation = Validation(
            accelerator,
            divided,
            processor,
            arguments.eval_steps,
            arguments.max_steps,
            folder,
            arguments.validation_dtype,
        )
    make_batches = EpochBatches
    if arguments.captions_per_person:
        make_batches = partial(IdentityBatches, pairs.person_of, arguments.captions_per_person)

    trained, log = run_training(
        accelerator,
        objective,
        optimizers,
        schedulers,
        pairs,
        collator,
        part_of(arguments, LoopOptions),
        folder,
        after_step=validation,
        make_batches=make_batches,
    )
    if validation:
        validation.finish(model)
    save_result(accelerator, trained, model, processor, log, "Fine-tuning", folder, arguments.output_dir)


if __name__ == "__main__":
    run_command(main)
