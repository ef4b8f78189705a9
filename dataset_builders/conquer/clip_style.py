"""A CLIP- or SigLIP-style model of transformers: how it is loaded, and how images and texts are made its inputs.

The scorer of LUPerson-T's attributes is such a model, and so is a baseline of the evaluation.
"""

import os
from collections.abc import Sequence

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, BatchEncoding
from transformers.utils import logging as transformers_logging

from modeling_unipt.common.user_errors import UserError, first_line

NEEDED = ("get_text_features", "get_image_features", "logit_scale")
EXAMPLE = "openai/clip-vit-base-patch16"


class ClipStyleModel:
    """Any model of transformers that compares images with texts, beside its tokenizer and image processor.

    Args:
        name: folder or Hub name.
        role: what the user calls the model, such as "scorer"; it begins the sentence of each error.

    Attributes:
        model: float32, in evaluation mode, on the CPU.
        tokenizer: the model's own.
        image_processor: the model's own; only its resampling, mean and standard deviation are used.
        image_size: (height, width) in pixels that the vision tower takes.
        max_text_tokens: tokens, special ones included, at which a text is cut.

    Raises:
        UserError: the name cannot be loaded, holds no such model, lacks weights, or lacks the tokenizer or the image
            processor.
    """

    def __init__(self, name: str, role: str = "model") -> None:
        if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
            raise UserError(f"{role} folder {name} holds no config.json; give a folder saved by a CLIP or SigLIP model")
        self.model = _load_model(name, role).eval()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name)
            self.image_processor = AutoImageProcessor.from_pretrained(name)
        except Exception as error:
            raise UserError(
                f"{role} '{name}' lacks its tokenizer or image processor ({first_line(error)}); save them beside it"
            ) from None
        config = self.model.config
        size = config.vision_config.image_size
        self.image_size = (size, size) if isinstance(size, int) else tuple(size)
        self.max_text_tokens = min(self.tokenizer.model_max_length, config.text_config.max_position_embeddings)
        # SigLIP was trained on texts that are all padded to the full length, and reads others less well.
        self._padding = "max_length" if "siglip" in config.model_type else "longest"

    def squashed(self, image: Image.Image, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        """An image at the model's own size, whatever its own proportions are.

        The image is not cropped to its centre, because a centre crop of a standing person has neither head nor feet.

        Args:
            image: in RGB.
            box: (left, top, right, bottom) of the part to take, in pixels that need not be whole; None takes all.
        """
        height, width = self.image_size
        return image.resize((width, height), Image.Resampling(self.image_processor.resample), box)

    def tokenized(self, texts: Sequence[str]) -> BatchEncoding:
        """The texts as tensors of shape (texts, longest of them), cut at ``max_text_tokens``."""
        return self.tokenizer(
            list(texts),
            padding=self._padding,
            truncation=True,
            max_length=self.max_text_tokens,
            return_tensors="pt",
        )


def _load_model(name: str, role: str) -> torch.nn.Module:
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # OSError, ValueError, SafetensorError, errors of the Hub: no model of this name
        raise UserError(f"{role} '{name}' cannot be loaded as a folder or from the Hub ({first_line(error)})") from None
    finally:
        if bar:
            transformers_logging.enable_progress_bar()
    if not all(hasattr(model, attribute) for attribute in NEEDED) or not hasattr(model.config, "vision_config"):
        raise UserError(
            f"{role} '{name}' is a {type(model).__name__}, which does not compare images with texts; "
            f"give a CLIP- or SigLIP-style model, such as {EXAMPLE}"
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise UserError(
            f"the weights of {role} '{name}' are incomplete: {len(missing)} are missing, the first {missing[0]}"
        )
    return model
