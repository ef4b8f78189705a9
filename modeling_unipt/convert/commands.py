"""`unipt convert`: a checkpoint of UniPT's authors, of CLIP or of IRRA becomes a UniPT folder.

    unipt convert authors last.ckpt --output unipt-vit-b
    unipt convert clip openai/clip-vit-base-patch16 --output unipt-from-clip
    unipt convert irra best.pth --output irra-cuhk --tokenizer openai/clip-vit-base-patch16

Nothing in a checkpoint is executed: `torch.load` runs with ``weights_only=True`` and refuses a file that needs more.
"""

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.output_folders import finish_output, start_output
from ..common.user_errors import UserError
from ..common.words import nearest

if TYPE_CHECKING:
    from .layouts import Layout

HELP = """Turn a checkpoint of another project into a UniPT folder. AutoModel, unipt index, train/finetune.py and
train/evaluate_retrieval.py can load that folder.

authors   the pre-training checkpoint of UniPT's authors (PyTorch Lightning, .ckpt)
clip      CLIP: a folder or Hub name of transformers, or a file of tensors in OpenAI's names
irra      a checkpoint of IRRA (.pth)

CLIP and IRRA keep their own pooling (the class token), so that embeddings stay the same. With --pooling max the model
starts from their weights and pools as the paper does. Tensors that are unknown or missing are listed."""
EXAMPLE = "example:\n  unipt convert irra best.pth --output irra-cuhk --tokenizer openai/clip-vit-base-patch16"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `convert` to the sub-commands of the `unipt` command."""
    command = commands.add_parser(
        "convert",
        help="turn a checkpoint of UniPT's authors, CLIP or IRRA into a UniPT folder",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("layout", choices=("authors", "clip", "irra"), help="what the checkpoint is")
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="file; for clip also a folder or Hub name")
    command.add_argument("--output", required=True, metavar="FOLDER", help="folder to write; must be new")
    command.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="folder or Hub name of the text encoder's tokenizer (default: bert-base-uncased or CLIP's)",
    )
    # No choices here: the names stand in configuration_unipt.py, which imports transformers. run_convert checks them.
    command.add_argument(
        "--pooling",
        metavar="POOLING",
        help="how the tokens become one embedding: max, mean or class (default: as trained)",
    )
    command.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels that images are resized to (default: as trained)",
    )
    command.set_defaults(run=run_convert)


def run_convert(arguments: argparse.Namespace) -> None:
    """Run `unipt convert`.

    Raises:
        UserError: an option is wrong, or the checkpoint or the tokenizer cannot be used.
    """
    from ..configuration_unipt import POOLINGS
    from .layouts import shown
    from .writing import load_tokenizer, write_model

    if arguments.pooling is not None and arguments.pooling not in POOLINGS:
        raise UserError(
            f"--pooling is '{arguments.pooling}'; it must be one of {', '.join(POOLINGS)}"
            + nearest(arguments.pooling, POOLINGS)
        )
    layout, checkpoint = _read_layout(arguments.layout, arguments.checkpoint, arguments.pooling)
    if arguments.image_size:
        height, width = arguments.image_size
        layout.preprocessing["size"] = {"height": height, "width": width}
    _check_size(layout)
    tokenizer = load_tokenizer(arguments.tokenizer or layout.tokenizer, layout)
    settings = {
        "command": "convert",
        "layout": arguments.layout,
        "pooling": arguments.pooling,
        "tokenizer": arguments.tokenizer,
        "image_size": arguments.image_size,
        "checkpoint": checkpoint,
    }
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        write_model(layout, tokenizer, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finish_output(folder, arguments.output)
    print(f"wrote {arguments.output}: {len(layout.weights)} tensors")
    if layout.left_out:
        print(f"left out, of no use to UniPT: {len(layout.left_out)} tensors: {shown(layout.left_out)}")
    if layout.unknown:
        print(f"unknown to this layout and left out: {len(layout.unknown)} tensors: {', '.join(layout.unknown)}")
    if arguments.layout == "authors" and not layout.has_mlm_head:
        print("missing: the head of masked language modelling (mlm_score); the folder holds no UniPTForPreTraining")


def _read_layout(kind: str, checkpoint: str, pooling: str | None) -> "tuple[Layout, str]":
    """The checkpoint read as UniPT, and what identifies it: a file's SHA-256, or the name of a folder or on the Hub.

    Args:
        kind: "authors", "clip" or "irra".
        pooling: of `UniPTConfig`, or None for the one that the checkpoint was trained with.
    """
    from .authors import authors_layout
    from .checkpoints import read_tensors
    from .clip import clip_layout, clip_of_transformers, irra_layout

    options = {} if pooling is None else {"pooling": pooling}
    path = Path(checkpoint)
    if kind == "clip" and not path.is_file():
        return clip_of_transformers(checkpoint, **options), checkpoint
    read = {"authors": authors_layout, "clip": clip_layout, "irra": irra_layout}[kind]
    layout = read(read_tensors(path), **options)
    with open(path, "rb") as file:
        return layout, hashlib.file_digest(file, "sha256").hexdigest()


def _check_size(layout: "Layout") -> None:
    size = layout.preprocessing["size"]
    patch = layout.config.vision_config.patch_size
    if any(pixels < patch or pixels % patch for pixels in size.values()):
        raise UserError(
            f"images of {size['height']} x {size['width']} pixels cannot be cut into patches of {patch}; choose "
            "multiples of it by --image-size"
        )
