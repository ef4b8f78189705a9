"""Descriptions and images of people to UniPT's inputs."""

from typing import Any

from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs

from .captions_unipt import normal_caption

# from_pretrained looks the class up by name, and the import makes save_pretrained copy its file along with this one.
from .image_processing_unipt import UniPTImageProcessor, opened

MAX_TEXT_LENGTH = 100
CAPTION_FORMS = ("normal", "as-is")


class UniPTProcessorKwargs(ProcessingKwargs, total=False):
    """Descriptions are padded to the longest one of their batch and cut at 100 tokens, the paper's length."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}


class UniPTProcessor(ProcessorMixin):
    """A `UniPTImageProcessor` and a tokenizer, saved to and loaded from one folder.

    ``processor(text=..., images=..., return_tensors="pt")`` returns ``input_ids`` and ``attention_mask`` of shape
    (texts, tokens) for the texts, and ``pixel_values`` of shape (images, 3, height, width) for the images. Either may
    be left out.

    Args:
        image_processor: of the model.
        tokenizer: of the model.
        caption_form: "normal": texts reach the tokenizer in the form of `normal_caption`. "as-is": as they come, for
            models that were trained so.

    Raises:
        ValueError: there is no such form.
    """

    valid_processor_kwargs = UniPTProcessorKwargs

    def __init__(
        self,
        image_processor: UniPTImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        # Folders of older versions do not name it.
        caption_form: str = "normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)
        if caption_form not in CAPTION_FORMS:
            raise ValueError(f"caption_form is {caption_form!r}; it must be one of {', '.join(CAPTION_FORMS)}")
        self.caption_form = caption_form
        if self.tokenizer is not None:
            # Padding on the left would shift the words of a short text to other positions.
            self.tokenizer.padding_side = "right"

    def formed(self, text: str) -> str:
        """A description as its tokens are made of it; see ``caption_form``."""
        return normal_caption(text) if self.caption_form == "normal" else text

    def __call__(self, images: Any = None, text: str | list[str] | None = None, **kwargs: Any) -> BatchFeature:
        """The model's inputs, see the class.

        Args:
            images: one image or a list of images, as `UniPTImageProcessor` takes them.
            text: one description or a list of descriptions.
            kwargs: options of transformers' processors, such as ``return_tensors`` and ``max_length``.
        """
        options = kwargs.get("text_kwargs", {}) | kwargs
        if "max_length" not in options:
            longest = min(MAX_TEXT_LENGTH, self.tokenizer.model_max_length)
            # Texts are filled up to such a multiple, which must not lie beyond the last position of the model.
            multiple = options.get("pad_to_multiple_of") or 1
            kwargs["max_length"] = max(multiple, longest // multiple * multiple)
        if images is not None:
            # transformers itself would take a text for an address and fetch it.
            images = opened(images)
        if isinstance(text, str):
            text = self.formed(text)
        elif text is not None:
            text = [self.formed(each) if isinstance(each, str) else each for each in text]
        return super().__call__(images=images, text=text, **kwargs)


UniPTProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["UniPTProcessor"]
