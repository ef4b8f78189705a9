"""Conquer by the recipe `paper`: one prompt for each phrase, one view of each image, and the paper's thresholds."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from ..divide.vocabulary import Chosen, Vocabulary
from .base import Described, Recipe
from .scorer import Scorer

PAPER_THRESHOLD = 0.9


def decide(
    probabilities: Mapping[str, np.ndarray], vocabulary: Vocabulary, optional_threshold: float = PAPER_THRESHOLD
) -> list[Chosen]:
    """The paper's rule. A required attribute takes its most probable phrase. An optional one is named only if its most
    probable positive phrase has a probability above ``optional_threshold``.

    Args:
        probabilities: attribute -> (N, number of choices) array, as
            :meth:`dataset_builders.conquer.scorer.Scorer.probabilities` gives them.

    Returns:
        For each image, what is said of it; the attributes in the vocabulary's order.
    """
    images = len(next(iter(probabilities.values())))
    chosen: list[Chosen] = [{} for _ in range(images)]
    for name, attribute in vocabulary.attributes.items():
        table = probabilities[name]
        positive = np.array([not choice.negative for choice in attribute.choices])
        # A negative phrase may be the most probable one, and must still never be taken.
        best = np.where(positive, table, -1.0).argmax(axis=1)
        named = attribute.required | (table[np.arange(images), best] > optional_threshold)
        for image, index, keep in zip(chosen, best, np.broadcast_to(named, images), strict=True):
            image[name] = attribute.choices[index] if keep else None
    return chosen


class PaperRecipe(Recipe):
    """The paper's way to describe images; :class:`dataset_builders.conquer.best_recipe.BestRecipe` is the other."""

    passes = 1

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def pixels(self, image: Image.Image) -> np.ndarray:
        """The image squashed to the model's size, (height, width, 3) uint8."""
        return self.scorer.pixels(image)

    def describe(self, pixels: np.ndarray) -> Described:
        """What is seen in N images.

        Args:
            pixels: (N, height, width, 3) uint8, as :meth:`pixels` gives of each.
        """
        vocabulary = self.scorer.vocabulary
        embeds = self.scorer.embed_pixels(pixels)
        probabilities = self.scorer.probabilities_of(embeds)
        stored = {}
        for name, attribute in vocabulary.attributes.items():
            table = probabilities[name]
            # Clothes have hundreds of choices; their parts' probabilities are what can be read and kept.
            stored[name] = attribute.marginals(table) if attribute.parts else table
        return Described(embeds, stored, decide(probabilities, vocabulary))
