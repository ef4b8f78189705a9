"""UniPT: a vision and a text encoder whose projected, max-pooled tokens meet in one space (arXiv 2309.01420)."""

import inspect
import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, CLIPVisionModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, logging
from transformers.utils.generic import can_return_tuple

from .configuration_unipt import UniPTConfig

logger = logging.get_logger(__name__)

MAX_LOGIT_SCALE = math.log(100)
IGNORED_LABEL = -100


def scaled_cosines(text_embeds, image_embeds, logit_scale):
    """(texts, dim) and (images, dim) to (texts, images): cosine similarities times ``logit_scale``.

    At least in float32, also under autocast: untrained cosines are nearly equal, and bfloat16 would round them alike.
    """
    dtype = torch.promote_types(text_embeds.dtype, torch.float32)
    with torch.autocast(text_embeds.device.type, enabled=False):
        texts = nn.functional.normalize(text_embeds.to(dtype), dim=-1)
        images = nn.functional.normalize(image_embeds.to(dtype), dim=-1)
        return logit_scale * texts @ images.T


def contrastive_loss(text_embeds, image_embeds, logit_scale=1.0, image_ids=None, log_weights=None):
    """Symmetric InfoNCE over cosine similarities, equation 1 of the paper.

    Args:
        text_embeds (`torch.Tensor` of shape `(N, dim)`), image_embeds (`torch.Tensor` of shape `(N, dim)`): row n of
            both is one pair. They are normalised here.
        logit_scale: the factor on cosine similarities itself, not its logarithm; 1 in the paper.
        image_ids (`torch.Tensor` of shape `(N,)`, *optional*): pairs of equal id show the same image and are not each
            other's negatives.
        log_weights (`torch.Tensor` of shape `(N, N)`, *optional*): of texts and images; the exponential of a similarity
            counts exp of this, so 0 makes a whole negative, as every one is in the paper, and -inf none.

    Returns:
        Scalar tensor; log N for embeddings that do not tell pairs apart.
    """
    logits = scaled_cosines(text_embeds, image_embeds, logit_scale)
    if image_ids is not None:
        same = image_ids[:, None] == image_ids[None, :]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -torch.inf)
    if log_weights is not None:
        logits = logits + log_weights.to(logits)
    pairs = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2


