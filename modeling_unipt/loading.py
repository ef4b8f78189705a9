"""Loading a released or trained UniPT model, with a user's mistakes told in one sentence."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils import logging

from .common.stand_ins import refuse_stand_ins_of_model
from .common.user_errors import UserError, first_line
from .modeling_unipt import UniPTModel, UniPTPreTrainedModel
from .processing_unipt import UniPTProcessor

PROCESSOR_FILES = ("processor_config.json", "tokenizer.json")


def load_unipt(
    name_or_path: Path | str,
    revision: str | None = None,
    model_class: type[UniPTPreTrainedModel] = UniPTModel,
    may_lack: tuple[str, ...] = (),
) -> tuple[UniPTPreTrainedModel, UniPTProcessor]:
    """A UniPT checkpoint, ready for use.

    Args:
        name_or_path: a folder written by ``save_pretrained``, or a Hub id.
        revision: branch, tag or commit of a Hub id.
        model_class: `UniPTModel` or `UniPTForPreTraining`.
        may_lack: beginnings of the names of weights that are initialised anew if the files lack them. All others must
            be there.

    Returns:
        The model in evaluation mode and its processor.

    Raises:
        UserError: there is nothing of that name, the Hub cannot be reached, the model is not UniPT, or files are
            missing or damaged.
    """
    name_or_path = os.fspath(name_or_path)
    _refuse_paths_without_model(name_or_path)
    config = _read(name_or_path, "the configuration", AutoConfig.from_pretrained, revision)
    if config.model_type != "unipt":
        raise UserError(
            f"{name_or_path} holds a {config.model_type} model, not UniPT; give a folder made by train/pretrain.py or "
            "train/finetune.py, or a released one such as unipt/unipt-tiny"
        )
    # With ignore_mismatched_sizes all wrong tensors are reported; otherwise the first one would raise.
    from_pretrained = partial(model_class.from_pretrained, output_loading_info=True, ignore_mismatched_sizes=True)
    with _quiet_transformers():
        model, info = _read(name_or_path, "the weights", from_pretrained, revision)
    _refuse_incomplete_weights(name_or_path, info, may_lack)
    model.newly_initialised = frozenset(info["missing_keys"])
    folder = Path(name_or_path)
    lacking = [name for name in PROCESSOR_FILES if folder.is_dir() and not (folder / name).is_file()]
    if lacking:
        # Without these files transformers would go on and make a processor with defaults.
        raise UserError(f"the processor of {name_or_path} is missing: the folder holds no {' and no '.join(lacking)}")
    processor = _read(name_or_path, "the processor", UniPTProcessor.from_pretrained, revision)
    return model.eval(), processor


def load_model(
    model: Path | str | tuple[UniPTModel, UniPTProcessor], revision: str | None = None, device: str | None = None
) -> tuple[UniPTModel, UniPTProcessor]:
    """A model on its device, and its processor.

    Args:
        model: folder or Hub id of a UniPT model; or a pair of model and processor, which is returned as it is.
        revision: branch, tag or commit of a Hub id.
        device: of torch, such as "cpu"; by default a GPU if there is one.

    Raises:
        UserError: see :func:`load_unipt`.
    """
    if isinstance(model, tuple):
        return model
    loaded, processor = load_unipt(model, revision)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    # Weights of half precision, too: computing_in says in which format they are multiplied.
    return loaded.float().to(device), processor


def model_name(model: UniPTModel) -> str:
    """Where ``model`` was loaded from: a Hub id, or the absolute path of a folder, which any process can find."""
    name = model.name_or_path
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def weights_digest(model: UniPTModel) -> str:
    """SHA-256 of all weights, in float32, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().contiguous().numpy())
    return digest.hexdigest()


def _refuse_paths_without_model(name_or_path: str) -> None:
    """Tell what is wrong with a path. transformers would take it for a Hub id and tell that the Hub has none such."""
    folder = Path(name_or_path)
    looks_like_id = name_or_path.count("/") <= 1 and not name_or_path.startswith((".", "/", "~"))
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{name_or_path} is not a model folder: it holds no config.json")
    elif folder.exists():
        raise UserError(f"{name_or_path} is a file; give the model's folder")
    elif not looks_like_id:
        raise UserError(f"model folder {name_or_path} does not exist")


def _read(name_or_path: str, what: str, from_pretrained: Callable[..., Any], revision: str | None) -> Any:
    """What ``from_pretrained`` returns. ``what`` names it in the sentence of an error."""
    try:
        return from_pretrained(name_or_path, revision=revision)
    except Exception as error:
        # transformers, safetensors and huggingface_hub raise errors of many kinds.
        if not Path(name_or_path).is_dir():
            raise UserError(
                f"model {name_or_path} is neither a folder here nor could it be fetched from the Hugging Face Hub "
                f"({first_line(error)}); check the name, the connection and HF_HUB_OFFLINE"
            ) from error
        refuse_stand_ins_of_model(name_or_path)
        raise UserError(f"{what} of {name_or_path} cannot be read: {first_line(error)}") from error


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide transformers' progress bar and its warnings of missing weights, which are told in one sentence instead."""
    verbosity = logging.get_verbosity()
    bar_was_shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar_was_shown:
            logging.enable_progress_bar()


def _refuse_incomplete_weights(name_or_path: str, info: dict[str, Any], may_lack: tuple[str, ...]) -> None:
    """Refuse a model some of whose weights transformers had to initialise at random.

    Args:
        may_lack: beginnings of the names of weights that may be new.
        info: what ``from_pretrained`` returns with ``output_loading_info``.
    """
    missing = [name for name in info["missing_keys"] if not name.startswith(may_lack)]
    for key in info["mismatched_keys"]:
        # (name, shape in the file, shape in the model)
        missing.append(key[0] if isinstance(key, tuple) else key)
    if missing:
        raise UserError(
            f"the weights of {name_or_path} are incomplete: {len(missing)} are missing or of another shape, the first "
            f"{min(missing)}"
        )
