"""A CLIP- or SigLIP-style model of transformers: loaded, checked, and fed with images and texts.

The scorer of LUPerson-T's attributes is such a model, and so is a baseline of the evaluation.

clip = ClipStyleModel("openai/clip-vit-base-patch16")
pixels = np.stack([clip.pixels(image) for image in images])
cosines = clip.embed_pixels(pixels) @ clip.embed_texts(["a man in a red coat"]).T
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, BatchEncoding, PreTrainedModel

# transformers 5.17 hides this name at its top level where torchvision is missing
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.utils import logging as transformers_logging

from modeling_unipt.common.stand_ins import refuse_stand_ins_of_model
from modeling_unipt.common.user_errors import UserError, first_line

# What a model must have so that it can compare images with texts.
NEEDED = ("get_text_features", "get_image_features", "logit_scale")
EXAMPLE = "openai/clip-vit-base-patch16"
# Vocabularies have thousands of prompts; all of them in one batch would need gigabytes.
TEXT_BATCH = 256


class ClipStyleModel:
    """A frozen model of transformers that compares images with texts, beside its tokenizer and image processor.

    Args:
        name: folder or Hub name of any model with ``get_text_features``, ``get_image_features`` and ``logit_scale``.
        role: what the user calls the model, such as "scorer"; it begins the sentence of each error.
        device: device of the model.
        dtype: precision of the matrix products of :meth:`embed_pixels` and :meth:`embed_texts`, by autocast. The
            weights are float32.

    Attributes:
        model: in evaluation mode.
        tokenizer: the model's own.
        image_processor: the model's own; only its resampling, mean and standard deviation are used.
        revision: the model's commit on the Hub, or None.
        image_size: (height, width) in pixels that the vision tower takes.
        resample: how images are resized.
        max_text_tokens: tokens, special ones included, at which a text is cut.

    Raises:
        UserError: the name cannot be loaded, holds no such model, lacks weights, or lacks the tokenizer or the image
            processor.
    """

    def __init__(
        self,
        name: Path | str,
        role: str = "model",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        name = str(name)
        if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
            raise UserError(f"{role} folder {name} holds no config.json; give a folder saved by a CLIP or SigLIP model")
        self.device = torch.device(device)
        self.dtype = dtype
        self.model = load_weights(name, role).eval().requires_grad_(False).to(self.device)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name)
            self.image_processor = AutoImageProcessor.from_pretrained(name)
        except Exception as error:
            refuse_stand_ins_of_model(name)
            raise UserError(
                f"{role} '{name}' lacks its tokenizer or image processor ({first_line(error)}); save them beside it"
            ) from None
        config = self.model.config
        self.revision: str | None = getattr(config, "_commit_hash", None)
        size = config.vision_config.image_size
        self.image_size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self.resample = Image.Resampling(self.image_processor.resample)
        self.max_text_tokens = min(self.tokenizer.model_max_length, config.text_config.max_position_embeddings)
        # SigLIP was trained on texts that are all padded to the full length, and reads others less well.
        self._padding = "max_length" if "siglip" in config.model_type else "longest"
        # A fast tokenizer that two threads use at once may raise "Already borrowed".
        self._tokenizing = threading.Lock()
        # In units of a pixel's value, 0 to 255, so that pixels need no division of their own.
        self._mean = torch.tensor(self.image_processor.image_mean, device=self.device)[:, None, None] * 255
        self._std = torch.tensor(self.image_processor.image_std, device=self.device)[:, None, None] * 255

    @property
    def logit_scale(self) -> torch.Tensor:
        """The factor of the cosines, a scalar tensor."""
        return self.model.logit_scale.float().exp()

    def squashed(self, image: Image.Image, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        """An image at the model's own size, whatever its own proportions are.

        The image is not cropped to its centre, because a centre crop of a standing person has neither head nor feet.

        Args:
            image: in RGB.
            box: (left, top, right, bottom) of the part to take, in pixels that need not be whole; None takes all.
        """
        height, width = self.image_size
        return image.resize((width, height), self.resample, box)

    def pixels(self, image: Image.Image, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
        """:meth:`squashed` of an image in any mode, as a (height, width, 3) uint8 array."""
        return np.array(self.squashed(image.convert("RGB"), box))

    @torch.inference_mode()
    def embed_pixels(self, pixels: np.ndarray) -> torch.Tensor:
        """Embed images.

        Args:
            pixels: (N, height, width, 3) uint8 array, as :meth:`pixels` gives of each image.

        Returns:
            (N, D) float32 unit embeddings.
        """
        values = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        with self._autocast():
            embeds = self.model.get_image_features(pixel_values=(values - self._mean) / self._std).pooler_output
        return F.normalize(embeds.float(), dim=-1)

    def tokenized(self, texts: Sequence[str]) -> BatchEncoding:
        """The texts as tensors of shape (texts, longest of them), cut at ``max_text_tokens``."""
        with self._tokenizing:
            return self.tokenizer(
                list(texts),
                padding=self._padding,
                truncation=True,
                max_length=self.max_text_tokens,
                return_tensors="pt",
            )

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) float32 embeddings of N texts, each of length 1; long texts are cut by :meth:`tokenized`."""
        embeds = []
        for start in range(0, len(texts), TEXT_BATCH):
            encoded = self.tokenized(texts[start : start + TEXT_BATCH]).to(self.device)
            # Some tokenizers give token_type_ids too, which these models do not take.
            given = {name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded}
            with self._autocast():
                embeds.append(self.model.get_text_features(**given).pooler_output.float())
        return F.normalize(torch.cat(embeds), dim=-1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


def load_weights(name: str, role: str) -> PreTrainedModel:
    """Load a model in float32, on the CPU, and check that it is CLIP-style and complete.

    Args:
        role: what the user calls the model.

    Raises:
        UserError: the name cannot be loaded, holds another kind of model, or lacks weights.
    """
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # OSError, ValueError, SafetensorError, errors of the Hub: no model of this name
        refuse_stand_ins_of_model(name)
        raise UserError(f"{role} '{name}' cannot be loaded as a folder or from the Hub ({first_line(error)})") from None
    finally:
        if bar:
            transformers_logging.enable_progress_bar()
    if not all(hasattr(model, attribute) for attribute in NEEDED) or not hasattr(model.config, "vision_config"):
        raise UserError(
            f"{role} '{name}' is a {type(model).__name__}, which does not compare images with texts; "
            f"give a CLIP- or SigLIP-style model, such as {EXAMPLE}"
        )
    # transformers fills what is missing with random weights, whose embeddings would mean nothing.
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise UserError(
            f"the weights of {role} '{name}' are incomplete: {len(missing)} are missing, the first {missing[0]}"
        )
    return model
