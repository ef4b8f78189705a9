"""UniPT: a vision and a text encoder whose projected, max-pooled tokens meet in one space (arXiv 2309.01420)."""

import inspect
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    CLIPVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, logging
from transformers.utils.generic import can_return_tuple

from .configuration_unipt import UniPTConfig

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
        attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): without it every token counts.
        pooling: "max" or "mean" over the tokens; or "class", which takes the last token, or, of an image, which has no
            mask, the first one.
    """
    if pooling == "class":
        if attention_mask is None:
            return tokens[:, 0]
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        last = (attention_mask.to(torch.bool) * positions).argmax(dim=1)
        return tokens[torch.arange(len(tokens), device=tokens.device), last]
    if attention_mask is None:
        return tokens.amax(dim=1) if pooling == "max" else tokens.mean(dim=1)
    kept = attention_mask.to(torch.bool)[:, :, None]
    if pooling == "max":
        return tokens.masked_fill(~kept, -torch.inf).amax(dim=1)
    return tokens.masked_fill(~kept, 0).sum(dim=1) / kept.sum(dim=1)


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
            init.constant_(module.logit_scale, self.config.logit_scale_init_value)
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
            vision_name_or_path: a ViT, DeiT or CLIP checkpoint (folder or Hub id). Of CLIP only the vision encoder is
                used.
            text_name_or_path: a BERT-like checkpoint. `UniPTForPreTraining` also uses BERT's MLM head if there is one.
            config_kwargs: fields of `UniPTConfig`, such as ``projection_dim``.

        Returns:
            The model in evaluation mode.

        Raises:
            OSError: a checkpoint cannot be found.
            ValueError: its kind of encoder is not supported.
        """
        verbosity = logging.get_verbosity()
        # transformers would warn of heads that are not used; what is missing is told below.
        logging.set_verbosity_error()
        try:
            vision_model, vision_missing = _load_vision_encoder(vision_name_or_path)
            text_model, mlm_head, text_missing = _load_text_encoder(text_name_or_path)
        finally:
            logging.set_verbosity(verbosity)
        encoder_configs = {"vision_config": vision_model.config.to_dict(), "text_config": text_model.config.to_dict()}
        for encoder_config in encoder_configs.values():
            # Training starts in full precision, whatever the precision of the checkpoints.
            encoder_config.pop("dtype", None)
        config = UniPTConfig(**encoder_configs, **config_kwargs)
        model = cls(config)
        base = getattr(model, "unipt", model)
        loaded = {*base.vision_model.parameters(), *base.text_model.parameters()}
        missing = [name for name, parameter in model.named_parameters() if parameter not in loaded]
        base.vision_model.load_state_dict(vision_model.state_dict())
        base.text_model.load_state_dict(text_model.state_dict())
        if mlm_head is not None and hasattr(model, "mlm_head"):
            transform = mlm_head.transform
            model.mlm_head.dense.load_state_dict(transform.dense.state_dict())
            model.mlm_head.layer_norm.load_state_dict(transform.LayerNorm.state_dict())
            with torch.no_grad():
                model.mlm_head.decoder.bias.copy_(mlm_head.decoder.bias)
            missing = [name for name in missing if not name.startswith("mlm_head.")]
        model.tie_weights()
        missing += [f"vision_model.{name}" for name in vision_missing] + [f"text_model.{name}" for name in text_missing]
        logger.warning(
            f"newly initialised, neither in {vision_name_or_path} nor in {text_name_or_path}: {', '.join(missing)}"
        )
        return model.eval()


