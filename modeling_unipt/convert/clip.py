"""CLIP, in transformers' own format or in OpenAI's names, and IRRA, which holds a CLIP, under UniPT's names."""

import re

import torch
from transformers import AutoConfig, CLIPTextConfig, CLIPVisionConfig
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling

# transformers 5.17 hides this name at its top level where torchvision is missing.
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from ..common.stand_ins import refuse_stand_ins_of_model
from ..common.user_errors import UserError, first_line
from ..configuration_unipt import UniPTConfig
from ..modeling_unipt import UniPTModel
from .layouts import HEAD_SIZE, Layout, Reader, Tensors, grid_of

TOKENIZER = "openai/clip-vit-base-patch16"
PROJECTIONS = {"visual_projection": "visual.proj", "text_projection": "text_projection"}
BLOCK_NAMES = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
LOGIT_SCALE_OF_CLIP = 4.6052  # log of 100, the cap that CLIP's training reaches
LOGIT_SCALE_OF_IRRA = 3.912023005428146  # log of 1 / 0.02
LEFT_OUT_OF_IRRA = (
    r"classifier\.",
    r"cross_attn\.",
    r"cross_modal_transformer\.",
    r"ln_(pre_t|pre_i|post)\.",
    r"mlm_head\.",
)


def clip_layout(state: Tensors, pooling: str = "class") -> Layout:
    """CLIP in OpenAI's names: ``visual.*``, ``transformer.*``, ``token_embedding.weight`` and so on.

    Assumptions: heads of 64 numbers, quick GELU, LayerNorm's epsilon 1e-5, square images.

    Args:
        pooling: of `UniPTConfig`.

    Raises:
        UserError: a tensor is missing.
    """
    return _openai_clip(Reader(state), "", pooling, "a CLIP checkpoint in OpenAI's names")


def irra_layout(state: Tensors, pooling: str = "class") -> Layout:
    """An IRRA checkpoint (anosorae/IRRA): what its Checkpointer saves as ``model``.

    ``base_model.*`` is a CLIP whose positions are cut to the grid of the images, 24 x 8 for 384 x 128.

    Assumptions besides those of :func:`clip_layout`: patches that do not overlap, images three times as high as wide,
    resized bilinearly, temperature 0.02. Left out: the classifier and the cross-modal encoder, which are for training.

    Args:
        pooling: of `UniPTConfig`.

    Raises:
        UserError: a tensor is missing.
    """
    layout = _openai_clip(Reader(state), "base_model.", pooling, "an IRRA checkpoint", LEFT_OUT_OF_IRRA)
    layout.weights["logit_scale"] = torch.tensor(LOGIT_SCALE_OF_IRRA)
    layout.preprocessing["resample"] = int(PILImageResampling.BILINEAR)
    return layout


def clip_of_transformers(name: str, pooling: str = "class") -> Layout:
    """A CLIP model in transformers' own format.

    Args:
        name: folder or Hub id.
        pooling: of `UniPTConfig`.

    Raises:
        UserError: there is no CLIP model of this name, or its weights are incomplete.
    """
    try:
        config = AutoConfig.from_pretrained(name)
    except Exception as error:
        raise _cannot_be_loaded(name, error) from None
    if config.model_type != "clip":
        raise UserError(f"{name} holds a {config.model_type} model, not CLIP")
    try:
        model = UniPTModel.from_dual_encoder_pretrained(name, pooling=pooling)
        images = AutoImageProcessor.from_pretrained(name)
    except ValueError as error:
        raise UserError(first_line(error)) from None
    except Exception as error:
        raise _cannot_be_loaded(name, error) from None
    side = config.vision_config.image_size
    preprocessing = {
        "size": {"height": side, "width": side},
        "resample": int(images.resample),
        "image_mean": list(images.image_mean),
        "image_std": list(images.image_std),
    }
    return Layout(model.config, model.state_dict(), preprocessing=preprocessing, tokenizer=str(name))


def _cannot_be_loaded(name: str, error: Exception) -> UserError:
    # transformers, safetensors and huggingface_hub raise errors of many kinds.
    refuse_stand_ins_of_model(name)
    return UserError(f"CLIP model {name} cannot be loaded, as a folder or from the Hub: {first_line(error)}")


def _no_bias(length: int) -> torch.Tensor:
    """CLIP's projections have no bias, and UniPT's have one."""
    return torch.zeros(length)


