"""UniPT: a vision and a text encoder whose projected, max-pooled tokens meet in one space (arXiv 2309.01420)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, logging
from transformers.utils.generic import can_return_tuple

from .configuration_unipt import UniPTConfig
from .encoders_unipt import build_encoder, image_tokens, load_dual_encoder, load_text_encoder, load_vision_encoder

logger = logging.get_logger(__name__)

MAX_LOGIT_SCALE = math.log(100)
IGNORED_LABEL = -100


def scaled_cosines(
    text_embeds: torch.Tensor, image_embeds: torch.Tensor, logit_scale: torch.Tensor | float
) -> torch.Tensor:
    """Cosine similarities times ``logit_scale``: (texts, dim) and (images, dim) to (texts, images).

    They are computed in float32 at least, also under autocast: untrained cosines are nearly equal, and bfloat16 would
    round them to the same number.
    """
    dtype = torch.promote_types(text_embeds.dtype, torch.float32)
    with torch.autocast(text_embeds.device.type, enabled=False):
        texts = nn.functional.normalize(text_embeds.to(dtype), dim=-1)
        images = nn.functional.normalize(image_embeds.to(dtype), dim=-1)
        return logit_scale * texts @ images.T


def pairs_of_one_id(ids: torch.Tensor) -> torch.Tensor:
    """Which two different pairs have the same id, and so are no negatives of each other: (N,) to (N, N) bool."""
    same = ids[:, None] == ids[None, :]
    return same.fill_diagonal_(False)


def contrastive_loss(
    text_embeds: torch.Tensor,
    image_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float = 1.0,
    image_ids: torch.Tensor | None = None,
    log_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE over cosine similarities, equation 1 of the paper.

    Args:
        text_embeds (`torch.Tensor` of shape `(N, dim)`), image_embeds (`torch.Tensor` of shape `(N, dim)`): row n of
            both is one pair. They are normalised here.
        logit_scale: the factor on cosine similarities itself, not its logarithm; 1 in the paper.
        image_ids (`torch.Tensor` of shape `(N,)`, *optional*): pairs with the same id show the same image and are not
            each other's negatives.
        log_weights (`torch.Tensor` of shape `(N, N)`, *optional*): logarithms of the weights of all negatives, by text
            and image. 0 is the weight 1, which every negative has in the paper; -inf leaves a negative out.

    Returns:
        Scalar tensor; log N for embeddings that do not tell pairs apart.
    """
    logits = scaled_cosines(text_embeds, image_embeds, logit_scale)
    if image_ids is not None:
        logits = logits.masked_fill(pairs_of_one_id(image_ids), -torch.inf)
    if log_weights is not None:
        # A summand of the logit is a factor on its exponential, which is what the softmax sums.
        logits = logits + log_weights.to(logits)
    # The right image of text n is number n, so the diagonal holds the positives.
    pairs = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2


