"""Write a UniPT model whose vision encoder comes from one checkpoint and whose text encoder from another.

    python train/studies/mix_encoders.py --vision runs/pretrained --text runs/untrained --output runs/vision-alone

Each encoder keeps its projection. Fine-tuning such a model measures what pre-training is worth to one encoder alone.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.loading import load_unipt

logger = logging.getLogger(__name__)
OF_TEXT = ("text_model.", "text_projection.")


def mix_encoders(vision: str, text: str, output: Path | str) -> None:
    """Make the model folder ``output`` of the vision encoder of ``vision`` and the text encoder of ``text``.

    Args:
        vision: folder or Hub name of a UniPT model, which also gives everything that belongs to no encoder.
        text: folder or Hub name of another one of the same sizes.

    Raises:
        UserError: a model cannot be loaded, or the two differ in architecture.
    """
    folder = start_output(output, {"command": "mix", "vision": vision, "text": text, "output": str(output)})
    if folder is None:
        return
    model, processor = load_unipt(vision)
    other = load_unipt(text)[0].state_dict()
    of_text = {name: weights for name, weights in other.items() if name.startswith(OF_TEXT)}
    try:
        model.load_state_dict(of_text, strict=False)
    except RuntimeError:
        raise UserError(f"{vision} and {text} differ in architecture and cannot be mixed") from None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    finish_output(folder, output)
    logger.info("wrote %s", output)


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vision", required=True, help="folder or Hub name of the model that gives the vision encoder")
    parser.add_argument("--text", required=True, help="folder or Hub name of the model that gives the text encoder")
    parser.add_argument("--output", required=True, help="folder for the model; must be new")
    arguments = parser.parse_args(argv)
    mix_encoders(arguments.vision, arguments.text, arguments.output)


if __name__ == "__main__":
    run_command(main)
