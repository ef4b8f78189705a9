"""What passing texts in groups of like length saves a CPU; belongs to the part `training` of `make bench`.

Forward and backward of the tiny model by recipe paper, on captions of the sample dataset, in turn with the groups of
:mod:`text_passes` and with all texts in one pass.
"""

from functools import partial

from unipt_train import pretrain
from unipt_train.data.pairs import Collator, load_rows
from unipt_train.engine.arguments import parse_arguments
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.engine.run_arguments import make_accelerator
from unipt_train.objectives import text_passes
from unipt_train.objectives.pretraining import PretrainingObjective
from unipt_train.speed.figures import Figure
from unipt_train.speed.in_turn import in_turn
from unipt_train.studies.commands import ROOT

REPETITIONS = 8


def sample_step(options, batch_size):
    """A function that takes a step of train/pretrain.py with the ``options`` on the first rows of the sample dataset,
    without optimizer, and returns its loss."""
    arguments = parse_arguments(pretrain.PretrainArguments, pretrain.__doc__, options)
    model, processor = pretrain.build_model(arguments)
    model.set_attn_implementation(arguments.attn_implementation)
    rows = load_rows(str(ROOT / "luperson-t"), "train", pretrain.columns_needed(arguments))
    pairs, facts = pretrain.build_pairs(rows, processor, arguments)
    batch = Collator(processor.tokenizer.pad_token_id)(pairs.__getitems__([(0, row) for row in range(batch_size)]))
    del batch["truncated"]
    accelerator = make_accelerator(arguments)
    objective = accelerator.prepare(PretrainingObjective(model.train(), arguments, facts))

    def step():
        objective.zero_grad()
        return joint_backward(accelerator, objective, batch)["loss"].item()

    return step


def measure_text_passes(options, batch_size, name):
    """The figures of both ways, measured in turn."""
    step, several = sample_step(options, batch_size), text_passes.PASSES

    def way(passes):
        text_passes.PASSES = passes
        return step()

    try:
        timed = in_turn({passes: partial(way, passes) for passes in (several, 1)}, REPETITIONS)
    finally:
        text_passes.PASSES = several
    ratio, difference = timed[1].seconds / timed[several].seconds, abs(timed[several].result - timed[1].result)
    return [
        Figure(f"{name}: texts in {several} passes by length / in one", ratio, ""),
        Figure(f"{name}: difference of the two losses", difference, "", at_most=1e-3),
    ]