def masked_language_modeling_loss(logits, labels):
    """Mean negative log-likelihood of the masked tokens, equation 2 of the paper divided by their number.

    Args:
        logits (`torch.Tensor` of shape `(..., vocabulary)`).
        labels (`torch.LongTensor` of shape `(...)`): the original token where one was masked, -100 elsewhere.

    Returns:
        Scalar tensor; 0 when nothing was masked.
    """
    total = nn.functional.cross_entropy(
        logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
    return total / (labels != IGNORED_LABEL).sum().clamp(min=1)


def pool_tokens(tokens, attention_mask=None, pooling="max"):
    """(batch, tokens, dim) to (batch, dim): the maximum or mean over the tokens whose ``attention_mask`` is not 0; for
    pooling "class" the last of these, or the first token where there is no mask, as of an image."""
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

    def __init__(self, config):
        super().__init__()
        dim, inner = config.projection_dim, config.prototype_heads * config.prototype_head_dim
        self.heads = config.prototype_heads
        self.attention_norm = nn.LayerNorm(dim)  # of prototypes and tokens alike
        self.query, self.key, self.value = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.output = nn.Linear(inner, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp_in = nn.Linear(dim, config.prototype_mlp_dim)
        self.mlp_out = nn.Linear(config.prototype_mlp_dim, dim)

    def forward(self, prototypes, tokens, attention_mask):
        tokens = self.attention_norm(tokens)
        parts = (self.query(self.attention_norm(prototypes)), self.key(tokens), self.value(tokens))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        gathered = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        prototypes = prototypes + self.output(gathered.transpose(1, 2).flatten(2))
        return prototypes + self.mlp_out(nn.functional.gelu(self.mlp_in(self.mlp_norm(prototypes))))


class UniPTGranularityUnification(nn.Module):
    """Prototype-based granularity unification (PGU) of LGUR (ACM MM 2022), equation 6 of the paper.

    The same learnable prototypes ask the projected tokens of an image and of a text; what each of them gathers goes
    through a projection of its own, and all of it, concatenated, is the embedding.
    """

    def __init__(self, config):
        super().__init__()
        count, dim = config.num_prototypes, config.projection_dim
        self.prototypes = nn.Parameter(torch.empty(count, dim))
        self.layers = nn.ModuleList(UniPTPrototypeLayer(config) for _ in range(config.prototype_layers))
        self.projections = nn.ModuleList(nn.Linear(dim, config.prototype_dim, bias=False) for _ in range(count))

    def forward(self, tokens, attention_mask=None):
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
            normalised: with prototypes what they gathered, else ``global_output``.
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
    """What `UniPTForPreTraining` returns: `UniPTOutput` and the masked language modelling loss.

    Args:
        loss (`torch.Tensor` of shape `()`): contrastive_loss + mlm_loss_weight * mlm_loss.
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
    def _init_weights(self, module):
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
    def from_vision_text_pretrained(cls, vision_name_or_path, text_name_or_path, **config_kwargs):
        """Start from two separately trained encoders; everything else is newly initialised, and logged as such.

        Args:
            vision_name_or_path: a ViT, DeiT or CLIP checkpoint (folder or Hub id); of CLIP the vision part is taken.
            text_name_or_path: a BERT-like checkpoint. `UniPTForPreTraining` also takes BERT's MLM head if it is there.
            config_kwargs: fields of `UniPTConfig`, such as ``projection_dim``.

        Raises:
            OSError: a checkpoint cannot be found. ValueError: its kind of encoder is not supported.
        """
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # heads that are left behind need no mention; what is missing is told below
        try:
            vision_model, vision_missing = _load_vision_encoder(vision_name_or_path)
            text_model, mlm_head, text_missing = _load_text_encoder(text_name_or_path)
        finally:
            logging.set_verbosity(verbosity)
        encoder_configs = {"vision_config": vision_model.config.to_dict(), "text_config": text_model.config.to_dict()}
        for encoder_config in encoder_configs.values():
            encoder_config.pop("dtype", None)  # training starts in full precision, whatever the checkpoints are in
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
    """The dual encoder: embeds descriptions and pictures of people, and compares them by cosine similarity.

    inputs = processor(text=["a man in a red coat"], images=[picture], return_tensors="pt")
    model(**inputs).logits_per_text
    """

    _keys_to_ignore_on_load_unexpected = [r"^mlm_head\."]

    def __init__(self, config: UniPTConfig):
        super().__init__(config)
        self.vision_model = _build_encoder(config.vision_config)
        self.text_model = _build_encoder(config.text_config)
        # The encoders made copies; later changes (attention implementation, vocabulary size) must reach both.
        self.vision_model.config = config.vision_config
        self.text_model.config = config.text_config
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim)
        self.granularity_unification = UniPTGranularityUnification(config) if config.num_prototypes else None
        logit_scale = torch.tensor(config.logit_scale_init_value)
        # Loading a checkpoint makes every parameter trainable again, so a fixed scale is a buffer.
        self.logit_scale = nn.Parameter(logit_scale) if config.learnable_logit_scale else nn.Buffer(logit_scale)
        self.post_init()

    def get_input_embeddings(self):
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.text_model.set_input_embeddings(value)

    def similarity_scale(self):
        """The factor on cosine similarities: exp of ``logit_scale``, at most 100."""
        return self.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()

    def patch_grid(self, height, width):
        """(rows, columns) of the patches of an input of ``height`` x ``width`` pixels.

        The last rows * columns image tokens are these patches, row by row; those before are class tokens.

        Raises:
            ValueError: the encoder cannot take this size.
        """
        config = self.config.vision_config
        native, patch = _pair(config.image_size), _pair(config.patch_size)
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
    def get_text_features(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None, **kwargs):
        """Embeds descriptions.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids (`torch.LongTensor` of shape `(texts, tokens)`):
                tokens with ``attention_mask`` 0 are padding; without it every token counts.

        Returns:
            `UniPTFeatures`; ``model.text_projection(last_hidden_state)`` are the projected tokens that were pooled.
        """
        optional = {"token_type_ids": token_type_ids, "position_ids": position_ids}
        optional = {name: value for name, value in optional.items() if value is not None}
        outputs = self.text_model(
            input_ids=input_ids, attention_mask=attention_mask, **optional, **kwargs, return_dict=True
        )
        tokens = outputs.last_hidden_state
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        return self._features(outputs, tokens, self.text_projection(tokens), attention_mask)

    @can_return_tuple
    def get_image_features(self, pixel_values, **kwargs):
        """Embeds pictures of any size that patches divide.

        Args:
            pixel_values (`torch.Tensor` of shape `(images, 3, height, width)`).

        Returns:
            `UniPTFeatures`; ``last_hidden_state`` holds the encoder's normalised tokens (of CLIP after its
            post_layernorm), class tokens first, and ``model.visual_projection(last_hidden_state)`` are the projected
            tokens that were pooled. See `patch_grid` for where a token lies in the picture.

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
            tokens = self.vision_model.post_layernorm(tokens)  # CLIP itself applies it to its class token alone
        return self._features(outputs, tokens, self.visual_projection(tokens))

    def _features(self, outputs, tokens, projected, attention_mask=None):
        pooled = pool_tokens(projected, attention_mask, self.config.pooling)
        unify = self.granularity_unification
        return UniPTFeatures(
            last_hidden_state=tokens,
            pooler_output=pooled if unify is None else unify(projected, attention_mask),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            global_output=pooled,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        pixel_values=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        return_loss=None,
        image_ids=None,
        **kwargs,
    ):
        """Embeds and compares texts and images; either may be left out.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids: as for `get_text_features`.
            pixel_values: as for `get_image_features`.
            return_loss (`bool`, *optional*): whether text n and image n are a pair, to be scored by `contrastive_loss`.
            image_ids (`torch.Tensor` of shape `(N,)`, *optional*): see `contrastive_loss`.

        Raises:
            ValueError: neither texts nor images, or a loss asked for without both in equal number.
        """
        if input_ids is None and pixel_values is None:
            raise ValueError("give input_ids, pixel_values or both")
        text_outputs = vision_outputs = text_embeds = image_embeds = logits_per_text = loss = None
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

    def __init__(self, text_config):
        super().__init__()
        self.dense = nn.Linear(text_config.hidden_size, text_config.hidden_size)
        self.layer_norm = nn.LayerNorm(text_config.hidden_size, eps=getattr(text_config, "layer_norm_eps", 1e-12))
        self.decoder = nn.Linear(text_config.hidden_size, text_config.vocab_size)

    def forward(self, hidden_states):
        return self.decoder(self.layer_norm(nn.functional.gelu(self.dense(hidden_states))))


class UniPTForPreTraining(UniPTPreTrainedModel):
    """UniPT with its pre-training objective: contrastive plus masked language modelling (equations 1 to 3).

    Its folder also loads as a plain `UniPTModel`, through ``AutoModel``.
    """

    _tied_weights_keys = {"mlm_head.decoder.weight": "unipt.text_model.embeddings.word_embeddings.weight"}

    def __init__(self, config: UniPTConfig):
        super().__init__(config)
        self.unipt = UniPTModel(config)
        self.mlm_head = UniPTMLMHead(config.text_config)
        self.post_init()

    def get_input_embeddings(self):
        return self.unipt.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.unipt.set_input_embeddings(value)

    def get_output_embeddings(self):
        return self.mlm_head.decoder

    def set_output_embeddings(self, value):
        self.mlm_head.decoder = value

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        pixel_values=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        mlm_input_ids=None,
        mlm_labels=None,
        return_loss=None,
        image_ids=None,
        **kwargs,
    ):
        """One image pass and, with MLM, two text passes.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, pixel_values, image_ids: as for `UniPTModel`.
            mlm_input_ids (`torch.LongTensor` of shape `(texts, tokens)`, *optional*): ``input_ids`` with some masked.
            mlm_labels (`torch.LongTensor` of shape `(texts, tokens)`, *optional*): the masked tokens, -100 elsewhere.
            return_loss (`bool`, *optional*): False leaves all losses out, for a step that gathers embeddings first.

        Raises:
            ValueError: as `UniPTModel`, or one of ``mlm_input_ids`` and ``mlm_labels`` without the other.
        """
        if (mlm_input_ids is None) != (mlm_labels is None):
            raise ValueError("give both mlm_input_ids and mlm_labels, or neither")
        return_loss = return_loss is None or return_loss
        text_inputs = {
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
        }
        outputs = self.unipt(
            input_ids, pixel_values, **text_inputs, return_loss=return_loss, image_ids=image_ids, **kwargs
        )
        loss, mlm_loss, mlm_logits = outputs.loss, None, None
        if mlm_labels is not None:
            masked_tokens = self.unipt.text_model(
                input_ids=mlm_input_ids, **{name: value for name, value in text_inputs.items() if value is not None}
            ).last_hidden_state
            masked = mlm_labels != IGNORED_LABEL
            mlm_logits = self.mlm_head(masked_tokens[masked])
            if return_loss:
                mlm_loss = masked_language_modeling_loss(mlm_logits, mlm_labels[masked])
                loss = loss + self.config.mlm_loss_weight * mlm_loss
        return UniPTForPreTrainingOutput(**{**outputs, "loss": loss}, mlm_loss=mlm_loss, mlm_logits=mlm_logits)


