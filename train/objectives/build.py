"""What pre-training starts from: the model with its processor, and the samples of a dataset.

train/pretrain.py calls this, and so do measurements that must train on exactly the same.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import AutoConfig, AutoTokenizer, ImageProcessingMixin, PreTrainedTokenizerBase

# transformers 5.17 hides this name at its top level where torchvision is missing.
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.stand_ins import refuse_stand_ins_of_model
from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.configuration_unipt import UniPTConfig
from modeling_unipt.encoders_unipt import longest_text, text_config_of, vision_config_of
from modeling_unipt.image_processing_unipt import UniPTImageProcessor
from modeling_unipt.loading import load_unipt
from modeling_unipt.modeling_unipt import UniPTForPreTraining
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.data.attribute_facts import AttributeFacts
from unipt_train.data.captions import CaptionChoice, with_captions
from unipt_train.data.loading import load_several
from unipt_train.data.pairs import PretrainingPairs
from unipt_train.data.rows import Rows, arrow_column
from unipt_train.objectives.initialisation import start_from_sine_cosine_positions

logger = logging.getLogger(__name__)

# The paper's input, in pixels.
HEIGHT = 384
WIDTH = 128
# SigLIP's: at first almost every judgement should be that a text and an image are no pair.
FIRST_LOGIT_BIAS = -10.0


@dataclass(frozen=True)
class ModelOptions:
    """The model that pre-training starts from; the fields are options of train/pretrain.py and described there."""

    model: str | None
    vision_model: str | None
    text_model: str | None
    random_init: bool
    image_height: int | None
    image_width: int | None
    max_text_tokens: int
    projection_dim: int
    logit_scale: float
    learnable_logit_scale: bool
    contrastive_loss: Literal["softmax", "sigmoid"]
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
    caption_backends: list[str] | None = None
    min_caption_score: float | None = None

    @property
    def choice(self) -> CaptionChoice:
        """Which of the stored captions are trained on."""
        backends = None if self.caption_backends is None else frozenset(self.caption_backends)
        return CaptionChoice(backends, self.min_caption_score)

    @property
    def needs_facts(self) -> bool:
        """Whether samples must say what their captions tell and what their images show."""
        return self.weigh_negatives or self.attribute_loss_weight != 0


def build_model(options: ModelOptions) -> tuple[UniPTForPreTraining, UniPTProcessor]:
    """The model that pre-training starts from, and its processor.

    Raises:
        UserError: a model or a tokenizer cannot be loaded or used, or the model cannot take images of that size.
    """
    model, processor = _whole_model(options) if options.model else _model_of_two_encoders(options)
    size = processor.image_processor.size
    try:
        model.unipt.patch_grid(size["height"], size["width"])
    except ValueError as error:
        raise UserError(f"--image-height and --image-width: {error}") from None
    model.config.mlm_loss_weight = options.mlm_loss_weight
    set_loss(model, options.contrastive_loss)
    tokenizer = processor.tokenizer
    positions = longest_text(model.config.text_config)
    tokenizer.model_max_length = min(options.max_text_tokens, tokenizer.model_max_length, positions)
    prepare_tokenizer(tokenizer, model, masks=options.mlm_loss_weight > 0)
    return model, processor


def set_loss(model: UniPTForPreTraining, kind: str) -> None:
    """Have ``model``, in place, train by the loss "softmax", which has no bias, or "sigmoid", which has one."""
    unipt = model.unipt
    if kind == "softmax" and unipt.logit_bias is not None:
        logger.warning("the logit bias is left out: the softmax loss has no use for it")
        unipt.logit_bias = None
    if kind == "sigmoid" and unipt.logit_bias is None:
        unipt.logit_bias = torch.nn.Parameter(torch.tensor(FIRST_LOGIT_BIAS))
    model.config.logit_bias_init_value = None if unipt.logit_bias is None else unipt.logit_bias.item()


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase, model: UniPTForPreTraining, masks: bool) -> None:
    """Give ``tokenizer`` the special tokens that training needs, and ``model`` their embeddings; both in place.

    Args:
        masks: whether words will be masked.

    Raises:
        UserError: words are to be masked, and the tokenizer cannot tell which tokens belong to one word.
    """
    if masks and not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} does not tell which tokens belong to one word, so words cannot "
            "be masked; give --mlm-loss-weight 0, or a model whose tokenizer is a fast one"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if masks and tokenizer.mask_token is None:
        tokenizer.add_special_tokens({"mask_token": "[MASK]"})
        logger.info("the tokenizer of %s has no token that hides a word; [MASK] is added", tokenizer.name_or_path)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))


def _whole_model(options: ModelOptions) -> tuple[UniPTForPreTraining, UniPTProcessor]:
    """A UniPT model or a dual encoder of another kind, to go on from, with its own projections, pooling and scale."""
    name = options.model
    try:
        kind = AutoConfig.from_pretrained(name).model_type
    except Exception:  # load_unipt says what is wrong with the name
        kind = "unipt"
    if kind == "unipt":
        # A folder of a plain `UniPTModel` has no head for words.
        model, processor = load_unipt(name, model_class=UniPTForPreTraining, may_lack=("mlm_head.",))
        model.float()  # released weights are rounded to half precision
        size = processor.image_processor.size
        processor.image_processor.size = {
            "height": options.image_height or size["height"],
            "width": options.image_width or size["width"],
        }
        return model, processor
    # The bias is loaded where the loss needs it; the value itself comes from the file.
    bias = {"logit_bias_init_value": FIRST_LOGIT_BIAS} if options.contrastive_loss == "sigmoid" else {}
    with _told_in_one_sentence([name], f"the model {name}", "cannot be loaded, neither as a folder nor"):
        model = UniPTForPreTraining.from_dual_encoder_pretrained(name, **bias)
        tokenizer = AutoTokenizer.from_pretrained(name)
        own = AutoImageProcessor.from_pretrained(name)
    side = model.config.vision_config.image_size
    image_processor = UniPTImageProcessor(
        size={"height": options.image_height or side, "width": options.image_width or side},
        resample=own.resample,
        image_mean=own.image_mean,
        image_std=own.image_std,
    )
    return model, UniPTProcessor(image_processor=image_processor, tokenizer=tokenizer)


def _model_of_two_encoders(options: ModelOptions) -> tuple[UniPTForPreTraining, UniPTProcessor]:
    vision = options.vision_model
    text = options.text_model
    what = f"encoders '{vision}' and '{text}'"
    with _told_in_one_sentence([vision, text], what, "cannot both be loaded, neither as folders nor"):
        model = _random_model(options) if options.random_init else _pretrained_model(options)
        tokenizer = AutoTokenizer.from_pretrained(text)
    image_processor = UniPTImageProcessor(
        size={"height": options.image_height or HEIGHT, "width": options.image_width or WIDTH},
        **_normalisation_of(vision),
    )
    return model, UniPTProcessor(image_processor=image_processor, tokenizer=tokenizer)


@contextmanager
def _told_in_one_sentence(names: Sequence[str], what: str, fails: str) -> Iterator[None]:
    """Raise a UserError in the place of any error while ``what`` is loaded; ``fails`` goes on with the sentence.

    A file in the folders ``names`` that stands in for the real one is named first.
    """
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        for name in names:
            refuse_stand_ins_of_model(name)
        # UniPT's own refusals, which name the model, and transformers' ones.
        raise UserError(f"{what} cannot be used: {first_line(error)}") from None
    except Exception as error:
        for name in names:
            refuse_stand_ins_of_model(name)
        # transformers, safetensors and huggingface_hub raise errors of many kinds.
        raise UserError(f"{what} {fails} from the Hub: {first_line(error)}") from None


def _normalisation_of(vision_model: str) -> dict[str, list[float]]:
    """Mean and standard deviation of the pixels that an encoder was trained on; nothing if its files do not tell."""
    try:
        own, _ = ImageProcessingMixin.get_image_processor_dict(vision_model)
    except OSError:
        return {}
    return {name: own[name] for name in ("image_mean", "image_std") if name in own}


def _configuration(options: ModelOptions) -> dict[str, float | bool]:
    """The fields of `UniPTConfig` that do not come from the encoders."""
    return {
        "projection_dim": options.projection_dim,
        # The model keeps the logarithm, as CLIP does.
        "logit_scale_init_value": math.log(options.logit_scale),
        "learnable_logit_scale": options.learnable_logit_scale,
    }


def _pretrained_model(options: ModelOptions) -> UniPTForPreTraining:
    return UniPTForPreTraining.from_vision_text_pretrained(
        options.vision_model, options.text_model, **_configuration(options)
    )


def _random_model(options: ModelOptions) -> UniPTForPreTraining:
    vision_config = vision_config_of(options.vision_model)
    text_config = text_config_of(options.text_model)
    config = UniPTConfig(
        text_config=text_config.to_dict(), vision_config=vision_config.to_dict(), **_configuration(options)
    )
    model = UniPTForPreTraining(config)
    embeddings = model.unipt.vision_model.embeddings
    positions = getattr(embeddings, "position_embeddings", None)
    if hasattr(embeddings, "position_embedding"):
        # CLIP and SigLIP look their positions up in a table.
        positions = embeddings.position_embedding.weight
    if positions is not None:
        size = vision_config.image_size  # the encoder's own; images of another size get interpolated positions
        height, width = (size, size) if isinstance(size, int) else size
        start_from_sine_cosine_positions(positions, *model.unipt.patch_grid(height, width))
    return model


def columns_needed(options: SampleOptions) -> list[str]:
    """Names of the dataset's columns that the options ask for."""
    columns = ["image", *options.choice.columns]
    if options.fresh_captions:
        columns += ["image_id", "attributes"]
    if options.needs_facts:
        columns += ["attribute_probabilities"]
    if options.exclude_repeats:
        columns += ["image_id", "duplicate_of"]
    return columns


