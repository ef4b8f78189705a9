"""What a recipe is: a way to say what is seen in images."""

from abc import ABC, abstractmethod
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image

from ..divide.vocabulary import Chosen
from .scorer import Scorer

# As the column attribute_probabilities holds them: attribute -> (N, number of choices) array or, if it has parts,
# part -> (N, number of values) array.
StoredProbabilities: TypeAlias = dict[str, np.ndarray | dict[str, np.ndarray]]


class Described(NamedTuple):
    """What a recipe says of N images.

    Attributes:
        embeds: (N, D) unit embeddings of the whole images.
        probabilities: the probabilities as a dataset stores them.
        chosen: for each image what is said of it.
    """

    embeds: torch.Tensor
    probabilities: StoredProbabilities
    chosen: list[Chosen]


class Recipe(ABC):
    """A way to describe images.

    Attributes:
        scorer: the model that compares images with the vocabulary's prompts.
        passes: how many images go through the vision tower for each image that is described.
    """

    scorer: Scorer
    passes: int

    @abstractmethod
    def pixels(self, image: Image.Image) -> np.ndarray:
        """What :meth:`describe` needs of one image, a uint8 array. Threads that read images call this."""

    @abstractmethod
    def describe(self, pixels: np.ndarray) -> Described:
        """What is seen in N images.

        Args:
            pixels: the arrays that :meth:`pixels` gave of them, stacked.
        """
