"""Configuration of UniPT, a dual encoder for text-to-image person retrieval."""

import math

from transformers import AutoConfig, PreTrainedConfig

POOLINGS = ("max", "mean", "class")


class UniPTConfig(PreTrainedConfig):
    """Two encoders, a per-token projection of each, and how their embeddings are compared.

    The defaults are ViT-B/16 at 384 and BERT-base with a learnable temperature. The paper (arXiv 2309.01420, equation
    1) uses raw cosine similarity: ``logit_scale_init_value=0.0, learnable_logit_scale=False``.

    Args:
        text_config (`PreTrainedConfig` or `dict`): any BERT-like text encoder.
        vision_config (`PreTrainedConfig` or `dict`): a ViT, DeiT or CLIP vision encoder. ``image_size`` stays the
            encoder's native one; pictures of other sizes get interpolated position embeddings.
        projection_dim (`int`): length of an embedding.
        pooling (`str`): ``"max"`` (the paper's) or ``"mean"`` over the projected tokens, padding left out, or
            ``"class"``: the image's first token and the text's last one, as CLIP pools.
        logit_scale_init_value (`float`): natural logarithm of the factor on cosine similarities.
        learnable_logit_scale (`bool`): whether training changes that factor; it is capped at 100 either way.
        mlm_loss_weight (`float`): beta of equation 3, the weight of the masked language modelling loss.
        tie_word_embeddings (`bool`): whether the MLM decoder shares the text encoder's word embeddings.

    Raises:
        ValueError: unknown ``pooling``, or a sub-configuration without ``model_type``.
    """

    model_type = "unipt"
    sub_configs = {"text_config": AutoConfig, "vision_config": AutoConfig}

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    projection_dim: int = 512
    pooling: str = "max"
    logit_scale_init_value: float = math.log(1 / 0.07)
    learnable_logit_scale: bool = True
    mlm_loss_weight: float = 1.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        self.text_config = _as_config(self.text_config, {"model_type": "bert"})
        self.vision_config = _as_config(self.vision_config, {"model_type": "vit", "image_size": 384})
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; it must be one of {', '.join(map(repr, POOLINGS))}")
        super().__post_init__(**kwargs)

    def to_dict(self):
        # Each auto_map file of a local folder is loaded as a module of its own: all entries must name the same file, or
        # the configuration's class would differ from the model's `config_class`.
        names = {"AutoConfig": "Config", "AutoModel": "Model", "AutoModelForPreTraining": "ForPreTraining"}
        auto_map = {auto_class: f"modeling_unipt.UniPT{name}" for auto_class, name in names.items()}
        return super().to_dict() | {"auto_map": auto_map}


def _as_config(config, default):
    if isinstance(config, PreTrainedConfig):
        return config
    config = dict(default if config is None else config)
    if "model_type" not in config:
        raise ValueError("a UniPT sub-configuration given as a dict needs its 'model_type', such as 'vit' or 'bert'")
    return AutoConfig.for_model(**config)


__all__ = ["UniPTConfig"]
