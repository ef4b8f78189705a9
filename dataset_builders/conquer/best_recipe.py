"""Conquer by the recipe `best`: several prompts and views, calibrated probabilities, and silence where unsure.

recipe = BestRecipe(Scorer("openai/clip-vit-base-patch16", vocabulary), default_calibration(vocabulary))
embeds, probabilities, chosen = recipe.describe(np.stack([recipe.pixels(image) for image in images]))
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from ..divide.vocabulary import WHOLE, Attribute, Chosen, Vocabulary, by_value
from .base import Described, Recipe, StoredProbabilities
from .calibration import CORNERS, MIRRORED, REGION, AttributeCalibration, Calibration
from .scorer import Scorer

# field -> (N, number of values) array of calibrated probabilities
Slots: TypeAlias = dict[str, np.ndarray]


class ViewScorer:
    """What every view of an image says about every attribute.

    Args:
        scorer: its vocabulary's further prompts are embedded once, here.
        views: names of the views to look at: "whole", "mirrored", those of
            :data:`dataset_builders.conquer.calibration.CORNERS`, and keys of the vocabulary's ``regions``.

    Attributes:
        views: the names, each once. The whole image is always among them, and first.
    """

    def __init__(self, scorer: Scorer, views: Iterable[str]) -> None:
        self.scorer = scorer
        self.views = list(dict.fromkeys([WHOLE, *views]))
        # The mirrored view is made of the whole one's pixels, after they have been read.
        self._made = [view for view in self.views if view != MIRRORED]
        self._prompts = {"first": scorer.prompt_embeds, "all": _ensembles(scorer)}
        self._columns = {}
        begin = 0
        for name, attribute in scorer.vocabulary.attributes.items():
            end = begin + len(attribute.choices)
            self._columns[name] = slice(begin, end)
            begin = end

    def box(self, view: str) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a view, as shares of the image's width and height.

        A corner's view lacks half a patch of the model at the other edges, so that the borders between patches fall
        elsewhere than in the whole image.
        """
        if view not in CORNERS:
            top, bottom = self.scorer.vocabulary.regions[view]
            return 0.0, top, 1.0, bottom
        height, width = self.scorer.image_size
        patch = self.scorer.model.config.vision_config.patch_size
        less_wide = patch / width / 2
        less_high = patch / height / 2
        at_left, at_top = CORNERS[view]
        left = less_wide * at_left
        top = less_high * at_top
        return left, top, left + 1 - less_wide, top + 1 - less_high

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Each view but the mirrored one, squashed to the model's size: (views, height, width, 3) uint8."""
        made = []
        for view in self._made:
            if view == WHOLE:
                made.append(self.scorer.pixels(image))
                continue
            # The last digit of a sum may lie above 1, and Pillow refuses a box that is larger than the image.
            left, top, right, bottom = (min(share, 1.0) for share in self.box(view))
            box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
            made.append(self.scorer.pixels(image, box))
        return np.stack(made)

    @torch.inference_mode()
    def embed(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        """Embed each view of N images.

        Args:
            pixels: (N, views, height, width, 3), as :meth:`pixels` gives of each image.

        Returns:
            view -> (N, D) unit embeddings.
        """
        made = {view: pixels[:, index] for index, view in enumerate(self._made)}
        if MIRRORED in self.views:
            made[MIRRORED] = made[WHOLE][:, :, ::-1]
        # torch takes no array with negative strides, such as the mirrored one.
        return {view: self.scorer.embed_pixels(np.ascontiguousarray(made[view])) for view in self.views}

    @torch.inference_mode()
    def logits(
        self, embeds: Mapping[str, torch.Tensor], name: str, view: str, prompts: Literal["first", "all"]
    ) -> torch.Tensor:
        """(N, number of choices) logit_scale * cosine of the attribute ``name``.

        Args:
            embeds: as :meth:`embed` gives them.
            view: a name of :attr:`views`, or "region", which stands for the attribute's own.
            prompts: "all" takes the ensemble of prompts, "first" only the paper's.
        """
        if view == REGION:
            view = self.scorer.vocabulary.attributes[name].region
        texts = self._prompts[prompts][self._columns[name]]
        return self.scorer.logit_scale * embeds[view].to(texts.device) @ texts.T

    def calibrated(self, embeds: Mapping[str, torch.Tensor], name: str, fitted: AttributeCalibration) -> Slots:
        """The calibrated probabilities of the fields of the attribute ``name``.

        Args:
            embeds: as :meth:`embed` gives them, of at least the views that have weight.
        """
        logits = sum(
            weight * self.logits(embeds, name, view, fitted.prompts) for view, weight in fitted.views.items() if weight
        )
        return calibrated_slots(self.scorer.vocabulary.attributes[name], logits.softmax(dim=1).cpu().numpy(), fitted)


def _ensembles(scorer: Scorer) -> torch.Tensor:
    """(number of choices, D): the mean of the unit embeddings of each choice's prompts, made a unit again (CLIP)."""
    choices = [choice for attribute in scorer.vocabulary.attributes.values() for choice in attribute.choices]
    others = []
    owners = []
    for index, choice in enumerate(choices):
        others += choice.prompts[1:]
        owners += [index] * len(choice.prompts[1:])
    # The length of a sum does not matter, since it becomes a unit; so the sum does for the mean.
    sums = scorer.prompt_embeds.clone()
    if others:
        sums.index_add_(0, torch.tensor(owners, device=sums.device), scorer.embed_texts(others))
    return F.normalize(sums, dim=-1)


class BestRecipe(Recipe):
    """Scores with the views and prompts to which a calibration gives weight, calibrates, and decides.

    Args:
        calibration: a calibration of at least the attributes of the scorer's vocabulary.

    Attributes:
        vocabulary: the scorer's.
        calibration: attribute -> its calibration.
        views: what looks at the views.
    """

    def __init__(self, scorer: Scorer, calibration: Calibration) -> None:
        self.scorer = scorer
        self.vocabulary = scorer.vocabulary
        self.calibration = {name: calibration.attributes[name] for name in self.vocabulary.attributes}
        looked_at = set()
        for name, fitted in self.calibration.items():
            for view, weight in fitted.views.items():
                if weight:
                    looked_at.add(self.vocabulary.attributes[name].region if view == REGION else view)
        # A fixed order, so that the same views give the same sums of logits in every run.
        possible = [WHOLE, MIRRORED, *CORNERS, *(region for region in self.vocabulary.regions if region != WHOLE)]
        self.views = ViewScorer(scorer, [view for view in possible if view in looked_at])
        self.passes = len(self.views.views)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """The views of one image, see :meth:`ViewScorer.pixels`."""
        return self.views.pixels(image)

    @torch.inference_mode()
    def describe(self, pixels: np.ndarray) -> Described:
        """What is seen in N images.

        Args:
            pixels: (N, views, height, width, 3) uint8, as :meth:`pixels` gives of each.
        """
        embeds = self.views.embed(pixels)
        slots: Slots = {}
        for name, fitted in self.calibration.items():
            slots |= self.views.calibrated(embeds, name, fitted)
        chosen = decide_best(slots, self.vocabulary, self.calibration)
        return Described(embeds[WHOLE], stored(slots, self.vocabulary), chosen)


def calibrated_slots(attribute: Attribute, probabilities: np.ndarray, fitted: AttributeCalibration) -> Slots:
    """The calibrated probabilities of an attribute's fields.

    Args:
        probabilities: (N, number of choices) array, the scorer's own.
    """
    if attribute.parts:
        marginals = attribute.marginals(probabilities)
        tables = {field: marginals[part] for part, field in attribute.part_fields.items()}
    else:
        tables = dict.fromkeys(attribute.fields, probabilities)
    return {field: fitted.slots[field].calibrated(table) for field, table in tables.items()}


def stored(slots: Slots, vocabulary: Vocabulary) -> StoredProbabilities:
    """``slots`` in float32, nested as the column attribute_probabilities nests them."""
    nested = {}
    for name, attribute in vocabulary.attributes.items():
        if attribute.parts:
            nested[name] = {part: slots[field].astype(np.float32) for part, field in attribute.part_fields.items()}
        else:
            nested[name] = slots[attribute.fields[0]].astype(np.float32)
    return nested


def decide_best(slots: Slots, vocabulary: Vocabulary, calibration: Mapping[str, AttributeCalibration]) -> list[Chosen]:
    """Say what is sure enough.

    * The most probable value of each field is stated if it is more probable than the field's threshold.
    * An optional attribute's value is never stated if it is less probable than its absence.
    * Of two statements that exclude each other the more probable is kept.

    Args:
        slots: calibrated probabilities of N images.
        calibration: attribute -> its calibration.

    Returns:
        For each image, what is said of it; the attributes in the vocabulary's order. Of clothes only some parts may be
        said.
    """
    columns = {}
    for name, attribute in vocabulary.attributes.items():
        for field, values in attribute.slots.items():
            threshold = calibration[name].slots[field].threshold
            columns[field] = _statements(slots[field], values, threshold)
    images = len(next(iter(columns.values())))
    chosen = []
    for image in range(images):
        of_image = {field: column[image] for field, column in columns.items() if column[image] is not None}
        chosen.append(_consistent(of_image, vocabulary))
    return chosen


def _statements(
    probabilities: np.ndarray, values: list[str | None], threshold: float
) -> list[tuple[str, float] | None]:
    """For each of N images, the value of one field that is sure enough and its probability, or None.

    Args:
        probabilities: (N, number of values) array.
        values: what each column stands for.
    """
    sums = by_value(probabilities, values)
    names = list(sums)
    table = np.stack(list(sums.values()), axis=1)
    best = table.argmax(axis=1)
    top = table[np.arange(len(table)), best]
    statements = []
    for index, probability in zip(best, top, strict=True):
        said = names[index] is not None and probability > threshold
        statements.append((names[index], float(probability)) if said else None)
    return statements


def _consistent(stated: dict[str, tuple[str, float]], vocabulary: Vocabulary) -> Chosen:
    """The phrases for what is stated, less the least probable statements that contradict others.

    Args:
        stated: field -> (value, probability).
    """
    stated = dict(stated)
    while True:
        chosen = {}
        for name, attribute in vocabulary.attributes.items():
            chosen[name] = attribute.saying({field: stated[field][0] for field in attribute.fields if field in stated})
        broken = vocabulary.contradictions(chosen)
        if not broken:
            return chosen
        # One statement at a time: what remains may no longer break the other exclusions.
        del stated[min(broken[0].fields, key=lambda field: stated[field][1])]
