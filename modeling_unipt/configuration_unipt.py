"""Configuration of UniPT, a dual encoder for text-to-image person retrieval."""

import json
import math
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

VISION_POOLINGS = ("max", "mean", "first", "attention")
TEXT_POOLINGS = ("max", "mean", "first", "last", "padded_last")
# Text encoders that read from left to right, each token only what stands before it.
DECODERS = ("llama", "mistral", "qwen2", "qwen3")
# One name for the pooling of both encoders, as folders of version 0.2 and before have it.
POOLINGS = {"max": ("max", "max"), "mean": ("mean", "mean"), "class": ("first", "last")}
# What sentence-transformers reads beside the model: each kind of input goes through one method, and what comes out is
# brought to length 1, as `modeling_unipt.embedding` does.
SENTENCE_TRANSFORMERS_FILES = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Normalize",
            "type": "sentence_transformers.sentence_transformer.modules.Normalize",
        },
    ],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "get_text_features", "method_output_name": "pooler_output"},
            "image": {"method": "get_image_features", "method_output_name": "pooler_output"},
        },
        "module_output_name": "sentence_embedding",
    },
    "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"},
}
PROTOTYPE_SIZES = ("prototype_dim", "prototype_layers", "prototype_heads", "prototype_head_dim", "prototype_mlp_dim")


