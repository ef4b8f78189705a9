"""`unipt convert`: a checkpoint of the authors, of CLIP or of IRRA becomes a UniPT folder.

    unipt convert authors last.ckpt --output unipt-vit-b
    unipt convert clip openai/clip-vit-base-patch16 --output unipt-from-clip
    unipt convert irra best.pth --output irra-cuhk --tokenizer openai/clip-vit-base-patch16

Nothing in a checkpoint is executed: `torch.load` runs with ``weights_only=True``, and what needs more is refused.
"""

import argparse
import hashlib
import shutil
from pathlib import Path

from ..common.user_errors import UserError, first_line

HELP = """Turn a checkpoint of another project into a UniPT folder, which AutoModel, unipt index, train/finetune.py and
train/evaluate_retrieval.py take.

authors   the pre-training checkpoint of UniPT's authors (PyTorch Lightning, .ckpt)
clip      CLIP: a folder or Hub name of transformers, or a file of tensors in OpenAI's names
irra      a checkpoint of IRRA (.pth)

CLIP and IRRA keep their own pooling (the class token), so that embeddings stay the same; --pooling max starts from
their weights with the paper's. Tensors that the layout does not know, and those that are missing, are listed."""
EXAMPLE = "example:\n  unipt convert irra best.pth --output irra-cuhk --tokenizer openai/clip-vit-base-patch16"
POOLINGS = ("max", "mean", "class")
CONTAINERS = ("state_dict", "model")


def add_convert_command(commands):
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
    command.add_argument("--pooling", choices=POOLINGS, help="how tokens become one embedding (default: as trained)")
    command.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels that pictures are resized to (default: as trained)",
    )
    command.set_defaults(run=run_convert)


def read_tensors(path):
    """The tensors of a checkpoint, name -> tensor; of a nested one those of its ``state_dict`` or ``model``.

    Raises:
        UserError: it cannot be read, would need code to be run, or holds no tensors.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist or is not a file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:  # SafetensorError, OSError
            raise UserError(f"checkpoint {path} cannot be read: {first_line(error)}") from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, BadZipFile ...
        told = first_line(error)
        if "weights_only" in str(error) or "Unsupported" in str(error) or "TorchScript" in str(error):
            raise UserError(
                f"checkpoint {path} holds more than tensors, which only running code that comes with it would read, so "
                "it is refused; where it comes from a source you trust, save its state_dict alone and convert that"
            ) from None
        raise UserError(f"checkpoint {path} cannot be read: {told}") from None
    for container in CONTAINERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(container), dict):
            loaded = loaded[container]
    tensors = {}
    if isinstance(loaded, dict):
        tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"checkpoint {path} holds no named tensors, so it is no state_dict of a model")
    return tensors


def clip_of_transformers(name, pooling):
    """The layout of a CLIP model in transformers' own format, and its tokenizer's name.

    Raises:
        UserError: there is no CLIP model at this name.
    """
    import torch
    from transformers import AutoConfig, AutoImageProcessor, CLIPModel

    from ..configuration_unipt import UniPTConfig
    from .layouts import Layout

    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != "clip":
            raise UserError(f"{name} holds a {config.model_type} model, not CLIP")
        model, info = CLIPModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
        images = AutoImageProcessor.from_pretrained(name)
    except UserError:
        raise
    except Exception as error:  # transformers, safetensors and huggingface_hub raise many kinds
        raise UserError(
            f"CLIP model {name} cannot be loaded, as a folder or from the Hub: {first_line(error)}"
        ) from None
    if info["missing_keys"]:
        raise UserError(f"the weights of {name} are incomplete; missing are {', '.join(sorted(info['missing_keys']))}")
    weights = {f"vision_model.{key}": value for key, value in model.vision_model.state_dict().items()}
    weights |= {f"text_model.{key}": value for key, value in model.text_model.state_dict().items()}
    for projection in ("visual_projection", "text_projection"):
        weights[f"{projection}.weight"] = getattr(model, projection).weight.data
        weights[f"{projection}.bias"] = torch.zeros(config.projection_dim)  # CLIP's projections have none
    weights["logit_scale"] = model.logit_scale.data
    unipt = UniPTConfig(
        vision_config=config.vision_config,
        text_config=config.text_config,
        projection_dim=config.projection_dim,
        pooling=pooling,
        logit_scale_init_value=model.logit_scale.item(),
    )
    side = config.vision_config.image_size
    preprocessing = {"size": {"height": side, "width": side}, "resample": int(images.resample)}
    preprocessing |= {"image_mean": list(images.image_mean), "image_std": list(images.image_std)}
    return Layout(unipt, weights, preprocessing=preprocessing, tokenizer=str(name))


def load_tokenizer(name, layout):
    """The tokenizer ``name``, checked against the text encoder's vocabulary.

    Raises:
        UserError: it cannot be loaded or has more pieces than the checkpoint.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:
        raise UserError(
            f"tokenizer {name} cannot be loaded, as a folder or from the Hub ({first_line(error)}); name one by "
            "--tokenizer"
        ) from None
    pieces, text = len(tokenizer), layout.config.text_config
    if pieces > text.vocab_size:
        raise UserError(
            f"tokenizer {name} has {pieces} pieces and the checkpoint's vocabulary {text.vocab_size}; name the one it "
            "was trained with by --tokenizer"
        )
    tokenizer.model_max_length = min(tokenizer.model_max_length, text.max_position_embeddings)
    return tokenizer


