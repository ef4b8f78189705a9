"""Descriptions and pictures of people to UniPT's inputs."""

from transformers import ProcessorMixin
from transformers.processing_utils import ProcessingKwargs

from .image_processing_unipt import UniPTImageProcessor  # noqa: F401  (copied with this file; from_pretrained needs it)

MAX_TEXT_LENGTH = 100


class UniPTProcessorKwargs(ProcessingKwargs, total=False):
    """Descriptions are padded to the longest of their batch and cut at 100 tokens, the paper's length."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}


class UniPTProcessor(ProcessorMixin):
    """A `UniPTImageProcessor` and a tokenizer in one; saved and loaded as one folder.

    ``processor(text=..., images=..., return_tensors="pt")`` gives ``input_ids`` and ``attention_mask`` of shape
    (texts, tokens) and ``pixel_values`` of shape (images, 3, height, width), for what was given.
    """

    valid_processor_kwargs = UniPTProcessorKwargs

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(self, images=None, text=None, **kwargs):
        if "max_length" not in kwargs and "max_length" not in kwargs.get("text_kwargs", {}):
            kwargs["max_length"] = min(MAX_TEXT_LENGTH, self.tokenizer.model_max_length)
        return super().__call__(images=images, text=text, **kwargs)


UniPTProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["UniPTProcessor"]
