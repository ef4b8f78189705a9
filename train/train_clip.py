"""Train the tiny CLIP that stands in for openai/clip-vit-base-patch16 where no hub can be reached.

It learns from renders (`truth.jsonl` beside `images/`) and single-attribute prompts of the LUPerson-T vocabulary: for
each attribute, the image should be most similar to the prompt of its true phrase (cross-entropy over scaled cosines).
The result is an ordinary transformers CLIPModel + CLIPProcessor folder.

    python train/train_clip.py --renders RENDERS --held-out OTHER_RENDERS --output-dir clip-tiny

Both folders are written by `python -m dataset_builders.synthetic_pedestrians --layout images` (train/release.py has the
numbers and seeds of the released one).

The command prints how far the CLIP's picks agree with the truth of the held-out renders, and writes that to
`agreement.json`.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modeling_unipt.common.atomic_files import write_json
from modeling_unipt.common.output_folders import finish_output, held_output
from modeling_unipt.common.user_errors import run_command
from unipt_train.engine.arguments import option, parse_arguments, part_of, require
from unipt_train.engine.waiting import sleep_where_cores_are_busy


@dataclass
class TrainClipArguments:
    """The options of train/train_clip.py."""

    renders: str | None = option(None, "folder written by the renderer with --layout images")
    held_out: str | None = option(None, "another such folder, of other seeds, to measure the CLIP on")
    output_dir: str | None = option(None, "folder for the CLIP; must be new")
    image_size: int = option(128, "side of the square to which images are squashed, in pixels")
    max_steps: int = option(2000, "number of steps")
    batch_size: int = option(192, "images in a step")
    precision: Literal["auto", "no", "bf16"] = option(
        "auto", "auto: on a GPU bf16 where it is native; on a CPU whichever takes the shorter step at the start"
    )
    cpu: bool = option(False, "stay on the CPU even where there is a GPU")
    seed: int = option(9000, "seed of weights, order and augmentation")


def main(argv: Sequence[str] | None = None) -> None:
    sleep_where_cores_are_busy()
    arguments = parse_arguments(TrainClipArguments, __doc__, argv)
    require(arguments, "renders", "held_out", "output_dir")
    # It holds the lock of the output to the end.
    with ExitStack() as stack:
        train(arguments, stack)


def train(arguments: TrainClipArguments, stack: ExitStack) -> None:
    """Train as the options say, and write the result.

    Args:
        stack: what is to be held while the run lasts.

    Raises:
        UserError: the renders or the output cannot be used.
    """
    from dataset_builders.measure.agreement import agreement_table
    from dataset_builders.measure.truth import read_truth

    truth = read_truth(Path(arguments.renders, "truth.jsonl"))
    held_out = read_truth(Path(arguments.held_out, "truth.jsonl"))

    # These load torch and more, for which --help and a missing folder should not wait.
    import torch
    from transformers import CLIPImageProcessor, CLIPProcessor, set_seed

    from dataset_builders.divide.reading import load_vocabulary
    from unipt_train.data.tokenizers import clip_tokenizer, corpus
    from unipt_train.engine import clip_training
    from unipt_train.evaluation.scorer_agreement import held_out_agreement

    # The keys below were options once; an output of that time is still recognised by them.
    settings = dataclasses.asdict(arguments) | {
        "output_dir": None,
        "patch_size": clip_training.PATCH_SIZE,
        "learning_rate": clip_training.ADAMW_LEARNING_RATE,
        "muon_learning_rate": clip_training.MUON_LEARNING_RATE,
        "weight_decay": clip_training.WEIGHT_DECAY,
    }
    folder = stack.enter_context(held_output(arguments.output_dir, settings))
    if folder is None:
        return
    set_seed(arguments.seed)
    vocabulary = load_vocabulary()
    tokenizer = clip_tokenizer(corpus())
    size = arguments.image_size
    image_processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    model = clip_training.build_clip(tokenizer, size).to(device)
    renders = clip_training.Renders(
        pixels=clip_training.load_pixels(arguments.renders, list(truth), size),
        choices=clip_training.true_choices(vocabulary, list(truth.values())),
        mean=torch.tensor(image_processor.image_mean)[:, None, None],
        std=torch.tensor(image_processor.image_std)[:, None, None],
    )
    options = part_of(arguments, clip_training.ClipOptions)
    clip_training.train_steps(model, tokenizer, vocabulary, renders, options, device)
    model.eval().save_pretrained(folder)
    CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)
    agreement = held_out_agreement(folder, vocabulary, held_out, arguments.held_out)
    write_json(folder / "agreement.json", agreement)
    print(agreement_table(agreement))
    finish_output(folder, arguments.output_dir)
    print(f"wrote {arguments.output_dir}")


if __name__ == "__main__":
    run_command(main)
