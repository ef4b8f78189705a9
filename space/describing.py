"""The LUPerson-T pipeline on one picture: divide, conquer (recipe best) and combine, with the numbers of every step."""

import copy
import hashlib
from dataclasses import dataclass

from modeling_unipt.common.user_errors import UserError
from unipt_space.gpu import device, on_gpu
from unipt_space.settings import SENSITIVE

CAPTIONS = 3


@dataclass(frozen=True)
class Fact:
    """What the scorer holds of one field, such as the colour of the upper clothes.

    Attributes:
        field: its name.
        probabilities: value -> calibrated probability, the largest first; None stands for absence.
        threshold: what the largest must exceed.
        stated: the value that is stated, or None.
        reason: why nothing is stated, or None.
    """

    field: str
    probabilities: dict
    threshold: float
    stated: str | None
    reason: str | None


@dataclass(frozen=True)
class Description:
    """Of one picture.

    Attributes:
        facts: list of `Fact`, in the vocabulary's order.
        captions: list of (text, cosine of picture and text).
        views: names of the views that were looked at.
        attributes, prompts: numbers of attributes, and of sentences compared with every view.
        templates: number of sentence templates.
    """

    facts: list
    captions: list
    views: list
    attributes: int
    prompts: int
    templates: int


class Describer:
    """Describes pictures with a frozen CLIP.

    Args:
        scorer_name: folder or Hub id of a CLIP- or SigLIP-style model; a calibration.json in the folder is used.

    Raises:
        UserError: it cannot be loaded, or its calibration was fitted for another one.
    """

    def __init__(self, scorer_name):
        from dataset_builders.combine.captioner import Captioner
        from dataset_builders.conquer.best_recipe import BestRecipe
        from dataset_builders.conquer.calibration import default_calibration, find_calibration, load_calibration
        from dataset_builders.conquer.scorer import Scorer
        from dataset_builders.divide.reading import load_vocabulary
        from dataset_builders.luperson_t.build import scorer_identity

        vocabulary = load_vocabulary()
        path, identity = find_calibration(scorer_name), scorer_identity(scorer_name)
        calibration = load_calibration(path, identity, vocabulary) if path else default_calibration(vocabulary)
        self.captioner = Captioner(vocabulary, vocabulary.templates_for("best"))
        scorer = Scorer(scorer_name, vocabulary, device())
        discreet = _with_vocabulary(scorer, vocabulary.without(SENSITIVE))
        self._recipes = {True: BestRecipe(scorer, calibration), False: BestRecipe(discreet, calibration)}
        self._score = on_gpu(self._scored)

    def describe(self, image, age_and_gender=False):
        """The `Description` of a ``PIL.Image``; without ``age_and_gender`` these are neither scored nor written."""
        import numpy as np

        recipe = self._recipes[bool(age_and_gender)]
        image = image.convert("RGB")
        pixels, image_id = np.stack([recipe.pixels(image)]), hashlib.sha256(image.tobytes()).hexdigest()
        stored, chosen, texts, scores = self._score(bool(age_and_gender), pixels, image_id)
        attributes = recipe.vocabulary.attributes
        return Description(
            facts=[fact for name in attributes for fact in _facts(recipe, name, stored[name], chosen[name])],
            captions=list(zip(texts, map(float, scores), strict=True)),
            views=recipe.views.views,
            attributes=len(attributes),
            prompts=sum(len(choice.prompts) for attribute in attributes.values() for choice in attribute.choices),
            templates=len(self.captioner.template_set.templates),
        )

    def _scored(self, age_and_gender, pixels, image_id):
        """(stored probabilities, chosen phrases, captions, their cosines with the picture)."""
        recipe = self._recipes[age_and_gender]
        embeds, stored, (chosen,) = recipe.describe(pixels)
        texts = self.captioner.captions(chosen, seed=0, image_id=image_id, count=CAPTIONS)
        return stored, chosen, texts, recipe.scorer.caption_scores(embeds.expand(len(texts), -1), texts)


def _with_vocabulary(scorer, vocabulary):
    """The same scorer, its weights shared, that knows only ``vocabulary``."""
    scorer = copy.copy(scorer)
    scorer.vocabulary = vocabulary
    scorer.prompt_embeds = scorer.embed_texts(
        [choice.prompt for attribute in vocabulary.attributes.values() for choice in attribute.choices]
    )
    return scorer


def _facts(recipe, name, stored, choice):
    """The `Fact`s of one attribute, from its stored probabilities and the phrase that was chosen."""
    from dataset_builders.conquer.best_recipe import by_value

    attribute, slots = recipe.vocabulary.attributes[name], recipe.calibration[name].slots
    part_of = {field: part for part, field in attribute.part_fields.items()}
    facts = []
    for field, values in attribute.slots.items():
        row = stored[part_of[field]] if attribute.parts else stored
        probabilities = {value: float(column[0]) for value, column in by_value(row, values).items()}
        ordered = dict(sorted(probabilities.items(), key=lambda item: -item[1]))
        best, threshold = next(iter(ordered)), slots[field].threshold
        said = choice.value.get(field) if choice is not None else None
        facts.append(Fact(field, ordered, threshold, said, None if said else _reason(best, ordered[best], threshold)))
    return facts


def _reason(best, probability, threshold):
    if best is None:
        return "most probably not there"
    if probability <= threshold:
        return f"not sure: {probability:.0%}, and more than {threshold:.0%} is asked for"
    return "it contradicts something surer, or no phrase says it alone"


def as_json(description):
    """What the endpoint /describe returns."""
    return {
        "captions": [{"text": text, "score": round(score, 4)} for text, score in description.captions],
        "attributes": {
            fact.field: {
                "stated": fact.stated,
                "reason": fact.reason,
                "threshold": round(fact.threshold, 4),
                "probabilities": {value or "absent": round(p, 4) for value, p in fact.probabilities.items()},
            }
            for fact in description.facts
        },
    }


def load_describer(scorer_name):
    """`Describer`, with what the scorer's library says on loading kept quiet.

    Raises:
        UserError: see `Describer`.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return Describer(scorer_name)
    except UserError as mistake:
        raise UserError(f"{mistake}; UNIPT_SCORER names the scorer") from None
