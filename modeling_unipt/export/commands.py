"""`unipt export`: the two encoders of a UniPT model become ONNX files, which onnxruntime runs without torch's model.

unipt export unipt/unipt-tiny --output unipt-onnx
"""

import argparse
import importlib.util
import shutil
from pathlib import Path

from ..common.atomic_files import write_json
from ..common.output_folders import finish_output, start_output
from ..common.user_errors import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MOST_DIFFERENCE = 1e-4

HELP = """Write both encoders of a UniPT model as ONNX files, which onnxruntime and many other programs run.

text_model.onnx     input_ids and attention_mask (texts, tokens) to text_embeds (texts, dim)
vision_model.onnx   pixel_values (images, 3, height, width) to image_embeds (images, dim)
export.json         inputs, outputs, versions, and the largest difference to torch

The processor's files lie beside them. Embeddings have length 1, so that their products are cosine similarities. Batches
may be of any size and texts of any length up to the model's limit; images have the processor's height and width. The
command runs both files and refuses if an embedding differs from torch's by 0.0001 or more."""
EXAMPLE = """example:
  unipt export unipt/unipt-tiny --output unipt-onnx

docs/python.md shows how to run the files."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `export` to the sub-commands of the `unipt` command."""
    command = commands.add_parser(
        "export",
        help="write the encoders of a model as ONNX files",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL", help="folder or Hub name of a UniPT model")
    command.add_argument("--output", required=True, metavar="FOLDER", help="folder to write; must be new")
    command.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> None:
    """Run `unipt export`.

    Raises:
        UserError: a package is missing, the model cannot be loaded or exported, its files give other embeddings than
            torch, or the output exists already.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"unipt export needs the package {package}; run `pip install 'unipt[export]'`")
    # Only who exports should wait for torch.
    from ..loading import load_model, weights_digest
    from .towers import export_model

    model, processor = load_model(arguments.model, device="cpu")
    settings = {
        "command": "export",
        "weights": weights_digest(model),
        "poolings": [model.config.vision_pooling, model.config.text_pooling],
        "image_size": dict(processor.image_processor.size),
    }
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        about = export_model(model, processor, folder)
        for name, tower in about["files"].items():
            if not tower["largest_difference"] < MOST_DIFFERENCE:
                raise UserError(
                    f"{name} of {arguments.model} gives embeddings that differ from torch's by up to "
                    f"{tower['largest_difference']:.1e}, which is too much, so nothing is written; try other versions "
                    f"of {', '.join(PACKAGES)}"
                )
        write_json(folder / "export.json", about)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finish_output(folder, arguments.output)
    for name, tower in about["files"].items():
        print(f"wrote {Path(arguments.output) / name}; largest difference to torch {tower['largest_difference']:.1e}")
