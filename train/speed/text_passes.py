"""What passing texts in groups of like length saves a CPU; belongs to the part `training` of `make bench`.

Forward and backward of the tiny model by the recipe `paper`, on captions of the sample dataset: in turn with the groups
of :mod:`unipt_train.objectives.text_passes` and with all texts in one pass.
"""

from collections.abc import Callable, Sequence
from functools import partial

from unipt_train.data.batches import Collator
from unipt_train.data.loading import load_rows
from unipt_train.engine.arguments import parse_arguments, part_of
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.engine.set_up import make_accelerator
from unipt_train.objectives import text_passes
from unipt_train.objectives.build import ModelOptions, SampleOptions, build_model, build_pairs, columns_needed
from unipt_train.objectives.pretraining import PretrainingObjective
from unipt_train.speed.figures import Figure
from unipt_train.speed.timing import in_turn
from unipt_train.studies.commands import ROOT

REPETITIONS = 8


def sample_step(options: Sequence[str], batch_size: int) -> Callable[[], float]:
    """A function that takes a training step, without optimizer, and returns its loss.

    Args:
        options: of train/pretrain.py.
        batch_size: how many of the first rows of the sample dataset the step trains on.
    """
    arguments = parse_arguments(PretrainArguments, "", list(options))
    samples = part_of(arguments, SampleOptions)
    model, processor = build_model(part_of(arguments, ModelOptions))
    model.set_attn_implementation(arguments.attn_implementation)
    rows = load_rows(str(ROOT / "luperson-t"), "train", columns_needed(samples))
    pairs, facts = build_pairs(rows, processor, samples)
    batch = Collator(processor.tokenizer.pad_token_id)([pairs[0, row] for row in range(batch_size)])
    # How many captions were cut is logged, and is no input of the model.
    del batch["truncated"]
    accelerator = make_accelerator(arguments.precision, arguments.cpu)
    objective = PretrainingObjective(
        model.train(),
        mask_contrast=arguments.mask_contrast,
        weigh_negatives=arguments.weigh_negatives,
        attribute_loss_weight=arguments.attribute_loss_weight,
        fact_sizes=facts.sizes if facts else (),
    )
    prepared = accelerator.prepare(objective)

    def step() -> float:
        prepared.zero_grad()
        return joint_backward(accelerator, prepared, batch)["loss"].item()

    return step


def measure_text_passes(options: Sequence[str], batch_size: int, name: str) -> list[Figure]:
    """The figures of both ways, measured in turn; for the arguments see :func:`sample_step`."""
    step = sample_step(options, batch_size)
    several = text_passes.PASSES

    def way(passes: int) -> float:
        text_passes.PASSES = passes
        return step()

    try:
        timed = in_turn({"several": partial(way, several), "one": partial(way, 1)}, REPETITIONS)
    finally:
        text_passes.PASSES = several
    ratio = timed["one"].seconds / timed["several"].seconds
    difference = abs(timed["several"].result - timed["one"].result)
    return [
        Figure(f"{name}: texts in {several} passes by length / in one", ratio),
        Figure(f"{name}: difference of the two losses", difference, at_most=1e-3),
    ]
