"""The tensors of CLIP in OpenAI's names, and of IRRA, which is a CLIP inside, under UniPT's names."""

import re

import torch

from .layouts import HEAD_SIZE, Layout, Reader, grid_of

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
LOGIT_SCALE_OF_IRRA = 3.912023005428146  # log of 1 / 0.02


def clip_layout(state, pooling="class"):
    """CLIP in OpenAI's names: ``visual.*``, ``transformer.*``, ``token_embedding.weight`` and so on.

    Assumed: heads of 64 numbers, quick GELU, LayerNorm's epsilon 1e-5, square pictures.
    """
    reader = Reader(state)
    return _openai_clip(reader, "", pooling, "a CLIP checkpoint in OpenAI's names", ())


def irra_layout(state, pooling="class"):
    """An IRRA checkpoint (anosorae/IRRA), ``model`` of what its Checkpointer saves: ``base_model.*`` is CLIP, its
    positions cut to the grid of the pictures, 24 x 8 for 384 x 128.

    Assumed besides what :func:`clip_layout` assumes: patches that do not overlap, pictures three times as high as
    wide, resized bilinearly, temperature 0.02. Left out: the classifier and the cross-modal encoder of training.
    """
    reader = Reader(state)
    known = (r"classifier\.", r"cross_attn\.", r"cross_modal_transformer\.", r"ln_(pre_t|pre_i|post)\.", r"mlm_head\.")
    layout = _openai_clip(reader, "base_model.", pooling, "an IRRA checkpoint", known)
    layout.weights["logit_scale"] = torch.tensor(LOGIT_SCALE_OF_IRRA)
    layout.preprocessing["resample"] = 2  # PIL.Image.Resampling.BILINEAR
    return layout


def _openai_clip(reader, prefix, pooling, what, known):
    from transformers import CLIPTextConfig, CLIPVisionConfig

    from ..configuration_unipt import UniPTConfig

    vision, text, weights = f"{prefix}visual.", prefix, {}
    weights["vision_model.embeddings.class_embedding"] = reader.take(f"{vision}class_embedding")
    weights["vision_model.embeddings.patch_embedding.weight"] = patches = reader.take(f"{vision}conv1.weight")
    positions = reader.take(f"{vision}positional_embedding")
    weights |= reader.take_pair(f"{vision}ln_pre", "vision_model.pre_layrnorm")
    weights |= reader.take_pair(f"{vision}ln_post", "vision_model.post_layernorm")
    weights["text_model.embeddings.token_embedding.weight"] = words = reader.take(f"{text}token_embedding.weight")
    weights["text_model.embeddings.position_embedding.weight"] = places = reader.take(f"{text}positional_embedding")
    weights |= reader.take_pair(f"{text}ln_final", "text_model.final_layer_norm")
    layers = {}
    for source, target in ((vision, "vision_model"), (text, "text_model")):
        blocks = f"{source}transformer.resblocks"
        layers[target] = reader.layers(re.escape(blocks) + r"\.(\d+)\.")
        if not layers[target]:
            reader.missing.append(f"{blocks}.0.*")
        for number in range(layers[target]):
            weights |= _openai_block(reader, f"{blocks}.{number}", f"{target}.encoder.layers.{number}")
    scale = reader.take(f"{prefix}logit_scale") if f"{prefix}logit_scale" in reader.state else torch.tensor(4.6052)
    weights["logit_scale"] = scale.reshape(())
    for ours, theirs in (("visual_projection", f"{vision}proj"), ("text_projection", f"{text}text_projection")):
        tensor = reader.take(theirs)
        weights[f"{ours}.weight"] = tensor.mT.contiguous() if tensor.ndim == 2 else tensor
        weights[f"{ours}.bias"] = torch.zeros(len(weights[f"{ours}.weight"]))  # CLIP's projections have none
    reader.check(what)
    rows, columns = grid_of(len(positions) - 1)
    width, patch = patches.shape[0], patches.shape[-1]
    weights["vision_model.embeddings.position_embedding.weight"] = _square_positions(positions, rows, columns)
    kept = {name.removeprefix("vision_model.").removeprefix("text_model."): tensor for name, tensor in weights.items()}
    blocks = {
        "num_attention_heads": width // HEAD_SIZE,
        "intermediate_size": len(weights["vision_model.encoder.layers.0.mlp.fc1.bias"]),
        "num_hidden_layers": layers["vision_model"],
    }
    text_blocks = {
        "num_attention_heads": words.shape[1] // HEAD_SIZE,
        "intermediate_size": len(weights["text_model.encoder.layers.0.mlp.fc1.bias"]),
        "num_hidden_layers": layers["text_model"],
    }
    dimension = len(kept["visual_projection.bias"])
    special = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = UniPTConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=width, image_size=rows * patch, patch_size=patch, projection_dim=dimension, **blocks
        ),
        text_config=CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=words.shape[1],
            max_position_embeddings=len(places),
            projection_dim=dimension,
            **text_blocks,
            **special,
        ),
        projection_dim=dimension,
        pooling=pooling,
        logit_scale_init_value=float(weights["logit_scale"]),
    )
    left_out, unknown = reader.rest((*known, rf"{re.escape(prefix)}(input_resolution|context_length|vocab_size)$"))
    preprocessing = {
        "size": {"height": rows * patch, "width": columns * patch},
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    }
    return Layout(config, weights, left_out, unknown, preprocessing, "openai/clip-vit-base-patch16")


def _openai_block(reader, source, target):
    weights = {}
    for kind in ("weight", "bias"):
        parts = reader.take(f"{source}.attn.in_proj_{kind}").chunk(3)
        for part, tensor in zip("qkv", parts, strict=False):
            weights[f"{target}.self_attn.{part}_proj.{kind}"] = tensor
    for theirs, ours in (
        ("attn.out_proj", "self_attn.out_proj"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
    ):
        weights |= reader.take_pair(f"{source}.{theirs}", f"{target}.{ours}")
    return weights


def _square_positions(positions, rows, columns):
    """Positions (1 + rows * columns, dim) for a square grid, from which interpolation to ``rows`` x ``columns`` gives
    the same again: each column repeated three times, of which the interpolation hits the middle one exactly."""
    if rows == columns:
        return positions
    grid = positions[1:].reshape(rows, columns, -1).repeat_interleave(rows // columns, dim=1)
    return torch.cat([positions[:1], grid.flatten(0, 1)])
