"""The encoders that UniPT is made of: the kinds there are, how each is built and loaded, and which tokens it gives."""

import inspect
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    CLIPModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipModel,
    SiglipTextModel,
)
from transformers.modeling_outputs import BaseModelOutput

from .configuration_unipt import DECODERS, fit_vision_config

VISION_ENCODERS = (
    "beit",
    "clip_vision_model",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "siglip_vision_model",
    "vit",
)
TEXT_ENCODERS = (
    "bert",
    "clip_text_model",
    "distilbert",
    "modernbert",
    "mpnet",
    "roberta",
    "siglip_text_model",
    "xlm-roberta",
    *DECODERS,
)
DUAL_ENCODERS = {"clip": CLIPModel, "siglip": SiglipModel}
# Where the parts of a masked language modelling head lie in each kind of model: a dense layer, a norm and a decoder.
MLM_HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder"),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    "modernbert": ("head.dense", "head.norm", "decoder"),
    "mpnet": ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"),
    "xlm-roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"),
}
# These count positions from the padding token's number on, so that as many of their positions stay unused.
COUNTED_FROM_PADDING = ("mpnet", "roberta", "xlm-roberta")


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """The bare encoder of ``config`` with new weights, without the parts that UniPT does not use.

    Raises:
        ValueError: UniPT has no such encoder.
    """
    if config.model_type not in (*VISION_ENCODERS, *TEXT_ENCODERS):
        raise ValueError(
            f"UniPT cannot use an encoder of the kind '{config.model_type}'; its kinds of image encoders are "
            f"{', '.join(VISION_ENCODERS)}, and its kinds of text encoders {', '.join(TEXT_ENCODERS)}"
        )
    model_class = _class_of(config)
    encoder = model_class._from_config(config, **_without_pooler(model_class))
    leave_out_unused_parts(encoder)
    return encoder


def leave_out_unused_parts(encoder: PreTrainedModel) -> None:
    """Take out of ``encoder``, in place, what gets no gradient in UniPT: DDP would wait for it."""
    if encoder.config.model_type == "siglip_text_model":
        # What this head does is done by UniPT's projection of texts.
        encoder.head = nn.Identity()
    embeddings = getattr(encoder, "embeddings", None)
    mask_token = getattr(embeddings, "mask_token", None)
    if isinstance(mask_token, nn.Parameter):
        # DINOv2 and DINOv3 put this token where patches are hidden. A buffer is saved and loaded under the same name.
        del embeddings.mask_token
        embeddings.mask_token = nn.Buffer(mask_token.detach())


def image_tokens(
    encoder: PreTrainedModel, pixel_values: torch.Tensor, interpolate: bool, **kwargs: Any
) -> tuple[BaseModelOutput, torch.Tensor]:
    """(the encoder's output, its normalised tokens): class tokens first, then the patches row by row; no registers.

    Args:
        pixel_values: (images, 3, height, width).
        interpolate: whether the images have another size than those that the encoder's positions were made for.
        kwargs: passed on to the encoder.
    """
    if interpolate and "interpolate_pos_encoding" in inspect.signature(encoder.forward).parameters:
        kwargs["interpolate_pos_encoding"] = True
    outputs = encoder(pixel_values=pixel_values, **kwargs, return_dict=True)
    tokens = outputs.last_hidden_state
    if encoder.config.model_type == "clip_vision_model":
        # CLIP itself normalises only its class token; here all tokens may be pooled, so all are normalised.
        tokens = encoder.post_layernorm(tokens)
    registers = getattr(encoder.config, "num_register_tokens", 0)
    if registers:
        # They hold what the encoder wants to remember of no particular place, and are thrown away as it was trained.
        tokens = torch.cat([tokens[:, :1], tokens[:, 1 + registers :]], dim=1)
    return outputs, tokens


def longest_text(config: PreTrainedConfig) -> int:
    """How many tokens, special ones included, the positions of a text encoder reach."""
    if config.model_type in COUNTED_FROM_PADDING:
        return config.max_position_embeddings - config.pad_token_id - 1
    return config.max_position_embeddings


def vision_config_of(name_or_path: str) -> PreTrainedConfig:
    """The configuration of the image encoder ``name_or_path``; of a dual encoder that of its image encoder.

    Raises:
        OSError: there is nothing of this name.
        ValueError: UniPT has no such encoder.
    """
    return _config_of(name_or_path, "vision_config", "image encoder", VISION_ENCODERS)


def text_config_of(name_or_path: str) -> PreTrainedConfig:
    """The configuration of the text encoder ``name_or_path``; errors as for :func:`vision_config_of`."""
    return _config_of(name_or_path, "text_config", "text encoder", TEXT_ENCODERS)


