"""Unified pre-training of image and text encoder on image-text pairs: contrastive + masked language modelling.

Paper section 3.3, equations 1 to 3. The dataset needs the columns `image` and `captions`, as LUPerson-T has them.
Several are mixed by `--dataset A B --dataset-weights 3 1`.

    accelerate launch train/pretrain.py --config train/configs/pretrain_tiny.yaml \\
        --dataset luperson-t --output-dir runs/pretrained

Where only the package is installed, from any folder:

    accelerate launch -m unipt_train.pretrain --config pretrain_tiny.yaml --dataset DATASET --output-dir OUTPUT

Kill it and run the same command again: it goes on from its last checkpoint. With --max-steps 0 it writes the model that
pre-training would start from, which is the baseline without person pre-training.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, part_of, require
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.engine.waiting import sleep_where_cores_are_busy

# Pairs by which --centre-embeddings estimates the mean embedding.
CENTRING_PAIRS = 256
# Beginnings of the names of parameters of the model: its heads, for which encoders may bring no weights.
HEADS = ("unipt.visual_projection.", "unipt.text_projection.", "mlm_head.")


def check(arguments: PretrainArguments) -> None:
    """Refuse what can be known to be wrong before anything is loaded.

    Raises:
        UserError: an option is missing, out of its range, or needs another one.
    """
    require(arguments, "dataset", "output_dir")
    check_mixture(arguments)
    if arguments.model is None:
        require(arguments, "vision_model", "text_model")
    elif arguments.random_init:
        raise UserError("--random-init begins two encoders from random weights; with --model give --random-init false")
    if arguments.batch_size < 2:
        raise UserError(
            f"--batch-size {arguments.batch_size} is too small: a contrastive loss compares a pair with others"
        )
    for name in ("weigh_negatives", "attribute_loss_weight"):
        if getattr(arguments, name) and not arguments.fresh_captions:
            raise UserError(
                f"--{name.replace('_', '-')} needs --fresh-captions: only of those is it known what they tell"
            )
    if arguments.mask_contrast and not arguments.mlm_loss_weight:
        raise UserError("--mask-contrast needs the masked text, so --mlm-loss-weight must not be 0")
    if arguments.attribute_loss_weight < 0:
        raise UserError(f"--attribute-loss-weight {arguments.attribute_loss_weight} must not be negative")
    if arguments.logit_scale <= 0:
        raise UserError(f"--logit-scale {arguments.logit_scale} must be positive")
    for name in ("head_learning_rate", "logit_scale_learning_rate"):
        rate = getattr(arguments, name)
        if rate is not None and rate < 0:
            raise UserError(f"--{name.replace('_', '-')} {rate} must not be negative")


def check_mixture(arguments: PretrainArguments) -> None:
    """Refuse options about the data sets that cannot be meant.

    Raises:
        UserError: one is out of its range, or does not fit another one.
    """
    weights = arguments.dataset_weights
    if weights is not None:
        told = " ".join(f"{weight:g}" for weight in weights)
        if len(arguments.dataset) == 1:
            raise UserError(f"--dataset-weights {told} needs several data sets behind --dataset")
        if len(weights) != len(arguments.dataset):
            raise UserError(
                f"--dataset-weights {told} are {len(weights)} number(s) for {len(arguments.dataset)} data sets; give "
                "one for each"
            )
        if not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise UserError(f"--dataset-weights {told} must all be positive; leave out a data set instead of giving 0")
    if arguments.min_caption_score is not None and math.isnan(arguments.min_caption_score):
        raise UserError("--min-caption-score nan is no number")
    for name in ("caption_backends", "min_caption_score"):
        if getattr(arguments, name) is not None and arguments.fresh_captions:
            raise UserError(
                f"--{name.replace('_', '-')} chooses among stored captions, and --fresh-captions writes new ones; give "
                "one of the two"
            )


def check_shares_of_data(sizes: Mapping[str, int], weights: Sequence[float], batch_size: int) -> None:
    """Refuse weights by which a data set would never be seen.

    Raises:
        UserError: a data set has no sample in an epoch.
    """
    from unipt_train.data.batches import shares_of, steps_per_epoch

    rows = sum(sizes.values())
    samples = steps_per_epoch(rows, batch_size) * min(batch_size, rows)
    for name, weight, share in zip(sizes, weights, shares_of(samples, weights), strict=True):
        if not share:
            raise UserError(
                f"--dataset-weights {weight:g} gives '{name}' none of the {samples} samples of an epoch; give it more, "
                "or leave it out"
            )


def learning_rates(arguments: PretrainArguments, newly_initialised: Iterable[str] | None) -> dict[str, float]:
    """The rates that are not --learning-rate: beginning of parameter names of the objective -> peak learning rate.

    Args:
        arguments: the options.
        newly_initialised: names of the model's parameters that no checkpoint had weights for; None: all of them.
    """
    rates = {}
    if arguments.logit_scale_learning_rate is not None:
        # Both numbers of the loss: logit_scale and, of a sigmoid loss, logit_bias.
        rates["model.unipt.logit_"] = arguments.logit_scale_learning_rate
    if arguments.head_learning_rate is not None:
        new = HEADS if newly_initialised is None else newly_initialised
        heads = [f"model.{name}" for name in new if name.startswith(HEADS)]
        rates |= dict.fromkeys(["attribute_head.", *heads], arguments.head_learning_rate)
    return rates


def plan(arguments: PretrainArguments, sizes: Mapping[str, int], processes: int, precision: str) -> str:
    """One sentence about what will be done.

    Args:
        sizes: data set -> number of its pairs.
    """
    rows = sum(sizes.values())
    batch = min(arguments.batch_size, rows)
    share = batch // processes
    mixture = _mixture(sizes, arguments.dataset_weights)
    start = f"from {arguments.model}, with its own projections, pooling and scale, " if arguments.model else ""
    return (
        f"pre-training {start}on {rows} pairs{mixture} for {arguments.max_steps} steps, precision {precision}; "
        f"global batch {batch}: {processes} process(es) x {share} pairs, "
        f"{min(arguments.chunk_size or share, share)} in a forward pass; {batch - 1} negatives a query"
    )


def _mixture(sizes: Mapping[str, int], weights: Sequence[float] | None) -> str:
    """What the pairs come from, if that is not one data set."""
    if len(sizes) == 1:
        return ""
    parts = ", ".join(f"{size} of {name}" for name, size in sizes.items())
    drawn = f", drawn {' : '.join(f'{weight:g}' for weight in weights)}" if weights else ""
    return f" ({parts}{drawn})"


def main(argv: Sequence[str] | None = None) -> None:
    sleep_where_cores_are_busy()
    arguments = parse_arguments(PretrainArguments, __doc__, argv)
    check(arguments)
    # It holds the lock of the output to the end.
    with ExitStack() as stack:
        train(arguments, stack)


def train(arguments: PretrainArguments, stack: ExitStack) -> None:
    """Train as the options say, and write the result.

    Args:
        stack: what is to be held while the run lasts.

    Raises:
        UserError: something that the options name cannot be used, or cannot be used here.
    """
    # These load accelerate, datasets and more, for which --help and a mistake in the options should not wait.
    from accelerate.utils import set_seed

    from unipt_train.data.batches import Collator, EpochBatches, WeightedBatches, first_pass, steps_per_epoch
    from unipt_train.data.loading import joined
    from unipt_train.engine.launching import check_shares
    from unipt_train.engine.loop import LoopOptions, run_training
    from unipt_train.engine.muon import check_muon
    from unipt_train.engine.optimizers import build_optimizers, make_schedulers
    from unipt_train.engine.precision import settle_precision
    from unipt_train.engine.result import claim_output, save_result, start_tracking
    from unipt_train.engine.set_up import make_accelerator, set_up_model
    from unipt_train.objectives import build
    from unipt_train.objectives.initialisation import centre_embeddings
    from unipt_train.objectives.pretraining import PretrainingObjective

    samples = part_of(arguments, build.SampleOptions)
    parts, left_out = build.load_parts(arguments.dataset, arguments.split, samples)
    rows = joined(parts)
    sizes = {name: len(part) for name, part in parts.items()}
    make_batches = EpochBatches
    if arguments.dataset_weights:
        check_shares_of_data(sizes, arguments.dataset_weights, arguments.batch_size)
        make_batches = partial(WeightedBatches, list(sizes.values()), arguments.dataset_weights)
    if arguments.max_steps < 0:
        steps = int(arguments.epochs * steps_per_epoch(len(rows), arguments.batch_size))
        arguments = dataclasses.replace(arguments, max_steps=steps)
    accelerator = make_accelerator(
        arguments.precision,
        arguments.cpu,
        arguments.torch_compile,
        arguments.report_to,
        arguments.output_dir,
        arguments.threads,
    )
    check_shares(min(arguments.batch_size, len(rows)), accelerator.num_processes)
    check_muon(arguments.muon_learning_rate, accelerator.mixed_precision, accelerator.distributed_type)
    set_seed(arguments.seed)
    model, processor = build.build_model(part_of(arguments, build.ModelOptions))
    size = processor.image_processor.size
    arguments = dataclasses.replace(arguments, image_height=size["height"], image_width=size["width"])
    if model.learns_single_numbers() and accelerator.distributed_type == "FSDP":
        raise UserError(
            "FSDP cannot hold a learned logit_scale or logit_bias, a single number; launch with DDP, or give "
            "--learnable-logit-scale false and --contrastive-loss softmax"
        )
    set_up_model(model, arguments.attn_implementation, arguments.gradient_checkpointing)
    pairs, facts = build.build_pairs(rows, processor, samples)
    collator = Collator(processor.tokenizer.pad_token_id)
    if arguments.centre_embeddings and arguments.model is None:
        first = [pairs[0, index] for index in range(min(len(pairs), CENTRING_PAIRS))]
        centre_embeddings(model.unipt, collator(first))
    settings = arguments.settings() | {"command": "pretrain", "rows": len(rows)}
    folder = stack.enter_context(claim_output(accelerator, arguments.output_dir, settings, arguments.defaults()))
    if folder is None:
        return
    start_tracking(accelerator, folder)
    objective = PretrainingObjective(
        model,
        mask_contrast=arguments.mask_contrast,
        weigh_negatives=arguments.weigh_negatives,
        attribute_loss_weight=arguments.attribute_loss_weight,
        fact_sizes=facts.sizes if facts else (),
    )
    precision = settle_precision(
        accelerator,
        # Without a step there is nothing to be fast at.
        arguments.precision if arguments.max_steps else accelerator.mixed_precision,
        objective,
        lambda: first_pass(pairs, collator, arguments.batch_size, arguments.chunk_size, accelerator.num_processes),
        folder,
    )
    optimizers = build_optimizers(
        objective,
        learning_rates(arguments, model.newly_initialised),
        arguments.learning_rate,
        arguments.weight_decay,
        (0.9, 0.98),
        arguments.muon_learning_rate,
        arguments.decay_positions,
    )
    schedulers = make_schedulers(optimizers, arguments.scheduler, arguments.warmup_ratio, arguments.max_steps)
    for sentence in left_out:
        accelerator.print(sentence)
    accelerator.print(plan(arguments, sizes, accelerator.num_processes, precision))

    trained, log = run_training(
        accelerator,
        objective,
        optimizers,
        schedulers,
        pairs,
        collator,
        part_of(arguments, LoopOptions),
        folder,
        make_batches=make_batches,
    )
    save_result(accelerator, trained, model, processor, log, "Pre-training", folder, arguments.output_dir)


if __name__ == "__main__":
    run_command(main)
