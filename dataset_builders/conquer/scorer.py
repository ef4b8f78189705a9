"""Conquer: a frozen CLIP says how well each phrase fits each image (UniPT, section 3.1).

scorer = Scorer("openai/clip-vit-base-patch16", load_vocabulary())
chosen = decide(scorer.probabilities(images), scorer.vocabulary)
"""

import os
import threading

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from modeling_unipt.common.user_errors import UserError, first_line

PAPER_THRESHOLD = 0.9
TEXT_BATCH = 256


def decide(probabilities, vocabulary, optional_threshold=PAPER_THRESHOLD):
    """The paper's rule: required attributes take their arg-max; an optional one is named only when its most probable
    positive phrase has a probability above ``optional_threshold``.

    Args:
        probabilities: attribute -> (N, number of choices) array, as :meth:`Scorer.probabilities` gives.
    Returns:
        List of N dicts, attribute -> ``Choice`` or None, in the vocabulary's order.
    """
    images = len(next(iter(probabilities.values())))
    chosen = [{} for _ in range(images)]
    for name, attribute in vocabulary.attributes.items():
        positive = np.array([not choice.negative for choice in attribute.choices])
        best = np.where(positive, probabilities[name], -1.0).argmax(axis=1)
        named = attribute.required | (probabilities[name][np.arange(images), best] > optional_threshold)
        for image, index, keep in zip(chosen, best, np.broadcast_to(named, images), strict=True):
            image[name] = attribute.choices[index] if keep else None
    return chosen


class PaperRecipe:
    """The paper's way to describe pictures; :class:`dataset_builders.conquer.best_recipe.BestRecipe` is the other.

    Attributes:
        passes: images that go through the vision tower for each picture.
    """

    passes = 1

    def __init__(self, scorer):
        self.scorer = scorer
        self.pixels = scorer.pixels

    def describe(self, pixels):
        """What is seen in N pictures.

        Args:
            pixels: (N, height, width, 3) uint8, as :meth:`pixels` gives of each.
        Returns:
            ((N, D) embeddings, probabilities as they are stored: attribute -> (N, choices), or of an attribute of parts
            part -> (N, values), and list of N dicts, attribute -> ``Choice`` or None)
        """
        embeds, vocabulary = self.scorer.embed_pixels(pixels), self.scorer.vocabulary
        probabilities = self.scorer.probabilities_of(embeds)
        stored = {
            name: attribute.marginals(probabilities[name]) if attribute.parts else probabilities[name]
            for name, attribute in vocabulary.attributes.items()
        }
        return embeds, stored, decide(probabilities, vocabulary)