class UniPTConfig(PreTrainedConfig):
    """Two encoders, the projections of their tokens, and how embeddings are compared.

    The defaults are ViT-B/16 at 384 and BERT-base with a learnable temperature. The paper (arXiv 2309.01420, equation
    1) uses raw cosine similarity: ``logit_scale_init_value=0.0, learnable_logit_scale=False``.

    Args:
        text_config (`PreTrainedConfig` or `dict`): a text encoder, one of `TEXT_ENCODERS` in encoders_unipt.py.
        vision_config (`PreTrainedConfig` or `dict`): an image encoder, one of `VISION_ENCODERS` there. ``image_size``
            stays the encoder's native one; images of other sizes get interpolated position embeddings.
        projection_dim (`int`): length of a projected token, and of an embedding where there are no prototypes.
        vision_pooling (`str`): how the projected tokens of an image become one embedding: their ``"max"`` (the paper's)
            or ``"mean"``, the ``"first"`` one, which is the class token where there is one, or ``"attention"``: what
            SigLIP's own head gathers from all tokens.
        text_pooling (`str`, *optional*): the same for a text, padding left out: ``"max"``, ``"mean"``, the ``"first"``
            token, the ``"last"`` one, or ``"padded_last"``, SigLIP's way: the text is filled up with padding, and what
            stands in the last place is taken. The default is ``"last"`` for a decoder, whose last token is the only one
            that has read the whole text, and else ``"max"``.
        pooling (`str`, *optional*): sets both, as configurations before version 0.3 do: ``"max"``, ``"mean"``, or
            ``"class"``, which is the first token of an image and the last one of a text.
        logit_scale_init_value (`float`): natural logarithm of the factor on cosine similarities.
        learnable_logit_scale (`bool`): whether training changes that factor, which begins and stays at 100 or less.
        logit_bias_init_value (`float`, *optional*): what is added to scaled cosines at first. With it the model has
            SigLIP's sigmoid loss, without it the softmax loss, which has no use for a bias.
        num_prototypes (`int`): number of learnable prototypes that gather projected tokens into the embedding, see
            `UniPTGranularityUnification`; 0 for none, 6 in the paper's fine-tuning. Without prototypes the next five
            fields have no effect. Their defaults are LGUR's (ACM MM 2022).
        prototype_dim (`int`): length of one prototype's part of the embedding.
        prototype_layers (`int`): layers of cross-attention from prototypes to tokens.
        prototype_heads, prototype_head_dim (`int`): heads of that attention, and length of a query, key and value.
        prototype_mlp_dim (`int`): width of its feed-forward layers.
        mlm_loss_weight (`float`): beta of equation 3, the weight of the masked language modelling loss.
        tie_word_embeddings (`bool`): whether the MLM decoder shares the text encoder's word embeddings.

    Raises:
        ValueError: an unknown pooling, or one that the encoder has not; a size of the prototypes that is too small; or
            a sub-configuration without ``model_type``.
    """

    model_type = "unipt"
    sub_configs = {"text_config": AutoConfig, "vision_config": AutoConfig}

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    projection_dim: int = 512
    vision_pooling: str = "max"
    text_pooling: str | None = None
    num_prototypes: int = 0
    prototype_dim: int = 512
    prototype_layers: int = 2
    prototype_heads: int = 6
    prototype_head_dim: int = 512
    prototype_mlp_dim: int = 512
    logit_scale_init_value: float = math.log(1 / 0.07)
    learnable_logit_scale: bool = True
    logit_bias_init_value: float | None = None
    mlm_loss_weight: float = 1.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.text_config = _as_config(self.text_config, {"model_type": "bert"})
        self.vision_config = _as_config(self.vision_config, {"model_type": "vit", "image_size": 384})
        both = kwargs.pop("pooling", None)
        if both is not None:
            _check_choice("pooling", both, POOLINGS)
            self.vision_pooling, self.text_pooling = POOLINGS[both]
        if self.text_pooling is None:
            self.text_pooling = "last" if self.text_config.model_type in DECODERS else "max"
        _check_choice("vision_pooling", self.vision_pooling, VISION_POOLINGS)
        _check_choice("text_pooling", self.text_pooling, TEXT_POOLINGS)
        for encoder, pooling, needed in (
            (self.vision_config, self.vision_pooling, "attention"),
            (self.text_config, self.text_pooling, "padded_last"),
        ):
            if pooling == needed and not encoder.model_type.startswith("siglip"):
                raise ValueError(f"the pooling {needed!r} needs an encoder of SigLIP, not of {encoder.model_type}")
        fit_vision_config(self.vision_config, self.vision_pooling)
        if self.num_prototypes < 0:
            raise ValueError(f"num_prototypes is {self.num_prototypes}; it must not be negative")
        for name in PROTOTYPE_SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        super().__post_init__(**kwargs)

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding, ``pooler_output`` of `get_text_features` and `get_image_features`."""
        return self.num_prototypes * self.prototype_dim or self.projection_dim

    def save_pretrained(self, save_directory: str | PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write ``config.json``, as the model's own `save_pretrained` has it done, and `SENTENCE_TRANSFORMERS_FILES`.

        Files of these names that are there stay: sentence-transformers writes its own before it saves the model.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in SENTENCE_TRANSFORMERS_FILES.items():
            path = folder / name
            if not path.exists():
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values, with the ``auto_map`` that lets a saved folder load without this package."""
        # transformers loads each file that auto_map names as a module of its own. All entries must name the same file,
        # or the configuration's class would differ from the model's `config_class`.
        auto_map = {
            "AutoConfig": "modeling_unipt.UniPTConfig",
            "AutoModel": "modeling_unipt.UniPTModel",
            "AutoModelForPreTraining": "modeling_unipt.UniPTForPreTraining",
            "AutoModelForZeroShotImageClassification": "modeling_unipt.UniPTModel",
        }
        return super().to_dict() | {"auto_map": auto_map}


def fit_vision_config(config: PreTrainedConfig, pooling: str) -> None:
    """Have the configuration of an image encoder name, in place, just the parts that a ``pooling`` needs."""
    if config.model_type == "siglip_vision_model":
        config.vision_use_head = pooling == "attention"
    if config.model_type == "beit":
        # With mean pooling BEiT would leave its tokens unnormalised, and normalise their mean in its pooler.
        config.use_mean_pooling = False


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")


def _as_config(config: PreTrainedConfig | dict[str, Any] | None, default: dict[str, Any]) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    config = dict(default if config is None else config)
    if "model_type" not in config:
        raise ValueError("a UniPT sub-configuration given as a dict needs its 'model_type', such as 'vit' or 'bert'")
    return AutoConfig.for_model(**config)


__all__ = ["UniPTConfig"]