def load_vision_encoder(name_or_path: str, pooling: str) -> tuple[PreTrainedModel, list[str]]:
    """(an encoder with the parts that ``pooling`` needs, names of its weights that were not in the files).

    Raises:
        OSError, ValueError: see :func:`vision_config_of`.
    """
    config = vision_config_of(name_or_path)
    fit_vision_config(config, pooling)
    # With mean pooling, as most BEiT models are saved, the norm of the tokens goes by the name of the pooler's.
    renamed = {r"^(beit\.)?pooler\.layernorm\.": "layernorm."} if config.model_type == "beit" else None
    model, info = _load(_class_of(config), name_or_path, config, key_mapping=renamed)
    leave_out_unused_parts(model)
    return model, _missing(model, info)


def load_text_encoder(name_or_path: str) -> tuple[PreTrainedModel, "MLMHeadParts | None", list[str]]:
    """(encoder, the parts of its MLM head or None, names of the encoder's weights that were not in the files).

    Raises:
        OSError, ValueError: see :func:`text_config_of`.
    """
    config = text_config_of(name_or_path)
    if config.model_type not in MLM_HEADS:
        model, info = _load(_class_of(config), name_or_path, config)
        leave_out_unused_parts(model)
        return model, None, _missing(model, info)
    model, info = AutoModelForMaskedLM.from_pretrained(name_or_path, output_loading_info=True)
    encoder = model.base_model
    inside = f"{model.base_model_prefix}."
    missing = [name.removeprefix(inside) for name in info["missing_keys"] if name.startswith(inside)]
    dense, norm, decoder = (model.get_submodule(path) for path in MLM_HEADS[config.model_type])
    # A checkpoint of the bare encoder has no head. The decoder's weight is the embeddings', so it is never missing.
    is_whole = not any(f"{MLM_HEADS[config.model_type][0]}." in name for name in info["missing_keys"])
    return encoder, (dense, norm, decoder) if is_whole else None, sorted(missing)


# The dense layer, the norm and the decoder of a head for masked language modelling.
MLMHeadParts = tuple[nn.Linear, nn.LayerNorm, nn.Linear]


def load_dual_encoder(name_or_path: str) -> PreTrainedModel:
    """A CLIP or SigLIP model (SigLIP 2 of fixed size too) in float32, of which UniPT takes both encoders.

    Raises:
        OSError: there is nothing of this name.
        ValueError: it is no dual encoder that UniPT can take, or its weights are incomplete.
    """
    config = AutoConfig.from_pretrained(name_or_path)
    if config.model_type not in DUAL_ENCODERS:
        raise ValueError(
            f"{name_or_path} holds a model of the kind '{config.model_type}', not a dual encoder that UniPT can take; "
            "it takes CLIP, SigLIP, and SigLIP 2 of fixed size, whose kind is 'siglip' too"
        )
    model, info = _load(DUAL_ENCODERS[config.model_type], name_or_path, config, dtype=torch.float32)
    if info["missing_keys"]:
        raise ValueError(
            f"the weights of {name_or_path} are incomplete; missing are {', '.join(sorted(info['missing_keys']))}"
        )
    return model


def _config_of(name_or_path: str, part: str, title: str, kinds: tuple[str, ...]) -> PreTrainedConfig:
    """The configuration of an encoder of one of the ``kinds``; of a dual encoder its ``part``."""
    config = AutoConfig.from_pretrained(name_or_path)
    config = getattr(config, part) if config.model_type in DUAL_ENCODERS else config
    if config.model_type not in kinds:
        raise ValueError(
            f"{name_or_path} holds a model of the kind '{config.model_type}', of which UniPT cannot take the {title}; "
            f"it takes {', '.join(kinds)}"
        )
    return config


def _class_of(config: PreTrainedConfig) -> type[PreTrainedModel]:
    # AutoModel knows SigLIP's text encoder only as a part of the whole.
    return SiglipTextModel if config.model_type == "siglip_text_model" else AutoModel._model_mapping[type(config)]


def _load(
    model_class: type[PreTrainedModel], name_or_path: str, config: PreTrainedConfig, **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    options |= _without_pooler(model_class)
    return model_class.from_pretrained(name_or_path, config=config, output_loading_info=True, **options)


def _without_pooler(model_class: type[PreTrainedModel]) -> dict[str, bool]:
    """The argument by which a class leaves out the pooler that UniPT does not use, if it has one."""
    takes_it = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if takes_it else {}


def _missing(encoder: PreTrainedModel, info: dict[str, Any]) -> list[str]:
    """Names of the encoder's weights that the files lack."""
    return sorted(set(info["missing_keys"]) & set(encoder.state_dict()))


__all__ = ["DUAL_ENCODERS", "TEXT_ENCODERS", "VISION_ENCODERS", "longest_text"]
