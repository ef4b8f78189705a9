"""Configuration of UniPT, a dual encoder for text-to-image person retrieval."""

import math
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

POOLINGS = ("max", "mean", "class")
PROTOTYPE_SIZES = ("prototype_dim", "prototype_layers", "prototype_heads", "prototype_head_dim", "prototype_mlp_dim")


class UniPTConfig(PreTrainedConfig):
    """Two encoders, the projections of their tokens, and how embeddings are compared.

    The defaults are ViT-B/16 at 384 and BERT-base with a learnable temperature. The paper (arXiv 2309.01420, equation
    1) uses raw cosine similarity: ``logit_scale_init_value=0.0, learnable_logit_scale=False``.

    Args:
        text_config (`PreTrainedConfig` or `dict`): any BERT-like text encoder.
        vision_config (`PreTrainedConfig` or `dict`): a ViT, DeiT or CLIP vision encoder. ``image_size`` stays the
            encoder's native one; images of other sizes get interpolated position embeddings.
        projection_dim (`int`): length of a projected token, and of an embedding where there are no prototypes.
        pooling (`str`): how projected tokens become one embedding. ``"max"`` (the paper's) or ``"mean"`` over all
            tokens but padding, or ``"class"``, CLIP's way: the first token of an image and the last one of a text.
        logit_scale_init_value (`float`): natural logarithm of the factor on cosine similarities.
        learnable_logit_scale (`bool`): whether training changes that factor; it is capped at 100 either way.
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
        ValueError: unknown ``pooling``, a size of the prototypes that is too small, or a sub-configuration without
            ``model_type``.
    """

    model_type = "unipt"
    sub_configs = {"text_config": AutoConfig, "vision_config": AutoConfig}

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    projection_dim: int = 512
    pooling: str = "max"
    num_prototypes: int = 0
    prototype_dim: int = 512
    prototype_layers: int = 2
    prototype_heads: int = 6
    prototype_head_dim: int = 512
    prototype_mlp_dim: int = 512
    logit_scale_init_value: float = math.log(1 / 0.07)
    learnable_logit_scale: bool = True
    mlm_loss_weight: float = 1.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.text_config = _as_config(self.text_config, {"model_type": "bert"})
        self.vision_config = _as_config(self.vision_config, {"model_type": "vit", "image_size": 384})
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; it must be one of {', '.join(map(repr, POOLINGS))}")
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

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values, with the ``auto_map`` that lets a saved folder load without this package."""
        # transformers loads each file that auto_map names as a module of its own. All entries must name the same file,
        # or the configuration's class would differ from the model's `config_class`.
        auto_map = {
            "AutoConfig": "modeling_unipt.UniPTConfig",
            "AutoModel": "modeling_unipt.UniPTModel",
            "AutoModelForPreTraining": "modeling_unipt.UniPTForPreTraining",
        }
        return super().to_dict() | {"auto_map": auto_map}


def _as_config(config: PreTrainedConfig | dict[str, Any] | None, default: dict[str, Any]) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    config = dict(default if config is None else config)
    if "model_type" not in config:
        raise ValueError("a UniPT sub-configuration given as a dict needs its 'model_type', such as 'vit' or 'bert'")
    return AutoConfig.for_model(**config)


__all__ = ["UniPTConfig"]
