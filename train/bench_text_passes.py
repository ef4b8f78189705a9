"""What passing texts in groups of like length saves a CPU; belongs to the part `training` of `make bench`.

Forward and backward of the tiny model by recipe paper, on captions of the sample dataset, in turn with the groups of
:mod:`text_passes` and with all texts in one pass.
"""

import statistics
import time

import pretrain
import text_passes
from arguments import parse_arguments
from bench_figures import Figure
from data import Collator, load_rows
from joint_batch import joint_backward
from objective import PretrainingObjective
from run_arguments import make_accelerator
from stages import ROOT

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
    taken, losses = {several: [], 1: []}, {}
    try:
        for repetition in range(REPETITIONS + 1):
            for passes, seconds in taken.items():
                text_passes.PASSES = passes
                begun = time.perf_counter()
                losses[passes] = step()
                if repetition:  # the first is for warming up
                    seconds.append(time.perf_counter() - begun)
    finally:
        text_passes.PASSES = several
    ratio = statistics.median(taken[1]) / statistics.median(taken[several])
    return [
        Figure(f"{name}: texts in {several} passes by length / in one", ratio, ""),
        Figure(f"{name}: difference of the two losses", abs(losses[several] - losses[1]), "", at_most=1e-3),
    ]