def load_parts(names: Sequence[str], split: str, options: SampleOptions) -> tuple[dict[str, Rows], list[str]]:
    """The rows of each data set that can be trained on, by its name; and sentences about those that cannot.

    Raises:
        UserError: a data set cannot be loaded, or lacks what the options need; or several do not fit together.
    """
    needed = columns_needed(options)
    parts = {}
    said = []
    for name, rows in load_several(names, split, needed).items():
        # What is not used is not read. The name of an image is for messages.
        used = [column for column in rows.column_names if column in needed or column == "image_id"]
        rows = rows.select_columns(used)
        if options.fresh_captions:
            _check_attributes(name, rows)
        parts[name], left_out = with_captions(name, rows, options.choice)
        said += [left_out] if left_out else []
    for column in ("attributes", "attribute_probabilities"):
        kinds = {name: rows.features[column] for name, rows in parts.items() if column in needed}
        different = [name for name, kind in kinds.items() if kind != kinds[next(iter(kinds))]]
        if different:
            raise UserError(
                f"datasets '{names[0]}' and '{different[0]}' differ in their column '{column}', so one vocabulary does "
                "not fit both; train on stored captions with --fresh-captions false"
            )
    return parts, said


def _check_attributes(name: str, rows: Rows) -> None:
    empty = arrow_column(rows, "attributes").null_count
    if empty:
        raise UserError(
            f"{empty} of {len(rows)} rows of dataset '{name}' tell no attributes, of which --fresh-captions writes; "
            "leave this data set out or give --fresh-captions false and what needs it: --weigh-negatives false and "
            "--attribute-loss-weight 0"
        )


def build_pairs(
    rows: Rows, processor: UniPTProcessor, options: SampleOptions
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
    pairs = PretrainingPairs(rows, processor, options.seed, sampler, facts, options.exclude_repeats, options.choice)
    return pairs, facts
