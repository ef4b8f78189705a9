"""The tensors of other projects' checkpoints under UniPT's names: here the authors' own, in clip_layouts.py CLIP's.

No such checkpoint was at hand; the layouts are those of the published code. What the tensors do not say is assumed, and
each function tells what.
"""

import re
from dataclasses import dataclass, field

import torch

from ..common.user_errors import UserError

HEAD_SIZE = 64
NAMES_SHOWN = 8


@dataclass
class Layout:
    """A checkpoint read as UniPT.

    Attributes:
        config: `UniPTConfig`.
        weights: names of a `UniPTModel`, or of a `UniPTForPreTraining` when one is "mlm_head.dense.weight".
        left_out: names in the checkpoint that UniPT has no use for, by design.
        unknown: names in the checkpoint that its layout does not have.
        preprocessing: arguments of `UniPTImageProcessor`.
        tokenizer: Hub name of the tokenizer that the text encoder was trained with.
    """

    config: object
    weights: dict
    left_out: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    preprocessing: dict = field(default_factory=dict)
    tokenizer: str = ""


class Reader:
    """Takes tensors out of a state dict by name and keeps account of what was taken and what is missing."""

    def __init__(self, state):
        self.state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        self.taken, self.missing = set(), []

    def take(self, name):
        self.taken.add(name)
        if name in self.state:
            return self.state[name].float()
        self.missing.append(name)
        return torch.zeros(0)

    def take_pair(self, source, target):
        return {f"{target}.{kind}": self.take(f"{source}.{kind}") for kind in ("weight", "bias")}

    def layers(self, pattern):
        """How many layers the names that match ``pattern``, with the layer's number as its group, tell of."""
        return 1 + max((int(match[1]) for name in self.state if (match := re.match(pattern, name))), default=-1)

    def rest(self, known):
        """(names that match a pattern of ``known``, all the others) of what was not taken."""
        rest = [name for name in self.state if name not in self.taken]
        left_out = [name for name in rest if any(re.match(pattern, name) for pattern in known)]
        return left_out, [name for name in rest if name not in set(left_out)]

    def check(self, what):
        if self.missing:
            raise UserError(
                f"this is not {what}, or not all of it: {len(self.missing)} tensors are missing: "
                f"{shown(self.missing)}; it holds {shown(self.state)}"
            )


