"""The models that an evaluation compares: UniPT, and CLIP- or SigLIP-style models of transformers as baselines."""

from collections.abc import Sequence

from PIL import Image
from transformers import AutoConfig, BatchEncoding, BatchFeature, PreTrainedModel

from dataset_builders.conquer.clip_style import ClipStyleModel
from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.loading import load_unipt
from modeling_unipt.processing_unipt import MAX_TEXT_LENGTH, UniPTProcessor

TOKENIZED_AT_ONCE = 1024


class BaselineProcessor:
    """Makes a CLIP-style model's inputs the way `UniPTProcessor` makes UniPT's.

    Args:
        clip: the model that the inputs are for; see it for how images are resized and texts are cut.

    Attributes:
        tokenizer: the model's own.
        image_processor: the model's own.
        max_length: tokens at which a caption is cut.
    """

    def __init__(self, clip: ClipStyleModel) -> None:
        self._clip = clip
        self.tokenizer = clip.tokenizer
        self.image_processor = clip.image_processor
        self.max_length = clip.max_text_tokens

    def formed(self, text: str) -> str:
        """A description as its tokens are made of it: the normal form, as CLIP's own code has it."""
        return normal_caption(text)

    def __call__(
        self,
        text: list[str] | None = None,
        images: Sequence[Image.Image] | None = None,
        return_tensors: str = "pt",
        **steps: bool,
    ) -> BatchEncoding | BatchFeature:
        """The inputs of some texts or of some RGB images.

        Args:
            return_tensors: "pt" or "np", for images; texts always become tensors of PyTorch.
            steps: ``do_rescale`` and ``do_normalize`` of the image processor.
        """
        if text is not None:
            return self._clip.tokenized([self.formed(each) for each in text])
        resized = [self._clip.squashed(image) for image in images]
        return self.image_processor(
            resized, do_resize=False, do_center_crop=False, return_tensors=return_tensors, **steps
        )


Processor = UniPTProcessor | BaselineProcessor


def load_model(name: str) -> tuple[PreTrainedModel, Processor]:
    """A model to evaluate.

    Args:
        name: folder or Hub name of a UniPT model, or of any model of transformers that has ``get_text_features``,
            ``get_image_features`` and ``logit_scale``.

    Returns:
        The model in evaluation mode and its processor, as :mod:`modeling_unipt.embedding` takes them.

    Raises:
        UserError: there is no such model, or it does not compare images with texts.
    """
    try:
        config = AutoConfig.from_pretrained(name)
    except Exception:  # load_unipt says what is wrong with the name
        return load_unipt(name)
    if config.model_type == "unipt":
        return load_unipt(name)
    clip = ClipStyleModel(name)
    # Whoever embeds reads the width of an embedding here, as UniPT's configuration has it. SigLIP has no projection:
    # its embeddings have the width of the text encoder.
    clip.model.config.embedding_dim = getattr(config, "projection_dim", config.text_config.hidden_size)
    return clip.model, BaselineProcessor(clip)


def text_limit(processor: Processor) -> int:
    """The number of tokens, special ones included, at which captions are cut."""
    if isinstance(processor, BaselineProcessor):
        return processor.max_length
    return min(MAX_TEXT_LENGTH, processor.tokenizer.model_max_length)


def count_truncated(processor: Processor, captions: list[str]) -> int:
    """How many of the captions have more tokens than the model takes."""
    limit = text_limit(processor)
    longer = 0
    for start in range(0, len(captions), TOKENIZED_AT_ONCE):
        # verbose=False: transformers would warn of each caption that is too long, which is what is counted here.
        some = [processor.formed(caption) for caption in captions[start : start + TOKENIZED_AT_ONCE]]
        longer += sum(len(tokens) > limit for tokens in processor.tokenizer(some, verbose=False)["input_ids"])
    return longer