def _pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def _build_encoder(config):
    """The bare encoder of ``config``, without the pooler that UniPT would leave unused."""
    model_class = AutoModel._model_mapping[type(config)]
    takes_pooling = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return AutoModel.from_config(config, **({"add_pooling_layer": False} if takes_pooling else {}))


def _load_vision_encoder(name_or_path):
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


def _load_text_encoder(name_or_path):
    """(encoder without pooler, BERT's MLM head or None, names of the encoder's weights that were not in the files)."""
    config = AutoConfig.from_pretrained(name_or_path)
    if config.model_type != "bert":
        model, info = AutoModel.from_pretrained(name_or_path, output_loading_info=True)
        return model, None, sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
    model, info = AutoModelForMaskedLM.from_pretrained(name_or_path, output_loading_info=True)
    missing = set(info["missing_keys"])
    has_head = not any(name.startswith("cls.") for name in missing)
    encoder_missing = sorted(name.removeprefix("bert.") for name in missing if name.startswith("bert."))
    return model.bert, model.cls.predictions if has_head else None, encoder_missing


UniPTModel.register_for_auto_class("AutoModel")
UniPTForPreTraining.register_for_auto_class("AutoModelForPreTraining")

__all__ = ["UniPTConfig", "UniPTForPreTraining", "UniPTModel", "UniPTPreTrainedModel"]
