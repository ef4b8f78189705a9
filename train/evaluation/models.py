"""The models that an evaluation compares: UniPT, and CLIP- or SigLIP-style models of transformers as baselines."""

from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.loading import load_unipt

NEEDED = ("get_text_features", "get_image_features", "logit_scale")
TOKENIZED_AT_ONCE = 1024


class BaselineProcessor:
    """Makes a CLIP-style model's inputs the way `UniPTProcessor` makes UniPT's.

    Pictures are squashed to the model's own size, not cropped to their centre: a centre crop of a standing person has
    neither head nor feet. Captions are cut at the text encoder's number of positions.
    """

    def __init__(self, tokenizer, image_processor, config):
        self.tokenizer, self.image_processor = tokenizer, image_processor
        self.max_length = min(tokenizer.model_max_length, config.text_config.max_position_embeddings)
        size = config.vision_config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        self.size = {"height": height, "width": width}
        self.padding = "max_length" if "siglip" in config.model_type else True  # SigLIP was trained so

    def __call__(self, text=None, images=None, return_tensors="pt", **steps):
        if text is not None:
            options = {"padding": self.padding, "truncation": True, "max_length": self.max_length}
            return self.tokenizer(text, return_tensors=return_tensors, **options)
        resized = [image.resize((self.size["width"], self.size["height"]), self._resample()) for image in images]
        return self.image_processor(
            resized, do_resize=False, do_center_crop=False, return_tensors=return_tensors, **steps
        )

    def _resample(self):
        from PIL import Image

        return Image.Resampling(self.image_processor.resample)


def load_model(name):
    """A model to evaluate.

    Args:
        name: folder or Hub name of a UniPT model, or of any model of transformers that has ``get_text_features``,
            ``get_image_features`` and ``logit_scale``.
    Returns:
        (model in evaluation mode, processor) that :mod:`modeling_unipt.embedding` takes.
    Raises:
        UserError: there is no such model, or it does not compare images with texts.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer
    from transformers.utils import logging

    try:
        config = AutoConfig.from_pretrained(name)
    except Exception:  # load_unipt tells what is wrong with the name
        return load_unipt(name)
    if config.model_type == "unipt":
        return load_unipt(name)
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(name, output_loading_info=True)
    except Exception as error:  # OSError, ValueError, SafetensorError and errors of the Hub
        raise UserError(f"model {name} cannot be loaded: {first_line(error)}") from None
    finally:
        if bar:
            logging.enable_progress_bar()
    if not all(hasattr(model, attribute) for attribute in NEEDED) or not hasattr(config, "vision_config"):
        raise UserError(
            f"{name} holds a {config.model_type} model, which does not compare images with texts; give a UniPT model, "
            "or a CLIP- or SigLIP-style one such as openai/clip-vit-base-patch16"
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise UserError(f"the weights of {name} are incomplete: {len(missing)} are missing, the first {missing[0]}")
    # As UniPT's configuration has it; SigLIP's embeddings have the encoder's width.
    model.config.embedding_dim = getattr(config, "projection_dim", config.text_config.hidden_size)
    try:
        tokenizer, image_processor = AutoTokenizer.from_pretrained(name), AutoImageProcessor.from_pretrained(name)
    except Exception as error:
        raise UserError(
            f"{name} lacks its tokenizer or image processor ({first_line(error)}); save them beside it"
        ) from None
    return model.eval(), BaselineProcessor(tokenizer, image_processor, config)


def text_limit(processor):
    """The number of tokens, special ones included, at which captions are cut."""
    if isinstance(processor, BaselineProcessor):
        return processor.max_length
    from modeling_unipt.processing_unipt import MAX_TEXT_LENGTH

    return min(MAX_TEXT_LENGTH, processor.tokenizer.model_max_length)


def count_truncated(processor, captions):
    """How many of the captions have more tokens than the model takes."""
    limit, longer = text_limit(processor), 0
    for start in range(0, len(captions), TOKENIZED_AT_ONCE):
        ids = processor.tokenizer(captions[start : start + TOKENIZED_AT_ONCE], verbose=False)["input_ids"]
        longer += sum(len(tokens) > limit for tokens in ids)
    return longer
