"""The LUPerson-T pipeline on one image: divide, conquer (recipe best) and combine, with the numbers of every step."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from transformers.utils import logging

from dataset_builders.combine.captioner import Captioner
from dataset_builders.conquer.base import StoredProbabilities
from dataset_builders.conquer.best_recipe import BestRecipe, by_value
from dataset_builders.conquer.calibration import default_calibration, find_calibration, load_calibration
from dataset_builders.conquer.scorer import Scorer, scorer_identity
from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.divide.vocabulary import Choice, Chosen
from modeling_unipt.common.user_errors import UserError
from unipt_space.settings import SENSITIVE, device, on_gpu

CAPTIONS = 3


@dataclass(frozen=True)
class Fact:
    """What the scorer finds about one field, such as the colour of the upper clothes.

    Attributes:
        field: its name.
        probabilities: the calibrated probability of each value, the largest first; None stands for absence.
        threshold: what the largest probability must exceed for its value to be stated.
        stated: the value that is stated, or None.
        reason: why nothing is stated, or None.
    """

    field: str
    probabilities: dict[str | None, float]
    threshold: float
    stated: str | None
    reason: str | None

    @property
    def most_probable(self) -> str | None:
        """The most probable value; None stands for absence."""
        return next(iter(self.probabilities))


@dataclass(frozen=True)
class Description:
    """What the pipeline says about one image.

    Attributes:
        facts: in the order of the vocabulary.
        captions: (text, cosine of image and text).
        views: names of the parts of the image that were looked at.
        attribute_count: number of attributes.
        prompt_count: number of sentences that each view was compared with.
        template_count: number of sentence templates.
    """

    facts: list[Fact]
    captions: list[tuple[str, float]]
    views: list[str]
    attribute_count: int
    prompt_count: int
    template_count: int


class Describer:
    """Describes images with a frozen CLIP model.

    Args:
        scorer_name: folder or Hub id of a CLIP- or SigLIP-style model. A calibration.json in the folder is used.

    Raises:
        UserError: the model cannot be loaded, or its calibration was fitted for another one.
    """

    def __init__(self, scorer_name: str) -> None:
        vocabulary = load_vocabulary()
        calibration_file = find_calibration(scorer_name)
        if calibration_file:
            calibration = load_calibration(calibration_file, scorer_identity(scorer_name), vocabulary)
        else:
            calibration = default_calibration(vocabulary)
        self.captioner = Captioner(vocabulary, vocabulary.templates_for("best"))
        scorer = Scorer(scorer_name, vocabulary, device())
        # A vocabulary of its own, so that the sensitive attributes are not scored at all unless somebody asks.
        discreet = scorer.with_vocabulary(vocabulary.without(SENSITIVE))
        self._recipes = {True: BestRecipe(scorer, calibration), False: BestRecipe(discreet, calibration)}
        self._score = on_gpu(self._scored)

    def describe(self, image: Image.Image, age_and_gender: bool = False) -> Description:
        """Describe an image. Without ``age_and_gender`` these two are neither scored nor written."""
        recipe = self._recipes[bool(age_and_gender)]
        image = image.convert("RGB")
        pixels = np.stack([recipe.pixels(image)])
        # The captioner draws its templates by the image's name. The same image gives the same captions.
        image_id = hashlib.sha256(image.tobytes()).hexdigest()
        stored, chosen, texts, scores = self._score(bool(age_and_gender), pixels, image_id)
        attributes = recipe.vocabulary.attributes
        facts = []
        prompt_count = 0
        for name, attribute in attributes.items():
            facts += _facts(recipe, name, stored[name], chosen[name])
            prompt_count += sum(len(choice.prompts) for choice in attribute.choices)
        return Description(
            facts=facts,
            captions=list(zip(texts, map(float, scores), strict=True)),
            views=recipe.views.views,
            attribute_count=len(attributes),
            prompt_count=prompt_count,
            template_count=len(self.captioner.template_set.templates),
        )

    def _scored(
        self, age_and_gender: bool, pixels: np.ndarray, image_id: str
    ) -> tuple[StoredProbabilities, Chosen, list[str], np.ndarray]:
        """(stored probabilities, chosen phrases, captions, their cosines with the image), computed on the GPU if any.

        Args:
            pixels: (1, views, height, width, 3) uint8.
        """
        recipe = self._recipes[age_and_gender]
        embeds, stored, (chosen,) = recipe.describe(pixels)
        texts = self.captioner.captions(chosen, seed=0, image_id=image_id, count=CAPTIONS)
        return stored, chosen, texts, recipe.scorer.caption_scores(embeds.expand(len(texts), -1), texts)


def _facts(
    recipe: BestRecipe, name: str, stored: np.ndarray | dict[str, np.ndarray], choice: Choice | None
) -> list[Fact]:
    """The facts of the attribute ``name``, from its stored probabilities and the phrase that was chosen, if any."""
    attribute = recipe.vocabulary.attributes[name]
    slots = recipe.calibration[name].slots
    part_of = {field: part for part, field in attribute.part_fields.items()}
    facts = []
    for field, values in attribute.slots.items():
        row = stored[part_of[field]] if attribute.parts else stored
        probabilities = {value: float(column[0]) for value, column in by_value(row, values).items()}
        ordered = dict(sorted(probabilities.items(), key=lambda item: -item[1]))
        threshold = slots[field].threshold
        stated = choice.value.get(field) if choice is not None else None
        reason = None if stated else _reason(ordered, threshold)
        facts.append(Fact(field, ordered, threshold, stated, reason))
    return facts


def _reason(ordered: Mapping[str | None, float], threshold: float) -> str:
    """Why the most probable value is not stated; ``ordered`` begins with it."""
    value, probability = next(iter(ordered.items()))
    if value is None:
        return "most probably not there"
    if probability <= threshold:
        return f"not sure: the probability is {probability:.0%} and the threshold is {threshold:.0%}"
    return "it contradicts a surer fact, or no phrase says it alone"


def as_json(description: Description) -> dict[str, Any]:
    """What the endpoint /describe returns."""
    attributes = {}
    for fact in description.facts:
        attributes[fact.field] = {
            "stated": fact.stated,
            "reason": fact.reason,
            "threshold": round(fact.threshold, 4),
            "probabilities": {value or "absent": round(each, 4) for value, each in fact.probabilities.items()},
        }
    captions = [{"text": text, "score": round(score, 4)} for text, score in description.captions]
    return {"captions": captions, "attributes": attributes}


def load_describer(scorer_name: str) -> Describer:
    """A `Describer`. The messages of transformers while it loads are kept quiet.

    Raises:
        UserError: see `Describer`.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return Describer(scorer_name)
    except UserError as mistake:
        raise UserError(f"{mistake}; UNIPT_SCORER names the scorer") from None