def shown(names):
    """Some names as text, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(names[:NAMES_SHOWN]) or "nothing") + more


def authors_layout(state):
    """The authors' pre-training checkpoint (ZhiyinShao-H/UniPT), ``state_dict`` of a Lightning checkpoint.

    ``transformer.*`` is a timm ViT, ``text_model.*`` a `BertModel`, ``img_proj``, ``txt_proj`` and ``mlm_score`` the
    heads. Assumed: heads of 64 numbers, LayerNorm's epsilon 1e-6 in the ViT and 1e-12 in BERT, a square grid of
    positions, pictures of 384 x 128 scaled to -1 .. 1, a fixed logit scale of 1, BERT's uncased tokenizer. Left out:
    the CAE branch (``clip``, regressor and decoder), token types of the fusion that was never used, and the pooler.
    """
    from transformers import BertConfig, ViTConfig

    from ..configuration_unipt import UniPTConfig

    reader, weights = Reader(state), {}
    vision, text = "vision_model", "text_model"
    weights[f"{vision}.embeddings.cls_token"] = reader.take("transformer.cls_token")
    positions = reader.take("transformer.pos_embed")
    weights[f"{vision}.embeddings.position_embeddings"] = positions
    patches = reader.take_pair("transformer.patch_embed.proj", f"{vision}.embeddings.patch_embeddings.projection")
    weights |= patches | reader.take_pair("transformer.norm", f"{vision}.layernorm")
    vision_layers = reader.layers(r"transformer\.blocks\.(\d+)\.")
    for number in range(vision_layers):
        source, target = f"transformer.blocks.{number}", f"{vision}.layers.{number}"
        for kind in ("weight", "bias"):
            parts = reader.take(f"{source}.attn.qkv.{kind}").chunk(3)
            for part, tensor in zip("qkv", parts, strict=False):
                weights[f"{target}.attention.{part}_proj.{kind}"] = tensor
        for theirs, ours in (
            ("attn.proj", "attention.o_proj"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ):
            weights |= reader.take_pair(f"{source}.{theirs}", f"{target}.{ours}")
    bert = re.compile(r"text_model\.(embeddings\.(\w+_embeddings|LayerNorm)|encoder\.layer\.\d+)\.")
    weights |= {name: reader.take(name) for name in list(reader.state) if bert.match(name)}
    words = reader.take(f"{text}.embeddings.word_embeddings.weight")
    for ours, theirs in (("visual_projection", "img_proj"), ("text_projection", "txt_proj")):
        weights |= reader.take_pair(theirs, ours)
        if weights[f"{ours}.weight"].ndim > 2:  # a convolution of size 1
            weights[f"{ours}.weight"] = weights[f"{ours}.weight"].flatten(1)
    tied = True
    if "mlm_score.transform.dense.weight" in reader.state:
        weights = {f"unipt.{name}": tensor for name, tensor in weights.items()}
        weights |= reader.take_pair("mlm_score.transform.dense", "mlm_head.dense")
        weights |= reader.take_pair("mlm_score.transform.LayerNorm", "mlm_head.layer_norm")
        weights["mlm_head.decoder.weight"] = reader.take("mlm_score.decoder.weight")
        weights["mlm_head.decoder.bias"] = reader.take("mlm_score.bias")
        tied = torch.equal(weights["mlm_head.decoder.weight"], words)
    if not vision_layers:
        reader.missing.append("transformer.blocks.0.*")
    text_layers = reader.layers(r"text_model\.encoder\.layer\.(\d+)\.")
    if not text_layers:
        reader.missing.append("text_model.encoder.layer.0.*")
    reader.check("a pre-training checkpoint of UniPT's authors")
    width, patch = patches[f"{vision}.embeddings.patch_embeddings.projection.weight"].shape[::3]
    kept = reader.state
    config = UniPTConfig(
        vision_config=ViTConfig(
            hidden_size=width,
            num_hidden_layers=vision_layers,
            num_attention_heads=width // HEAD_SIZE,
            intermediate_size=len(kept["transformer.blocks.0.mlp.fc1.bias"]),
            image_size=[side * patch for side in grid_of(positions.shape[1] - 1)],
            patch_size=patch,
            layer_norm_eps=1e-6,
        ),
        text_config=BertConfig(
            vocab_size=len(words),
            hidden_size=words.shape[1],
            num_hidden_layers=text_layers,
            num_attention_heads=words.shape[1] // HEAD_SIZE,
            intermediate_size=len(kept["text_model.encoder.layer.0.intermediate.dense.bias"]),
            max_position_embeddings=len(kept["text_model.embeddings.position_embeddings.weight"]),
            type_vocab_size=len(kept["text_model.embeddings.token_type_embeddings.weight"]),
        ),
        projection_dim=len(kept["img_proj.bias"]),
        logit_scale_init_value=0.0,
        learnable_logit_scale=False,
        tie_word_embeddings=tied,
    )
    weights["unipt.logit_scale" if "mlm_head.dense.weight" in weights else "logit_scale"] = torch.tensor(0.0)
    left_out, unknown = reader.rest(
        (
            r"clip\.",
            r"token_type_embeddings\.weight$",
            r"pooler\.dense\.",
            r"text_model\.pooler\.",
            r"text_model\.embeddings\.(position|token_type)_ids$",
            r"transformer\.(mask_token|decoder|fc_mask|norm_mask|fc_visual|norm_visual)",
            r"mlm_score\.decoder\.bias$",
        )
    )
    preprocessing = {"size": {"height": 384, "width": 128}}
    return Layout(config, weights, left_out, unknown, preprocessing, "google-bert/bert-base-uncased")


def grid_of(patches):
    """(rows, columns) of a number of patches: a square, or three times as high as wide."""
    for ratio in (1, 3):
        columns = round((patches / ratio) ** 0.5)
        if ratio * columns * columns == patches and columns:
            return ratio * columns, columns
    raise UserError(
        f"the checkpoint has positions for {patches} patches, neither a square nor three times as high as wide; it may "
        "use overlapping patches, which are not supported"
    )
