"""What pre-training starts from: the model with its processor, and the samples of a dataset.

train/pretrain.py calls this, and so do measurements that must train on exactly the same.
"""

import math
from dataclasses import dataclass
from typing import Literal

import datasets
from transformers import AutoConfig, AutoTokenizer

from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.configuration_unipt import UniPTConfig
from modeling_unipt.image_processing_unipt import UniPTImageProcessor
from modeling_unipt.modeling_unipt import UniPTForPreTraining
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.data.attribute_facts import AttributeFacts
from unipt_train.data.pairs import PretrainingPairs
from unipt_train.objectives.initialisation import start_from_sine_cosine_positions


@dataclass(frozen=True)
class ModelOptions:
    """The model that pre-training starts from; the fields are options of train/pretrain.py and described there."""

    vision_model: str
    text_model: str
    random_init: bool
    image_height: int
    image_width: int
    max_text_tokens: int
    projection_dim: int
    logit_scale: float
    learnable_logit_scale: bool
    mlm_loss_weight: float


@dataclass(frozen=True)
class SampleOptions:
    """The samples of pre-training; the fields are options of train/pretrain.py and described there."""

    fresh_captions: bool
    caption_recipe: Literal["paper", "best"]
    attributes: str | None
    exclude_repeats: bool
    weigh_negatives: bool
    attribute_loss_weight: float
    seed: int

    @property
    def needs_facts(self) -> bool:
        """Whether samples must say what their captions tell and what their images show."""
        return self.weigh_negatives or self.attribute_loss_weight != 0


def build_model(options: ModelOptions) -> tuple[UniPTForPreTraining, UniPTProcessor]:
    """The model that pre-training starts from, and its processor.

    Raises:
        UserError: one of the encoders cannot be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(options.text_model, model_max_length=options.max_text_tokens)
        model = _random_model(options) if options.random_init else _pretrained_model(options)
    except OSError as error:
        raise UserError(
            f"encoders '{options.vision_model}' and '{options.text_model}' cannot both be loaded, neither as folders "
            f"nor from the Hub: {first_line(error)}"
        ) from None
    image_processor = UniPTImageProcessor(size={"height": options.image_height, "width": options.image_width})
    return model, UniPTProcessor(image_processor=image_processor, tokenizer=tokenizer)


def _configuration(options: ModelOptions) -> dict[str, float | bool]:
    """The fields of `UniPTConfig` that do not come from the encoders."""
    return {
        "projection_dim": options.projection_dim,
        # The model keeps the logarithm, as CLIP does.
        "logit_scale_init_value": math.log(options.logit_scale),
        "learnable_logit_scale": options.learnable_logit_scale,
        "mlm_loss_weight": options.mlm_loss_weight,
    }


def _pretrained_model(options: ModelOptions) -> UniPTForPreTraining:
    return UniPTForPreTraining.from_vision_text_pretrained(
        options.vision_model, options.text_model, **_configuration(options)
    )


def _random_model(options: ModelOptions) -> UniPTForPreTraining:
    vision_config = AutoConfig.from_pretrained(options.vision_model)
    text_config = AutoConfig.from_pretrained(options.text_model)
    # The configuration of a CLIP holds one of each encoder.
    vision_config = getattr(vision_config, "vision_config", vision_config)
    config = UniPTConfig(
        text_config=text_config.to_dict(), vision_config=vision_config.to_dict(), **_configuration(options)
    )
    model = UniPTForPreTraining(config)
    positions = model.unipt.vision_model.embeddings.position_embeddings
    size = vision_config.image_size  # the encoder's own; images of another size get interpolated positions
    height, width = (size, size) if isinstance(size, int) else size
    start_from_sine_cosine_positions(positions, *model.unipt.patch_grid(height, width))
    return model


def columns_needed(options: SampleOptions) -> list[str]:
    """Names of the dataset's columns that the options ask for."""
    columns = ["image", "captions"]
    if options.fresh_captions:
        columns += ["image_id", "attributes"]
    if options.needs_facts:
        columns += ["attribute_probabilities"]
    if options.exclude_repeats:
        columns += ["image_id", "duplicate_of"]
    return columns


def build_pairs(
    rows: datasets.Dataset, processor: UniPTProcessor, options: SampleOptions
) -> tuple[PretrainingPairs, AttributeFacts | None]:
    """The training samples, and what their columns ``told`` and ``shown`` mean if they have these.

    Args:
        rows: one split, with the columns that :func:`columns_needed` names.
        processor: of the model.
        options: what the samples hold.

    Raises:
        UserError: the vocabulary cannot be read, or it has no templates for the recipe.
    """
    sampler = None
    facts = None
    if options.fresh_captions:
        vocabulary = load_vocabulary(options.attributes)
        sampler = CaptionSampler(vocabulary, vocabulary.templates_for(options.caption_recipe))
        if options.needs_facts:
            facts = AttributeFacts(vocabulary, list(rows.features["attribute_probabilities"]))
    pairs = PretrainingPairs(rows, processor, options.seed, sampler, facts, options.exclude_repeats)
    return pairs, facts