def sigmoid_loss(
    text_embeds: torch.Tensor,
    image_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    logit_bias: torch.Tensor | float,
    image_ids: torch.Tensor | None = None,
    log_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """SigLIP's loss (arXiv 2303.15343): each text and image is judged alone, whether they are a pair or not.

    Args:
        text_embeds, image_embeds, logit_scale, image_ids, log_weights: as for `contrastive_loss`.
        logit_bias: is added to all scaled cosines.

    Returns:
        Scalar tensor: the negative log-likelihoods of all N * N judgements, summed and divided by N.
    """
    logits = scaled_cosines(text_embeds, image_embeds, logit_scale) + logit_bias
    weights = torch.ones_like(logits) if log_weights is None else log_weights.to(logits).exp()
    if image_ids is not None:
        weights = weights.masked_fill(pairs_of_one_id(image_ids), 0)
    # The right image of text n is number n: 1 on the diagonal, -1 elsewhere.
    signs = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    return -(weights * nn.functional.logsigmoid(signs * logits)).sum() / len(logits)


def pair_loss(
    text_embeds: torch.Tensor,
    image_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    logit_bias: torch.Tensor | None = None,
    image_ids: torch.Tensor | None = None,
    log_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of texts and images that are pairs: `sigmoid_loss` with a bias, `contrastive_loss` without one."""
    if logit_bias is None:
        return contrastive_loss(text_embeds, image_embeds, logit_scale, image_ids, log_weights)
    return sigmoid_loss(text_embeds, image_embeds, logit_scale, logit_bias, image_ids, log_weights)


def masked_language_modeling_loss(
    logits: torch.Tensor, labels: torch.Tensor, reduction: Literal["mean", "none"] = "mean"
) -> torch.Tensor:
    """Negative log-likelihood of the masked tokens, equation 2 of the paper divided by their number.

    It is computed in float32 at least.

    Args:
        logits (`torch.Tensor` of shape `(..., vocabulary)`).
        labels (`torch.LongTensor` of shape `(...)`): the original token where one was masked, -100 elsewhere.
        reduction: "mean" over the masked tokens, or "none" for one number a label.

    Returns:
        Scalar tensor, 0 when nothing was masked; or a tensor of the shape of ``labels``, 0 where nothing was masked.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="none"
    )
    if reduction == "none":
        return losses.view(labels.shape)
    return losses.sum() / (labels != IGNORED_LABEL).sum().clamp(min=1)


def pretraining_loss(contrastive: torch.Tensor, mlm: torch.Tensor, mlm_loss_weight: float) -> torch.Tensor:
    """Equation 3 of the paper: the contrastive loss plus beta times the masked language modelling loss."""
    return contrastive + mlm_loss_weight * mlm


def pool_tokens(tokens: torch.Tensor, attention_mask: torch.Tensor | None = None, pooling: str = "max") -> torch.Tensor:
    """Pool the tokens whose ``attention_mask`` is not 0: (batch, tokens, dim) to (batch, dim).

    Args:
        attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): without it every token counts. A row of
            zeros gives zeros.
        pooling: "max" or "mean" over the tokens, "first" or "last" of them.
    """
    if attention_mask is None:
        if pooling == "max":
            return tokens.amax(dim=1)
        if pooling == "mean":
            return tokens.mean(dim=1)
        return tokens[:, 0] if pooling == "first" else tokens[:, -1]
    kept = attention_mask.to(torch.bool)
    if pooling == "max":
        pooled = tokens.masked_fill(~kept[:, :, None], -torch.inf).amax(dim=1)
    elif pooling == "mean":
        pooled = tokens.masked_fill(~kept[:, :, None], 0).sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp(min=1)
    else:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        # Of equal numbers argmax takes the first one: for "first" the first kept token, for "last" the furthest.
        ranked = kept.to(positions.dtype) if pooling == "first" else kept * positions
        pooled = tokens[torch.arange(len(tokens), device=tokens.device), ranked.argmax(dim=1)]
    return pooled.masked_fill(~kept.any(dim=1, keepdim=True), 0)


class UniPTPrototypeLayer(nn.Module):
    """Pre-norm cross-attention from prototypes to tokens and a feed-forward layer, each added to the prototypes."""

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__()
        dim = config.projection_dim
        inner = config.prototype_heads * config.prototype_head_dim
        self.heads = config.prototype_heads
        # One norm for prototypes and tokens alike.
        self.attention_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, inner, bias=False)
        self.key = nn.Linear(dim, inner, bias=False)
        self.value = nn.Linear(dim, inner, bias=False)
        self.output = nn.Linear(inner, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp_in = nn.Linear(dim, config.prototype_mlp_dim)
        self.mlp_out = nn.Linear(config.prototype_mlp_dim, dim)

    def forward(
        self, prototypes: torch.Tensor, tokens: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """New prototypes: (batch, num_prototypes, projection_dim), as the given ones.

        Args:
            tokens (`torch.Tensor` of shape `(batch, tokens, projection_dim)`).
            attention_mask (`torch.BoolTensor` of shape `(batch, 1, 1, tokens)` or None): False for padding.
        """
        tokens = self.attention_norm(tokens)
        query = self._heads(self.query(self.attention_norm(prototypes)))
        key = self._heads(self.key(tokens))
        value = self._heads(self.value(tokens))
        gathered = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        prototypes = prototypes + self.output(gathered.transpose(1, 2).flatten(2))
        return prototypes + self.mlp_out(nn.functional.gelu(self.mlp_in(self.mlp_norm(prototypes))))

    def _heads(self, vectors: torch.Tensor) -> torch.Tensor:
        """(batch, length, heads * head_dim) to (batch, heads, length, head_dim)."""
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class UniPTGranularityUnification(nn.Module):
    """Prototype-based granularity unification (PGU) of LGUR (ACM MM 2022), equation 6 of the paper.

    The same learnable prototypes attend to the projected tokens of images and of texts. What a prototype gathers goes
    through a projection of its own, and the concatenation of all these is the embedding.
    """

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__()
        count = config.num_prototypes
        dim = config.projection_dim
        self.prototypes = nn.Parameter(torch.empty(count, dim))
        self.layers = nn.ModuleList(UniPTPrototypeLayer(config) for _ in range(config.prototype_layers))
        self.projections = nn.ModuleList(nn.Linear(dim, config.prototype_dim, bias=False) for _ in range(count))

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, tokens, projection_dim) to (batch, num_prototypes * prototype_dim), the first prototype's part first.

        Args:
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): tokens with 0 are padding.
        """
        if attention_mask is not None:
            attention_mask = attention_mask.to(torch.bool)[:, None, None, :]
        prototypes = self.prototypes.expand(len(tokens), -1, -1)
        for layer in self.layers:
            prototypes = layer(prototypes, tokens, attention_mask)
        parts = [project(part) for project, part in zip(self.projections, prototypes.unbind(dim=1), strict=True)]
        return torch.cat(parts, dim=-1)


@dataclass
class UniPTFeatures(BaseModelOutputWithPooling):
    """What `get_text_features` and `get_image_features` return.

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, hidden_size)`): the encoder's tokens.
        pooler_output (`torch.Tensor` of shape `(batch, config.embedding_dim)`): the embedding to retrieve by, not
            normalised: what the prototypes gathered, or ``global_output`` where the model has none.
        global_output (`torch.Tensor` of shape `(batch, projection_dim)`): the pooled projected tokens.
    """

    global_output: torch.Tensor | None = None


@dataclass
class UniPTOutput(ModelOutput):
    """What `UniPTModel` returns; a field is None when its input was not given.

    Args:
        loss, contrastive_loss (`torch.Tensor` of shape `()`): with ``return_loss=True``.
        logits_per_image (`torch.Tensor` of shape `(images, texts)`): scaled cosine similarities.
        logits_per_text (`torch.Tensor` of shape `(texts, images)`): its transpose.
        text_embeds (`torch.Tensor` of shape `(texts, config.embedding_dim)`): of length 1.
        image_embeds (`torch.Tensor` of shape `(images, config.embedding_dim)`): of length 1.
        text_model_output, vision_model_output (`UniPTFeatures`): from `get_text_features` and `get_image_features`.
    """

    loss: torch.Tensor | None = None
    contrastive_loss: torch.Tensor | None = None
    logits_per_image: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    image_embeds: torch.Tensor | None = None
    text_model_output: UniPTFeatures | None = None
    vision_model_output: UniPTFeatures | None = None


@dataclass
class UniPTForPreTrainingOutput(ModelOutput):
    """What `UniPTForPreTraining` returns: the fields of `UniPTOutput` and the masked language modelling loss.

    Args:
        loss (`torch.Tensor` of shape `()`): see `pretraining_loss`; without ``mlm_labels`` the contrastive loss.
        mlm_loss (`torch.Tensor` of shape `()`): with ``mlm_labels``.
        mlm_logits (`torch.Tensor` of shape `(masked tokens, vocabulary)`): in the order of ``mlm_labels != -100``.
    """

    loss: torch.Tensor | None = None
    contrastive_loss: torch.Tensor | None = None
    mlm_loss: torch.Tensor | None = None
    logits_per_image: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    image_embeds: torch.Tensor | None = None
    mlm_logits: torch.Tensor | None = None
    text_model_output: UniPTFeatures | None = None
    vision_model_output: UniPTFeatures | None = None


class UniPTPreTrainedModel(PreTrainedModel):
    config: UniPTConfig
    config_class = UniPTConfig
    # Names of the parameters for which no file had weights; None where nothing was loaded.
    newly_initialised: frozenset[str] | None = None
    base_model_prefix = "unipt"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, UniPTModel):
            # Pooled embeddings are normalised, so the projection's scale only sets its effective learning rate.
            for projection in (module.visual_projection, module.text_projection):
                init.normal_(projection.weight, std=projection.in_features**-0.5)
            init.constant_(module.logit_scale, min(self.config.logit_scale_init_value, MAX_LOGIT_SCALE))
            if module.logit_bias is not None:
                init.constant_(module.logit_bias, self.config.logit_bias_init_value)
        elif isinstance(module, UniPTGranularityUnification):
            # At this scale attention differs between prototypes from the first step on, whatever their size.
            for part in module.modules():
                if isinstance(part, nn.Linear):
                    init.normal_(part.weight, std=part.in_features**-0.5)
            init.normal_(module.prototypes, std=self.config.initializer_range)

    @classmethod
    def from_vision_text_pretrained(
        cls, vision_name_or_path: str, text_name_or_path: str, **config_kwargs: Any
    ) -> "UniPTPreTrainedModel":
        """Start from two separately trained encoders. All other weights are new, and a warning names them.

        Args:
            vision_name_or_path: a folder or Hub id of an image encoder, one of `VISION_ENCODERS` in encoders_unipt.py.
                Of CLIP and SigLIP only the image encoder is used.
            text_name_or_path: the same of a text encoder, one of `TEXT_ENCODERS`. `UniPTForPreTraining` also uses its
                head for masked language modelling if there is one.
            config_kwargs: fields of `UniPTConfig`, such as ``projection_dim``.

        Returns:
            The model in evaluation mode.

        Raises:
            OSError: a checkpoint cannot be found.
            ValueError: its kind of encoder is not supported.
        """
        with _quiet_logging():
            vision_model, vision_missing = load_vision_encoder(
                vision_name_or_path, config_kwargs.get("vision_pooling", "max")
            )
            text_model, mlm_head, text_missing = load_text_encoder(text_name_or_path)
        config = UniPTConfig(**_encoder_configs(vision_model, text_model), **config_kwargs)
        model = cls(config)
        base = getattr(model, "unipt", model)
        loaded = {*base.vision_model.parameters(), *base.text_model.parameters()}
        missing = [name for name, parameter in model.named_parameters() if parameter not in loaded]
        base.vision_model.load_state_dict(vision_model.state_dict())
        base.text_model.load_state_dict(text_model.state_dict())
        if mlm_head is not None and hasattr(model, "mlm_head"):
            model.mlm_head.start_from(*mlm_head)
            missing = [name for name in missing if not name.startswith("mlm_head.")]
        model.tie_weights()
        inside = "" if base is model else "unipt."
        missing += [f"{inside}vision_model.{name}" for name in vision_missing]
        missing += [f"{inside}text_model.{name}" for name in text_missing]
        model.newly_initialised = frozenset(missing)
        logger.warning(
            f"newly initialised, neither in {vision_name_or_path} nor in {text_name_or_path}: {', '.join(missing)}"
        )
        return model.eval()

    @classmethod
    def from_dual_encoder_pretrained(cls, name_or_path: str, **config_kwargs: Any) -> "UniPTPreTrainedModel":
        """Start from a CLIP, SigLIP or SigLIP 2 model (of fixed size), with its own projections, pooling and scale.

        `UniPTModel` then gives the embeddings that the model itself gives.

        Args:
            name_or_path: a folder or Hub id of transformers' `CLIPModel` or `SiglipModel`.
            config_kwargs: fields of `UniPTConfig`. SigLIP's bias is kept with ``logit_bias_init_value``, whatever its
                value; without it the bias is left out, and a warning says so.

        Returns:
            The model in evaluation mode.

        Raises:
            OSError: a checkpoint cannot be found.
            ValueError: it is no such model, or its weights are incomplete.
        """
        with _quiet_logging():
            dual = load_dual_encoder(name_or_path)
        is_clip = dual.config.model_type == "clip"
        encoder_configs = _encoder_configs(dual.vision_model, dual.text_model)
        own = {"logit_scale_init_value": dual.logit_scale.item()}
        if is_clip:
            own |= {"projection_dim": dual.config.projection_dim, "vision_pooling": "first", "text_pooling": "last"}
        else:
            own |= {"projection_dim": dual.config.text_config.projection_size}
            own |= {"vision_pooling": "attention", "text_pooling": "padded_last"}
            # With this token texts are filled up, and the embedding is read off the last place. The configurations of
            # SigLIP 2 do not tell it.
            encoder_configs["text_config"]["pad_token_id"] = AutoTokenizer.from_pretrained(name_or_path).pad_token_id
        config = UniPTConfig(**encoder_configs, **(own | config_kwargs))
        model = cls(config)
        base = getattr(model, "unipt", model)
        own_weights = dual.state_dict()
        weights = base.state_dict()
        for name in weights:
            if name in own_weights:
                weights[name] = own_weights[name].reshape(weights[name].shape)
        if is_clip:
            weights["visual_projection.bias"] = torch.zeros(config.projection_dim)
            weights["text_projection.bias"] = torch.zeros(config.projection_dim)
        else:
            # SigLIP has no projection of images; the identity stands in its place. That of texts it calls a head.
            weights["visual_projection.weight"] = torch.eye(config.projection_dim)
            weights["visual_projection.bias"] = torch.zeros(config.projection_dim)
            weights["text_projection.weight"] = own_weights["text_model.head.weight"]
            weights["text_projection.bias"] = own_weights["text_model.head.bias"]
        base.load_state_dict(weights)
        if "logit_bias" in own_weights and base.logit_bias is None:
            logger.warning(f"the logit bias of {name_or_path} is left out: a softmax loss has no use for it")
        names = [name for name, _ in model.named_parameters()]
        model.newly_initialised = frozenset(name for name in names if name.startswith("mlm_head."))
        if model.newly_initialised:
            logger.warning(f"newly initialised, not in {name_or_path}: the head for masked language modelling")
        model.tie_weights()
        return model.eval()


class UniPTModel(UniPTPreTrainedModel):
    """The dual encoder: it embeds descriptions and images of people and compares them by cosine similarity.

    inputs = processor(text=["a man in a red coat"], images=[image], return_tensors="pt")
    model(**inputs).logits_per_text
    """

    _keys_to_ignore_on_load_unexpected = [r"^mlm_head\."]

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__(config)
        self.vision_model = build_encoder(config.vision_config)
        self.text_model = build_encoder(config.text_config)
        # The encoders made copies of their configurations. Later changes of ``config``, as of the attention
        # implementation or the vocabulary's size, must reach the encoders too.
        self.vision_model.config = config.vision_config
        self.text_model.config = config.text_config
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim)
        self.granularity_unification = UniPTGranularityUnification(config) if config.num_prototypes else None
        logit_scale = torch.tensor(config.logit_scale_init_value)
        # Loading a checkpoint makes every parameter trainable again, so a scale that stays fixed is a buffer.
        self.logit_scale = nn.Parameter(logit_scale) if config.learnable_logit_scale else nn.Buffer(logit_scale)
        bias = config.logit_bias_init_value
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def similarity_scale(self) -> torch.Tensor:
        """The factor on cosine similarities: exp of ``logit_scale``. Training keeps it at 100 or less."""
        return self.logit_scale.exp()

    def patch_grid(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of the patches of an input of ``height`` x ``width`` pixels.

        The last rows * columns image tokens are these patches, row by row. The tokens before them are class tokens.

        Raises:
            ValueError: the encoder cannot take this size.
        """
        config = self.config.vision_config
        native = _pair(config.image_size)
        patch = _pair(config.patch_size)
        if height % patch[0] or width % patch[1]:
            nearest = [max(1, round(side / size)) * size for side, size in zip((height, width), patch, strict=True)]
            raise ValueError(
                f"input of {height} x {width} pixels cannot be cut into patches of {patch[0]} x {patch[1]}; choose a "
                f"height and width that they divide, such as {nearest[0]} x {nearest[1]}"
            )
        # DINOv3 has no position embeddings: it rotates by the place of a patch, in grids of any shape.
        has_positions = config.model_type != "dinov3_vit"
        is_square = native[0] == native[1] and patch[0] == patch[1]
        if has_positions and not is_square and (height, width) != native:
            raise ValueError(
                f"input of {height} x {width} pixels does not fit this encoder, built for {native[0]} x {native[1]}: "
                "position embeddings are interpolated from square grids only"
            )
        return height // patch[0], width // patch[1]

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> UniPTFeatures:
        """Embed descriptions.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids (`torch.LongTensor` of shape `(texts, tokens)`):
                tokens with ``attention_mask`` 0 are padding; without it every token counts.
            kwargs: passed on to the text encoder.

        Returns:
            `UniPTFeatures`; ``model.text_projection(last_hidden_state)`` are the projected tokens that were pooled.
        """
        # CLIP's text encoder takes no token types, so what was not given is not passed on.
        optional = _given(token_type_ids=token_type_ids, position_ids=position_ids)
        read = input_ids
        mask_of_encoder = attention_mask
        if self.config.text_pooling == "padded_last":
            read = self._filled_up(input_ids, attention_mask)
            # As SigLIP was trained: it reads the padding, too.
            mask_of_encoder = None
        outputs = self.text_model(
            input_ids=read, attention_mask=mask_of_encoder, **optional, **kwargs, return_dict=True
        )
        tokens = outputs.last_hidden_state
        projected = self.text_projection(tokens)
        pooled = None
        if self.config.text_pooling == "padded_last":
            pooled = projected[:, -1]
            length = input_ids.shape[1]
            tokens = tokens[:, :length]
            projected = projected[:, :length]
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        if pooled is None:
            pooled = pool_tokens(projected, attention_mask, self.config.text_pooling)
        return self._features(outputs, tokens, projected, pooled, attention_mask)

    def _filled_up(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Texts, filled up with padding on the right: (texts, tokens) to (texts, all the positions of the encoder)."""
        config = self.config.text_config
        if attention_mask is not None:
            input_ids = input_ids.masked_fill(attention_mask == 0, config.pad_token_id)
        missing = config.max_position_embeddings - input_ids.shape[1]
        return nn.functional.pad(input_ids, (0, missing), value=config.pad_token_id)

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> UniPTFeatures:
        """Embed images of any size that patches divide.

        Args:
            pixel_values (`torch.Tensor` of shape `(images, 3, height, width)`).
            kwargs: passed on to the vision encoder.

        Returns:
            `UniPTFeatures`; ``last_hidden_state`` holds the encoder's normalised tokens (of CLIP after its
            post_layernorm), class tokens first and no registers; ``model.visual_projection(last_hidden_state)`` are the
            projected tokens that were pooled. `patch_grid` tells where in the image a token lies.

        Raises:
            ValueError: the encoder cannot take this height and width.
        """
        height, width = pixel_values.shape[-2:]
        self.patch_grid(height, width)
        interpolate = (height, width) != _pair(self.config.vision_config.image_size)
        outputs, tokens = image_tokens(self.vision_model, pixel_values, interpolate, **kwargs)
        projected = self.visual_projection(tokens)
        if self.config.vision_pooling == "attention":
            pooled = self.visual_projection(self.vision_model.head(tokens))
        else:
            pooled = pool_tokens(projected, pooling=self.config.vision_pooling)
        return self._features(outputs, tokens, projected, pooled)

    def _features(
        self,
        outputs: ModelOutput,
        tokens: torch.Tensor,
        projected: torch.Tensor,
        pooled: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> UniPTFeatures:
        embeds = pooled
        if self.granularity_unification is not None:
            embeds = self.granularity_unification(projected, attention_mask)
        return UniPTFeatures(
            last_hidden_state=tokens,
            pooler_output=embeds,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            global_output=pooled,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        return_loss: bool | None = None,
        image_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> UniPTOutput:
        """Embed and compare texts and images; either may be left out.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids: as for `get_text_features`.
            pixel_values: as for `get_image_features`.
            return_loss (`bool`, *optional*): compute the `pair_loss`; text n and image n must be a pair.
            image_ids (`torch.Tensor` of shape `(N,)`, *optional*): see `contrastive_loss`.

        Raises:
            ValueError: neither texts nor images, or a loss asked for without both in equal number.
        """
        if input_ids is None and pixel_values is None:
            raise ValueError("give input_ids, pixel_values or both")
        text_outputs = vision_outputs = None
        text_embeds = image_embeds = None
        logits_per_text = loss = None
        if input_ids is not None:
            text_outputs = self.get_text_features(
                input_ids, attention_mask, token_type_ids, position_ids, **kwargs, return_dict=True
            )
            text_embeds = nn.functional.normalize(text_outputs.pooler_output, dim=-1)
        if pixel_values is not None:
            vision_outputs = self.get_image_features(pixel_values, **kwargs, return_dict=True)
            image_embeds = nn.functional.normalize(vision_outputs.pooler_output, dim=-1)
        if text_embeds is not None and image_embeds is not None:
            logits_per_text = scaled_cosines(text_embeds, image_embeds, self.similarity_scale())
            if self.logit_bias is not None:
                logits_per_text = logits_per_text + self.logit_bias
        if return_loss:
            if logits_per_text is None or len(text_embeds) != len(image_embeds):
                raise ValueError("the contrastive loss needs input_ids and pixel_values of one length: pair n is row n")
            loss = pair_loss(text_embeds, image_embeds, self.similarity_scale(), self.logit_bias, image_ids)
        return UniPTOutput(
            loss=loss,
            contrastive_loss=loss,
            logits_per_image=None if logits_per_text is None else logits_per_text.T,
            logits_per_text=logits_per_text,
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            text_model_output=text_outputs,
            vision_model_output=vision_outputs,
        )


class UniPTMLMHead(nn.Module):
    """BERT's prediction head: hidden states (..., hidden_size) to logits (..., vocabulary)."""

    def __init__(self, text_config: PreTrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(text_config.hidden_size, text_config.hidden_size)
        # ModernBERT's has another name, DistilBERT's is no field, and decoders have no such norm.
        epsilon = getattr(text_config, "layer_norm_eps", getattr(text_config, "norm_eps", 1e-12))
        self.layer_norm = nn.LayerNorm(text_config.hidden_size, eps=epsilon)
        self.decoder = nn.Linear(text_config.hidden_size, text_config.vocab_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.layer_norm(nn.functional.gelu(self.dense(hidden_states))))

    @torch.no_grad()
    def start_from(self, dense: nn.Linear, norm: nn.LayerNorm, decoder: nn.Linear) -> None:
        """Copy the weights of another such head. Its decoder's weight is left out: it is the word embeddings'."""
        self.dense.weight.copy_(dense.weight)
        self.layer_norm.weight.copy_(norm.weight)
        for own, other in ((self.dense, dense), (self.layer_norm, norm), (self.decoder, decoder)):
            # ModernBERT has no bias in some of these.
            own.bias.copy_(torch.zeros_like(own.bias) if other.bias is None else other.bias)


class UniPTForPreTraining(UniPTPreTrainedModel):
    """UniPT with the head that its pre-training needs, and the paper's losses (equations 1 to 3).

    ``forward`` gives the losses of one batch on one device, for users who write a small loop of their own. Pre-training
    itself happens in ``unipt_train.objectives.pretraining``, which builds on the same functions of this file and joins
    the batches of many devices and steps.

    A folder of this class also loads as a plain `UniPTModel`, through ``AutoModel``.
    """

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__(config)
        self.unipt = UniPTModel(config)
        self.mlm_head = UniPTMLMHead(config.text_config)
        # Word embeddings go by other names in every kind of text encoder.
        words = self.get_input_embeddings()
        name_of_words = next(name for name, module in self.named_modules() if module is words)
        self._tied_weights_keys = {"mlm_head.decoder.weight": f"{name_of_words}.weight"}
        self.post_init()

    def learns_single_numbers(self) -> bool:
        """Whether training changes the scale or the bias of the similarities."""
        return isinstance(self.unipt.logit_scale, nn.Parameter) or self.unipt.logit_bias is not None

    def get_input_embeddings(self) -> nn.Module:
        return self.unipt.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.unipt.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.mlm_head.decoder

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.mlm_head.decoder = value

    def get_text_features(self, *args: Any, **kwargs: Any) -> UniPTFeatures:
        """Embed descriptions, as `UniPTModel.get_text_features` does."""
        return self.unipt.get_text_features(*args, **kwargs)

    def get_image_features(self, *args: Any, **kwargs: Any) -> UniPTFeatures:
        """Embed images, as `UniPTModel.get_image_features` does."""
        return self.unipt.get_image_features(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        mlm_input_ids: torch.Tensor | None = None,
        mlm_labels: torch.Tensor | None = None,
        return_loss: bool | None = None,
        image_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> UniPTForPreTrainingOutput:
        """Encode the images once, and the texts once, or twice with masked language modelling.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, pixel_values, image_ids: as for `UniPTModel`.
            mlm_input_ids (`torch.LongTensor` of shape `(texts, tokens)`, *optional*): ``input_ids`` with some masked.
            mlm_labels (`torch.LongTensor` of shape `(texts, tokens)`, *optional*): the masked tokens, -100 elsewhere.
            return_loss (`bool`, *optional*): False computes no loss, for a step that first gathers embeddings.

        Raises:
            ValueError: as `UniPTModel`, or one of ``mlm_input_ids`` and ``mlm_labels`` without the other.
        """
        if (mlm_input_ids is None) != (mlm_labels is None):
            raise ValueError("give both mlm_input_ids and mlm_labels, or neither")
        return_loss = return_loss is None or return_loss
        text_inputs = _given(attention_mask=attention_mask, token_type_ids=token_type_ids, position_ids=position_ids)
        outputs = self.unipt(
            input_ids,
            pixel_values,
            **text_inputs,
            return_loss=return_loss,
            image_ids=image_ids,
            **kwargs,
            return_dict=True,
        )
        loss = outputs.loss
        mlm_loss = mlm_logits = None
        if mlm_labels is not None:
            masked_tokens = self.get_text_features(mlm_input_ids, **text_inputs, return_dict=True).last_hidden_state
            # The head's output is as wide as the vocabulary, so it sees only the tokens that the loss needs.
            masked = mlm_labels != IGNORED_LABEL
            mlm_logits = self.mlm_head(masked_tokens[masked])
            if return_loss:
                mlm_loss = masked_language_modeling_loss(mlm_logits, mlm_labels[masked])
                loss = pretraining_loss(loss, mlm_loss, self.config.mlm_loss_weight)
        return UniPTForPreTrainingOutput(**{**outputs, "loss": loss}, mlm_loss=mlm_loss, mlm_logits=mlm_logits)


def _given(**values: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return {name: value for name, value in values.items() if value is not None}


def _pair(size: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Hide transformers' warnings of heads that are not used. What is missing is told afterwards."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _encoder_configs(vision_model: PreTrainedModel, text_model: PreTrainedModel) -> dict[str, dict[str, Any]]:
    """The configurations of two encoders, as `UniPTConfig` takes them."""
    configs = {"vision_config": vision_model.config.to_dict(), "text_config": text_model.config.to_dict()}
    for config in configs.values():
        # Training starts in full precision, whatever the precision of the checkpoints.
        config.pop("dtype", None)
    return configs


UniPTModel.register_for_auto_class("AutoModel")
UniPTForPreTraining.register_for_auto_class("AutoModelForPreTraining")

__all__ = ["UniPTConfig", "UniPTForPreTraining", "UniPTModel", "UniPTPreTrainedModel"]
