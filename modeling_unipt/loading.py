"""Loading a released or trained UniPT model, with a user's mistakes told in one sentence."""

import hashlib
import os
from functools import partial
from pathlib import Path

from .common.user_errors import UserError, first_line


def load_unipt(name_or_path, revision=None, model_class=None):
    """A UniPT checkpoint, ready for use.

    Args:
        name_or_path: a folder written by ``save_pretrained``, or a Hub id.
        revision (`str`, *optional*): branch, tag or commit of a Hub id.
        model_class (*optional*): `UniPTModel` by default, or `UniPTForPreTraining`.

    Returns:
        (model in evaluation mode, `UniPTProcessor`)

    Raises:
        UserError: nothing of that name, unreachable, not UniPT, or files missing or damaged.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    from .modeling_unipt import UniPTModel
    from .processing_unipt import UniPTProcessor

    model_class = model_class or UniPTModel
    name_or_path = os.fspath(name_or_path)
    folder = Path(name_or_path)
    looks_like_id = name_or_path.count("/") <= 1 and not name_or_path.startswith((".", "/", "~"))
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{name_or_path} is not a model folder: it holds no config.json")
    elif folder.exists():
        raise UserError(f"{name_or_path} is a file; give the model's folder")
    elif not looks_like_id:
        raise UserError(f"model folder {name_or_path} does not exist")

    def load(what, loader):
        try:
            return loader(name_or_path, revision=revision)
        except Exception as error:  # transformers, safetensors and huggingface_hub raise many kinds
            if not folder.is_dir():
                raise UserError(
                    f"model {name_or_path} is neither a folder here nor could it be fetched from the Hugging Face Hub "
                    f"({first_line(error)}); check the name, the connection and HF_HUB_OFFLINE"
                ) from error
            raise UserError(f"{what} of {name_or_path} cannot be read: {first_line(error)}") from error

    config = load("the configuration", AutoConfig.from_pretrained)
    if config.model_type != "unipt":
        raise UserError(
            f"{name_or_path} holds a {config.model_type} model, not UniPT; give a folder made by train/pretrain.py or "
            "train/finetune.py, or a released one such as unipt/unipt-tiny"
        )
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # what is missing is told below
    logging.disable_progress_bar()
    try:
        from_pretrained = partial(model_class.from_pretrained, output_loading_info=True, ignore_mismatched_sizes=True)
        model, info = load("the weights", from_pretrained)
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
    if info["missing_keys"] or info["mismatched_keys"]:
        mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
        missing = sorted([*info["missing_keys"], *mismatched])
        raise UserError(
            f"the weights of {name_or_path} are incomplete: {len(missing)} are missing or of another shape, the first "
            f"{missing[0]}"
        )
    needed = ["processor_config.json", "tokenizer.json"]
    lacking = [name for name in needed if folder.is_dir() and not (folder / name).is_file()]
    if lacking:
        raise UserError(f"the processor of {name_or_path} is missing: the folder holds no {' and no '.join(lacking)}")
    processor = load("the processor", UniPTProcessor.from_pretrained)
    return model.eval(), processor


def load_model(model, revision=None, device=None):
    """(model on ``device`` or, by default, a GPU where there is one, processor); a pair of them is given back as it is.

    Args:
        model: folder or Hub id of a UniPT model, or a (model, processor) pair.
    """
    if isinstance(model, tuple):
        return model
    import torch

    loaded, processor = load_unipt(model, revision)
    return loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), processor


def model_name(model):
    """Where ``model`` was loaded from: a Hub id, or the absolute path of a folder, good in any working directory."""
    name = model.name_or_path
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def weights_digest(model):
    """SHA-256 of all weights, in float32, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().contiguous().numpy())
    return digest.hexdigest()
