"""Conquer: a frozen CLIP says how well each phrase fits each image (UniPT, section 3.1).

scorer = Scorer("openai/clip-vit-base-patch16", load_vocabulary())
chosen = decide(scorer.probabilities(images), scorer.vocabulary)
"""

import copy
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_unipt.common.user_errors import UserError

from ..divide.vocabulary import Vocabulary
from .calibration import CALIBRATION_FILE
from .clip_style import ClipStyleModel

# Suffixes of the files that make a model what it is; a README beside them does not.
SCORER_FILES = {".safetensors", ".bin", ".json", ".txt", ".model"}


def scorer_identity(name: str) -> str:
    """The scorer's name and, for a folder, a hash of its files' content. Its calibration is no part of that.

    Raises:
        UserError: ``name`` can be neither a folder that exists nor a name on the Hub.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
            raise UserError(f"scorer '{name}' is neither a folder with a CLIP model nor a name on the Hub")
        return name
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in SCORER_FILES and path.is_file() and path.name != CALIBRATION_FILE:
            digest.update(path.name.encode())
            with open(path, "rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{os.path.basename(os.path.abspath(name))}, {digest.hexdigest()[:12]}"


class Scorer(ClipStyleModel):
    """A CLIP-style model that compares images with the prompts of a vocabulary.

    Args:
        name_or_folder: a CLIP- or SigLIP-style model, see :class:`dataset_builders.conquer.clip_style.ClipStyleModel`.
        vocabulary: its prompts are embedded once, here.
        device: device of the model; None takes a GPU if there is one.
        dtype: precision of the matrix products; None for float32.

    Attributes:
        prompt_embeds: (number of choices of all attributes, D) unit embeddings of the paper's prompts.

    Raises:
        UserError: the name cannot be loaded, or what it holds is not CLIP-style.
    """

    def __init__(
        self,
        name_or_folder: Path | str,
        vocabulary: Vocabulary,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(name_or_folder, "scorer", device, dtype or torch.float32)
        self._take(vocabulary)

    def _take(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        prompts = [choice.prompt for attribute in vocabulary.attributes.values() for choice in attribute.choices]
        self.prompt_embeds = self.embed_texts(prompts)

    def with_vocabulary(self, vocabulary: Vocabulary) -> "Scorer":
        """A scorer that shares this one's weights and knows only ``vocabulary``."""
        other = copy.copy(self)
        other._take(vocabulary)
        return other

    @torch.inference_mode()
    def probabilities_of(self, image_embeds: torch.Tensor) -> dict[str, np.ndarray]:
        """Softmax of logit_scale * cosine over each attribute's choices (paper, section 3.1).

        Args:
            image_embeds: (N, D) unit embeddings, as :meth:`embed_pixels` gives them.

        Returns:
            attribute -> (N, number of choices) float32 array.
        """
        logits = self.logit_scale * image_embeds @ self.prompt_embeds.T
        sizes = [len(attribute.choices) for attribute in self.vocabulary.attributes.values()]
        probabilities = {}
        for name, of_attribute in zip(self.vocabulary.attributes, logits.split(sizes, dim=1), strict=True):
            probabilities[name] = of_attribute.softmax(dim=1).cpu().numpy()
        return probabilities

    def probabilities(self, images: list[Image.Image]) -> dict[str, np.ndarray]:
        """:meth:`probabilities_of` a list of images."""
        return self.probabilities_of(self.embed_pixels(np.stack([self.pixels(image) for image in images])))

    @torch.inference_mode()
    def caption_scores(self, image_embeds: torch.Tensor, captions: list[str]) -> np.ndarray:
        """How well each caption fits its image.

        Args:
            image_embeds: (N, D) unit embeddings.
            captions: N texts.

        Returns:
            (N,) float32 array of cosines.
        """
        return (image_embeds * self.embed_texts(captions)).sum(dim=1).cpu().numpy()