def _openai_clip(reader: Reader, prefix: str, pooling: str, what: str, left_out: tuple[str, ...] = ()) -> Layout:
    """The CLIP whose names in OpenAI's format stand behind ``prefix``.

    Args:
        what: what the checkpoint should be, for the message of an error.
        left_out: patterns of names that are known and not needed.
    """
    class_token = reader.take(f"{prefix}visual.class_embedding")
    patches = reader.take(f"{prefix}visual.conv1.weight")
    positions = reader.take(f"{prefix}visual.positional_embedding")
    words = reader.take(f"{prefix}token_embedding.weight")
    places = reader.take(f"{prefix}positional_embedding")
    weights = {
        "vision_model.embeddings.class_embedding": class_token,
        "vision_model.embeddings.patch_embedding.weight": patches,
        "text_model.embeddings.token_embedding.weight": words,
        "text_model.embeddings.position_embedding.weight": places,
    }
    # "layrnorm" is how transformers spells it.
    weights |= reader.take_pair(f"{prefix}visual.ln_pre", "vision_model.pre_layrnorm")
    weights |= reader.take_pair(f"{prefix}visual.ln_post", "vision_model.post_layernorm")
    weights |= reader.take_pair(f"{prefix}ln_final", "text_model.final_layer_norm")
    layers = {}
    for source, target in ((f"{prefix}visual.", "vision_model"), (prefix, "text_model")):
        blocks = f"{source}transformer.resblocks"
        layers[target] = reader.count_layers(blocks)
        for number in range(layers[target]):
            weights |= _openai_block(reader, f"{blocks}.{number}", f"{target}.encoder.layers.{number}")
    scale = torch.tensor(LOGIT_SCALE_OF_CLIP)
    if f"{prefix}logit_scale" in reader.state:
        scale = reader.take(f"{prefix}logit_scale")
    weights["logit_scale"] = scale.reshape(())
    for ours, theirs in PROJECTIONS.items():
        tensor = reader.take(f"{prefix}{theirs}")
        # OpenAI multiplies from the left, torch's Linear from the right. A missing tensor has no two dimensions.
        weights[f"{ours}.weight"] = tensor.mT.contiguous() if tensor.ndim == 2 else tensor
        weights[f"{ours}.bias"] = _no_bias(len(weights[f"{ours}.weight"]))
    reader.check(what)
    rows, columns = grid_of(len(positions) - 1)
    weights["vision_model.embeddings.position_embedding.weight"] = _square_positions(positions, rows, columns)
    patch = patches.shape[-1]
    dimension = len(weights["visual_projection.bias"])
    config = UniPTConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=patches.shape[0],
            num_attention_heads=patches.shape[0] // HEAD_SIZE,
            intermediate_size=len(weights["vision_model.encoder.layers.0.mlp.fc1.bias"]),
            num_hidden_layers=layers["vision_model"],
            image_size=rows * patch,
            patch_size=patch,
            projection_dim=dimension,
        ),
        text_config=CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=words.shape[1],
            num_attention_heads=words.shape[1] // HEAD_SIZE,
            intermediate_size=len(weights["text_model.encoder.layers.0.mlp.fc1.bias"]),
            num_hidden_layers=layers["text_model"],
            max_position_embeddings=len(places),
            projection_dim=dimension,
            # CLIP's vocabulary ends with the tokens of start and end, and pads with the latter.
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
            pad_token_id=len(words) - 1,
        ),
        projection_dim=dimension,
        pooling=pooling,
        logit_scale_init_value=float(weights["logit_scale"]),
    )
    # Some checkpoints store these three numbers of the model beside its tensors.
    numbers = rf"{re.escape(prefix)}(input_resolution|context_length|vocab_size)$"
    known, unknown = reader.rest((*left_out, numbers))
    preprocessing = {
        "size": {"height": rows * patch, "width": columns * patch},
        "image_mean": OPENAI_CLIP_MEAN,
        "image_std": OPENAI_CLIP_STD,
    }
    return Layout(config, weights, known, unknown, preprocessing, TOKENIZER)


def _openai_block(reader: Reader, source: str, target: str) -> Tensors:
    weights = {}
    for kind in ("weight", "bias"):
        weights |= reader.take_qkv(f"{source}.attn.in_proj_{kind}", f"{target}.self_attn", kind)
    return weights | reader.take_pairs(source, target, BLOCK_NAMES)


def _square_positions(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Positions for a square grid, from which interpolation to ``rows`` x ``columns`` gives the same ones again.

    Each column is repeated three times, and interpolation hits the middle one exactly.

    Args:
        positions: (1 + rows * columns, dim), the class token's first.
    """
    if rows == columns:
        return positions
    grid = positions[1:].reshape(rows, columns, -1).repeat_interleave(rows // columns, dim=1)
    return torch.cat([positions[:1], grid.flatten(0, 1)])
