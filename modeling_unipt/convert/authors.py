"""The tensors of the checkpoint of UniPT's authors under UniPT's names."""

import re

import torch
from transformers import BertConfig, ViTConfig

from ..configuration_unipt import UniPTConfig
from .layouts import HEAD_SIZE, Layout, Reader, Tensors, grid_of

VISION = "vision_model"
TEXT = "text_model"
VISION_BLOCKS = "transformer.blocks"
TEXT_BLOCKS = "text_model.encoder.layer"
BLOCK_NAMES = {
    "attn.proj": "attention.o_proj",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
PROJECTIONS = {"visual_projection": "img_proj", "text_projection": "txt_proj"}
# The text encoder is a BertModel of transformers, so these names stay as they are.
TEXT_NAMES = re.compile(r"text_model\.(embeddings\.(\w+_embeddings|LayerNorm)|encoder\.layer\.\d+)\.")
LEFT_OUT = (
    r"clip\.",
    r"token_type_embeddings\.weight$",
    r"pooler\.dense\.",
    r"text_model\.pooler\.",
    r"text_model\.embeddings\.(position|token_type)_ids$",
    r"transformer\.(mask_token|decoder|fc_mask|norm_mask|fc_visual|norm_visual)",
    r"mlm_score\.decoder\.bias$",
)


def authors_layout(state: Tensors, pooling: str = "max") -> Layout:
    """The authors' pre-training checkpoint (ZhiyinShao-H/UniPT), ``state_dict`` of a Lightning checkpoint.

    ``transformer.*`` is a timm ViT, ``text_model.*`` a `BertModel`, and ``img_proj``, ``txt_proj`` and ``mlm_score``
    are the heads.

    Assumptions: heads of 64 numbers, LayerNorm's epsilon 1e-6 in the ViT and 1e-12 in BERT, a square grid of positions,
    images of 384 x 128 scaled to -1 .. 1, a fixed logit scale of 1, BERT's uncased tokenizer on texts as they come.
    Left out: the CAE branch (``clip``, regressor and decoder), the token types of a fusion that was never used, and the
    pooler.

    Args:
        pooling: of `UniPTConfig`.

    Raises:
        UserError: a tensor is missing.
    """
    reader = Reader(state)
    vision_layers = reader.count_layers(VISION_BLOCKS)
    text_layers = reader.count_layers(TEXT_BLOCKS)
    weights = _vision_weights(reader, vision_layers)
    for name in reader.state:
        if TEXT_NAMES.match(name):
            weights[name] = reader.take(name)
    words = reader.take(f"{TEXT}.embeddings.word_embeddings.weight")
    for ours, theirs in PROJECTIONS.items():
        weights |= reader.take_pair(theirs, ours)
        if weights[f"{ours}.weight"].ndim > 2:
            # A convolution of size 1 does what a linear layer does.
            weights[f"{ours}.weight"] = weights[f"{ours}.weight"].flatten(1)
    weights["logit_scale"] = torch.tensor(0.0)
    tied = True
    if "mlm_score.transform.dense.weight" in reader.state:
        # A model with this head is a UniPTForPreTraining, which holds the encoders as its part "unipt".
        weights = {f"unipt.{name}": tensor for name, tensor in weights.items()}
        weights |= reader.take_pair("mlm_score.transform.dense", "mlm_head.dense")
        weights |= reader.take_pair("mlm_score.transform.LayerNorm", "mlm_head.layer_norm")
        weights["mlm_head.decoder.weight"] = reader.take("mlm_score.decoder.weight")
        weights["mlm_head.decoder.bias"] = reader.take("mlm_score.bias")
        tied = torch.equal(weights["mlm_head.decoder.weight"], words)
    reader.check("a pre-training checkpoint of UniPT's authors")
    kept = reader.state
    patches = kept["transformer.patch_embed.proj.weight"]
    width = patches.shape[0]
    patch = patches.shape[-1]
    grid = grid_of(kept["transformer.pos_embed"].shape[1] - 1)
    config = UniPTConfig(
        vision_config=ViTConfig(
            hidden_size=width,
            num_hidden_layers=vision_layers,
            num_attention_heads=width // HEAD_SIZE,
            intermediate_size=len(kept[f"{VISION_BLOCKS}.0.mlp.fc1.bias"]),
            image_size=[side * patch for side in grid],
            patch_size=patch,
            layer_norm_eps=1e-6,
        ),
        text_config=BertConfig(
            vocab_size=len(words),
            hidden_size=words.shape[1],
            num_hidden_layers=text_layers,
            num_attention_heads=words.shape[1] // HEAD_SIZE,
            intermediate_size=len(kept[f"{TEXT_BLOCKS}.0.intermediate.dense.bias"]),
            max_position_embeddings=len(kept[f"{TEXT}.embeddings.position_embeddings.weight"]),
            type_vocab_size=len(kept[f"{TEXT}.embeddings.token_type_embeddings.weight"]),
        ),
        projection_dim=len(kept["img_proj.bias"]),
        pooling=pooling,
        logit_scale_init_value=0.0,
        learnable_logit_scale=False,
        tie_word_embeddings=tied,
    )
    left_out, unknown = reader.rest(LEFT_OUT)
    preprocessing = {"size": {"height": 384, "width": 128}}
    tokenizer = "google-bert/bert-base-uncased"
    return Layout(config, weights, left_out, unknown, preprocessing, tokenizer, caption_form="as-is")


def _vision_weights(reader: Reader, layers: int) -> Tensors:
    weights = {
        f"{VISION}.embeddings.cls_token": reader.take("transformer.cls_token"),
        f"{VISION}.embeddings.position_embeddings": reader.take("transformer.pos_embed"),
    }
    weights |= reader.take_pair("transformer.patch_embed.proj", f"{VISION}.embeddings.patch_embeddings.projection")
    weights |= reader.take_pair("transformer.norm", f"{VISION}.layernorm")
    for number in range(layers):
        source = f"{VISION_BLOCKS}.{number}"
        target = f"{VISION}.layers.{number}"
        for kind in ("weight", "bias"):
            weights |= reader.take_qkv(f"{source}.attn.qkv.{kind}", f"{target}.attention", kind)
        weights |= reader.take_pairs(source, target, BLOCK_NAMES)
    return weights