class UniPTModel(UniPTPreTrainedModel):
    """The dual encoder: it embeds descriptions and images of people and compares them by cosine similarity.

    inputs = processor(text=["a man in a red coat"], images=[image], return_tensors="pt")
    model(**inputs).logits_per_text
    """

    _keys_to_ignore_on_load_unexpected = [r"^mlm_head\."]

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__(config)
        self.vision_model = _build_encoder(config.vision_config)
        self.text_model = _build_encoder(config.text_config)
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
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def similarity_scale(self) -> torch.Tensor:
        """The factor on cosine similarities: exp of ``logit_scale``, at most 100."""
        return self.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()

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
            raise ValueError(
                f"input of {height} x {width} pixels cannot be cut into patches of {patch[0]} x {patch[1]}; choose a "
                "height and width that they divide"
            )
        if (height, width) != native and (native[0] != native[1] or patch[0] != patch[1]):
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
        outputs = self.text_model(
            input_ids=input_ids, attention_mask=attention_mask, **optional, **kwargs, return_dict=True
        )
        tokens = outputs.last_hidden_state
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        return self._features(outputs, tokens, self.text_projection(tokens), attention_mask)

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> UniPTFeatures:
        """Embed images of any size that patches divide.

        Args:
            pixel_values (`torch.Tensor` of shape `(images, 3, height, width)`).
            kwargs: passed on to the vision encoder.

        Returns:
            `UniPTFeatures`; ``last_hidden_state`` holds the encoder's normalised tokens (of CLIP after its
            post_layernorm), class tokens first, and ``model.visual_projection(last_hidden_state)`` are the projected
            tokens that were pooled. `patch_grid` tells where in the image a token lies.

        Raises:
            ValueError: the encoder cannot take this height and width.
        """
        height, width = pixel_values.shape[-2:]
        self.patch_grid(height, width)
        if (height, width) != _pair(self.config.vision_config.image_size):
            kwargs["interpolate_pos_encoding"] = True
        outputs = self.vision_model(pixel_values=pixel_values, **kwargs, return_dict=True)
        tokens = outputs.last_hidden_state
        if self.config.vision_config.model_type == "clip_vision_model":
            # CLIP itself normalises only its class token; here all tokens are pooled, so all are normalised.
            tokens = self.vision_model.post_layernorm(tokens)
        return self._features(outputs, tokens, self.visual_projection(tokens))

    def _features(
        self,
        outputs: ModelOutput,
        tokens: torch.Tensor,
        projected: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> UniPTFeatures:
        pooled = pool_tokens(projected, attention_mask, self.config.pooling)
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
            return_loss (`bool`, *optional*): compute the `contrastive_loss`; text n and image n must be a pair.
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
            text_outputs = self.get_text_features(input_ids, attention_mask, token_type_ids, position_ids, **kwargs)
            text_embeds = nn.functional.normalize(text_outputs.pooler_output, dim=-1)
        if pixel_values is not None:
            vision_outputs = self.get_image_features(pixel_values, **kwargs)
            image_embeds = nn.functional.normalize(vision_outputs.pooler_output, dim=-1)
        if text_embeds is not None and image_embeds is not None:
            logits_per_text = scaled_cosines(text_embeds, image_embeds, self.similarity_scale())
        if return_loss:
            if logits_per_text is None or len(text_embeds) != len(image_embeds):
                raise ValueError("the contrastive loss needs input_ids and pixel_values of one length: pair n is row n")
            loss = contrastive_loss(text_embeds, image_embeds, self.similarity_scale(), image_ids)
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
        self.layer_norm = nn.LayerNorm(text_config.hidden_size, eps=getattr(text_config, "layer_norm_eps", 1e-12))
        self.decoder = nn.Linear(text_config.hidden_size, text_config.vocab_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.layer_norm(nn.functional.gelu(self.dense(hidden_states))))


class UniPTForPreTraining(UniPTPreTrainedModel):
    """UniPT with the head that its pre-training needs, and the paper's losses (equations 1 to 3).

    ``forward`` gives the losses of one batch on one device, for users who write a small loop of their own. Pre-training
    itself happens in ``unipt_train.objectives.pretraining``, which builds on the same functions of this file and joins
    the batches of many devices and steps.

    A folder of this class also loads as a plain `UniPTModel`, through ``AutoModel``.
    """

    _tied_weights_keys = {"mlm_head.decoder.weight": "unipt.text_model.embeddings.word_embeddings.weight"}

    def __init__(self, config: UniPTConfig) -> None:
        super().__init__(config)
        self.unipt = UniPTModel(config)
        self.mlm_head = UniPTMLMHead(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.unipt.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.unipt.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.mlm_head.decoder

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.mlm_head.decoder = value

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
            input_ids, pixel_values, **text_inputs, return_loss=return_loss, image_ids=image_ids, **kwargs
        )
        loss = outputs.loss
        mlm_loss = mlm_logits = None
        if mlm_labels is not None:
            masked_tokens = self.unipt.text_model(input_ids=mlm_input_ids, **text_inputs).last_hidden_state
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


def _build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """The bare encoder of ``config``, without the pooler that UniPT does not use."""
    model_class = AutoModel._model_mapping[type(config)]
    takes_pooling = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return AutoModel.from_config(config, **({"add_pooling_layer": False} if takes_pooling else {}))


def _load_vision_encoder(name_or_path: str) -> tuple[PreTrainedModel, list[str]]:
    """(encoder without pooler where that can be left out, names of its weights that were not in the files)."""
    config = AutoConfig.from_pretrained(name_or_path)
    if config.model_type == "clip":
        model, info = CLIPVisionModel.from_pretrained(
            name_or_path, config=config.vision_config, output_loading_info=True
        )
    elif config.model_type in ("vit", "deit"):
        model, info = AutoModel.from_pretrained(name_or_path, add_pooling_layer=False, output_loading_info=True)
    else:
        model, info = AutoModel.from_pretrained(name_or_path, output_loading_info=True)
    return model, sorted(info["missing_keys"])


def _load_text_encoder(name_or_path: str) -> tuple[PreTrainedModel, nn.Module | None, list[str]]:
    """(encoder without pooler, BERT's MLM head or None, names of the encoder's weights that were not in the files)."""
    config = AutoConfig.from_pretrained(name_or_path)
    if config.model_type != "bert":
        model, info = AutoModel.from_pretrained(name_or_path, output_loading_info=True)
        return model, None, sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
    model, info = AutoModelForMaskedLM.from_pretrained(name_or_path, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    has_head = not any(name.startswith("cls.") for name in missing)
    encoder_missing = [name.removeprefix("bert.") for name in missing if name.startswith("bert.")]
    return model.bert, model.cls.predictions if has_head else None, encoder_missing


UniPTModel.register_for_auto_class("AutoModel")
UniPTForPreTraining.register_for_auto_class("AutoModelForPreTraining")

__all__ = ["UniPTConfig", "UniPTForPreTraining", "UniPTModel", "UniPTPreTrainedModel"]