def write_model(layout, tokenizer, folder):
    """Save the model and its processor to ``folder``.

    Raises:
        UserError: a tensor is missing or of a shape that does not fit the others.
    """
    from .. import UniPTForPreTraining, UniPTImageProcessor, UniPTModel, UniPTProcessor
    from .layouts import shown

    model_class = UniPTForPreTraining if "mlm_head.dense.weight" in layout.weights else UniPTModel
    model = model_class(layout.config)
    wrong = []
    for name, tensor in model.state_dict().items():
        found = layout.weights.get(name)
        if found is None or found.shape != tensor.shape:
            wrong.append(
                f"{name} ({'missing' if found is None else f'{tuple(found.shape)}, not {tuple(tensor.shape)}'})"
            )
    if wrong:
        raise UserError(f"the checkpoint does not fit its layout: {len(wrong)} tensors are wrong: {shown(wrong)}")
    model.load_state_dict(layout.weights)
    model.save_pretrained(folder)
    UniPTProcessor(UniPTImageProcessor(**layout.preprocessing), tokenizer).save_pretrained(folder)


def run_convert(arguments):
    from ..common.output_folders import finish_output, start_output
    from .clip import clip_layout, irra_layout
    from .layouts import authors_layout, shown

    path = Path(arguments.checkpoint)
    settings = {"command": "convert", "layout": arguments.layout, "pooling": arguments.pooling}
    settings |= {"tokenizer": arguments.tokenizer, "image_size": arguments.image_size}
    if arguments.layout == "clip" and not path.is_file():
        layout = clip_of_transformers(arguments.checkpoint, arguments.pooling or "class")
        settings["checkpoint"] = arguments.checkpoint
    else:
        tensors = read_tensors(path)
        if arguments.layout == "authors":
            layout = authors_layout(tensors)
            layout.config.pooling = arguments.pooling or "max"
        else:
            read = clip_layout if arguments.layout == "clip" else irra_layout
            layout = read(tensors, arguments.pooling or "class")
        with open(path, "rb") as file:
            settings["checkpoint"] = hashlib.file_digest(file, "sha256").hexdigest()
    if arguments.image_size:
        layout.preprocessing["size"] = dict(zip(("height", "width"), arguments.image_size, strict=True))
    size, patch = layout.preprocessing["size"], layout.config.vision_config.patch_size
    if any(pixels < patch or pixels % patch for pixels in size.values()):
        raise UserError(
            f"pictures of {size['height']} x {size['width']} pixels cannot be cut into patches of {patch}; choose "
            "multiples of it by --image-size"
        )
    tokenizer = load_tokenizer(arguments.tokenizer or layout.tokenizer, layout)
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
    if arguments.layout == "authors" and "mlm_head.dense.weight" not in layout.weights:
        print("missing: the head of masked language modelling (mlm_score); the folder holds no UniPTForPreTraining")