class Scorer:
    """A frozen CLIP- or SigLIP-style model that compares images with the prompts of a vocabulary.

    Args:
        name_or_folder: any transformers model with ``get_text_features``, ``get_image_features`` and ``logit_scale``.
        vocabulary: see :func:`dataset_builders.divide.reading.load_vocabulary`; its prompts are embedded once, here.
        device: of the model; None takes a GPU where there is one.
        dtype: torch dtype of the matrix products (by autocast), None for float32.

    Attributes:
        revision: the model's commit on the Hub, or None.
        prompt_embeds: (number of choices of all attributes, D) unit embeddings of the paper's prompts.

    Raises:
        UserError: the name cannot be loaded, or what it holds is not CLIP-style.
    """

    def __init__(self, name_or_folder, vocabulary, device=None, dtype=None):
        self.vocabulary = vocabulary
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = dtype or torch.float32
        self.model, self.tokenizer, image_processor = _load(name_or_folder)
        self.revision = getattr(self.model.config, "_commit_hash", None)
        self._tokenizing = threading.Lock()  # a fast tokenizer in use by two threads may raise "Already borrowed"
        self.model.eval().requires_grad_(False).to(self.device)
        size = self.model.config.vision_config.image_size
        self.image_size = (size, size) if isinstance(size, int) else tuple(size)
        self.resample = Image.Resampling(image_processor.resample)
        self._mean = torch.tensor(image_processor.image_mean, device=self.device)[:, None, None] * 255
        self._std = torch.tensor(image_processor.image_std, device=self.device)[:, None, None] * 255
        prompts = [choice.prompt for attribute in vocabulary.attributes.values() for choice in attribute.choices]
        self.prompt_embeds = self.embed_texts(prompts)

    def pixels(self, image, box=None):
        """An RGB ``PIL.Image`` squashed to the model's own size, (height, width, 3) uint8.

        Squashed, not cropped to its centre: a centre crop of a standing person has neither head nor feet.

        Args:
            box: (left, top, right, bottom) in pixels, which need not be whole, of the part to take; None for all of it.
        """
        height, width = self.image_size
        return np.array(image.convert("RGB").resize((width, height), self.resample, box))

    def _autocast(self):
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    @property
    def logit_scale(self):
        """The factor of the cosines."""
        return self.model.logit_scale.float().exp()

    @torch.inference_mode()
    def embed_pixels(self, pixels):
        """(N, D) float32 unit embeddings of ``pixels``, (N, height, width, 3) uint8 array."""
        values = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        with self._autocast():
            embeds = self.model.get_image_features(pixel_values=(values - self._mean) / self._std).pooler_output
        return F.normalize(embeds.float(), dim=-1)

    @torch.inference_mode()
    def embed_texts(self, texts):
        """(N, D) float32 unit embeddings of a list of texts, cut to the model's longest."""
        limit = self.model.config.text_config.max_position_embeddings
        padding = "max_length" if "siglip" in self.model.config.model_type else "longest"  # SigLIP was trained so
        embeds = []
        for start in range(0, len(texts), TEXT_BATCH):
            with self._tokenizing:
                encoded = self.tokenizer(
                    texts[start : start + TEXT_BATCH],
                    padding=padding,
                    truncation=True,
                    max_length=min(limit, self.tokenizer.model_max_length),
                    return_tensors="pt",
                )
            encoded = encoded.to(self.device)
            given = {name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded}
            with self._autocast():
                embeds.append(self.model.get_text_features(**given).pooler_output.float())
        return F.normalize(torch.cat(embeds), dim=-1)

    @torch.inference_mode()
    def probabilities_of(self, image_embeds):
        """Softmax of logit_scale * cosine over each attribute's choices (paper, section 3.1).

        Args:
            image_embeds: (N, D) as :meth:`embed_pixels` gives.
        Returns:
            attribute -> (N, number of choices) float32 array.
        """
        logits = self.logit_scale * image_embeds @ self.prompt_embeds.T
        sizes = [len(attribute.choices) for attribute in self.vocabulary.attributes.values()]
        parts = logits.split(sizes, dim=1)
        return {
            name: part.softmax(dim=1).cpu().numpy()
            for name, part in zip(self.vocabulary.attributes, parts, strict=True)
        }

    def probabilities(self, images):
        """:meth:`probabilities_of` a list of ``PIL.Image``."""
        return self.probabilities_of(self.embed_pixels(np.stack([self.pixels(image) for image in images])))

    @torch.inference_mode()
    def caption_scores(self, image_embeds, captions):
        """(N,) float32 array: cosine of each image's embedding (N, D) and its caption's."""
        return (image_embeds * self.embed_texts(captions)).sum(dim=1).cpu().numpy()


def _load(name):
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        raise UserError(f"scorer folder {name} holds no config.json; give a folder saved by a CLIP or SigLIP model")
    try:
        model = AutoModel.from_pretrained(name, dtype=torch.float32)
    except Exception as error:  # OSError, ValueError, SafetensorError, hub errors: all mean "no model at this name"
        raise UserError(f"scorer '{name}' cannot be loaded as a folder or from the Hub ({first_line(error)})") from None
    wanted = ("get_text_features", "get_image_features", "logit_scale")
    if not all(hasattr(model, attribute) for attribute in wanted) or not hasattr(model.config, "vision_config"):
        raise UserError(
            f"scorer '{name}' is a {type(model).__name__}, which does not compare images with texts; "
            "give a CLIP- or SigLIP-style model, such as openai/clip-vit-base-patch16"
        )
    try:
        return model, AutoTokenizer.from_pretrained(name), AutoImageProcessor.from_pretrained(name)
    except Exception as error:
        raise UserError(
            f"scorer '{name}' lacks its tokenizer or image processor ({first_line(error)}); save them beside it"
        ) from None
