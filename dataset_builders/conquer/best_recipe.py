"""Conquer by the recipe `best`: several prompts and views, calibrated probabilities, and silence where unsure.

recipe = BestRecipe(Scorer("openai/clip-vit-base-patch16", vocabulary), default_calibration(vocabulary))
embeds, probabilities, chosen = recipe.describe(np.stack([recipe.pixels(image) for image in images]))
"""

import numpy as np
import torch
from torch.nn import functional as F

from ..divide.vocabulary import WHOLE
from .calibration import CORNERS, MIRRORED, REGION


class ViewScorer:
    """What every view of a picture says about every attribute.

    Args:
        scorer: :class:`dataset_builders.conquer.scorer.Scorer`; its vocabulary's further prompts are embedded once, here.
        views: names of the views to look at: "whole", "mirrored", :data:`dataset_builders.conquer.calibration.CORNERS`, and
            keys of the vocabulary's ``regions``. The whole picture is always among them, and first.
    """

    def __init__(self, scorer, views):
        self.scorer = scorer
        self.views = list(dict.fromkeys([WHOLE, *views]))
        self._made = [view for view in self.views if view != MIRRORED]
        attributes = scorer.vocabulary.attributes
        self._prompts = {"first": scorer.prompt_embeds, "all": _ensembles(scorer)}
        sizes = [len(attribute.choices) for attribute in attributes.values()]
        ends = np.cumsum(sizes)
        self._columns = {name: slice(end - size, end) for name, size, end in zip(attributes, sizes, ends, strict=True)}

    def box(self, view):
        """(left, top, right, bottom) of a view, as shares of the picture's width and height.

        A corner's view lacks half a patch of the model at the other edges, so that the patches fall elsewhere.
        """
        if view in CORNERS:
            vision = self.scorer.model.config.vision_config
            less = [vision.patch_size / side / 2 for side in reversed(self.scorer.image_size)]
            left, top = (share * edge for share, edge in zip(less, CORNERS[view], strict=True))
            return left, top, left + 1 - less[0], top + 1 - less[1]
        top, bottom = self.scorer.vocabulary.regions[view]
        return 0.0, top, 1.0, bottom

    def pixels(self, image):
        """(views less the mirrored one, height, width, 3) uint8: each view, squashed to the model's size."""
        sides = (image.width, image.height) * 2
        made = []
        for view in self._made:
            box = tuple(min(share, 1.0) * side for share, side in zip(self.box(view), sides, strict=True))
            made.append(self.scorer.pixels(image, None if view == WHOLE else box))
        return np.stack(made)

    @torch.inference_mode()
    def embed(self, pixels):
        """view -> (N, D) unit embeddings.

        Args:
            pixels: (N, views less the mirrored one, height, width, 3) as :meth:`pixels` gives of each picture.
        """
        made = {view: pixels[:, index] for index, view in enumerate(self._made)}
        if MIRRORED in self.views:
            made[MIRRORED] = made[WHOLE][:, :, ::-1]
        return {view: self.scorer.embed_pixels(np.ascontiguousarray(made[view])) for view in self.views}

    @torch.inference_mode()
    def logits(self, embeds, name, view, prompts):
        """(N, number of choices) logit_scale * cosine of the attribute ``name``.

        Args:
            embeds: as :meth:`embed` gives.
            view: a name of :attr:`views`, or "region", which stands for the attribute's own.
            prompts: "first" or "all".
        """
        view = self.scorer.vocabulary.attributes[name].region if view == REGION else view
        texts = self._prompts[prompts][self._columns[name]]
        return self.scorer.logit_scale * embeds[view].to(texts.device) @ texts.T


def _ensembles(scorer):
    """(number of choices, D): the mean of the unit embeddings of each choice's prompts, made a unit again (CLIP)."""
    choices = [choice for attribute in scorer.vocabulary.attributes.values() for choice in attribute.choices]
    others = [prompt for choice in choices for prompt in choice.prompts[1:]]
    sums = scorer.prompt_embeds.clone()
    if others:
        owners = torch.tensor(
            [index for index, choice in enumerate(choices) for _ in choice.prompts[1:]], device=sums.device
        )
        sums.index_add_(0, owners, scorer.embed_texts(others))
    return F.normalize(sums, dim=-1)


class BestRecipe:
    """Scores with the views and prompts that a calibration gives weight, calibrates, and decides.

    Args:
        scorer: :class:`dataset_builders.conquer.scorer.Scorer`.
        calibration: :class:`dataset_builders.conquer.calibration.Calibration`, of at least the scorer's vocabulary.

    Attributes:
        passes: images that go through the vision tower for each picture.
    """

    def __init__(self, scorer, calibration):
        self.scorer, self.vocabulary = scorer, scorer.vocabulary
        self.calibration = {name: calibration.attributes[name] for name in self.vocabulary.attributes}
        looked_at = {
            self.vocabulary.attributes[name].region if view == REGION else view
            for name, fitted in self.calibration.items()
            for view, weight in fitted.views.items()
            if weight
        }
        possible = [WHOLE, MIRRORED, *CORNERS, *(region for region in self.vocabulary.regions if region != WHOLE)]
        self.views = ViewScorer(scorer, [view for view in possible if view in looked_at])
        self.passes = len(self.views.views)
        self.pixels = self.views.pixels

    @torch.inference_mode()
    def describe(self, pixels):
        """What is seen in N pictures.

        Args:
            pixels: (N, views, height, width, 3) uint8, as :meth:`pixels` gives of each.
        Returns:
            (the whole pictures' (N, D) embeddings, probabilities as they are stored: attribute -> (N, choices), or of
            an attribute of parts part -> (N, values), and list of N dicts, attribute -> ``Choice`` or None)
        """
        embeds = self.views.embed(pixels)
        slots = {}
        for name, fitted in self.calibration.items():
            logits = sum(
                weight * self.views.logits(embeds, name, view, fitted.prompts)
                for view, weight in fitted.views.items()
                if weight
            )
            slots |= calibrated_slots(self.vocabulary.attributes[name], logits.softmax(dim=1).cpu().numpy(), fitted)
        return embeds[WHOLE], stored(slots, self.vocabulary), decide_best(slots, self.vocabulary, self.calibration)


def calibrated_slots(attribute, probabilities, fitted):
    """field -> (N, number of values) calibrated, of (N, number of choices) ``probabilities``."""
    if attribute.parts:
        marginals = attribute.marginals(probabilities)
        tables = {field: marginals[part] for part, field in attribute.part_fields.items()}
    else:
        tables = dict.fromkeys(attribute.fields, probabilities)
    return {field: fitted.slots[field].calibrated(table) for field, table in tables.items()}


def stored(slots, vocabulary):
    """``slots``, field -> (N, values), as the column attribute_probabilities nests them."""
    nested = {}
    for name, attribute in vocabulary.attributes.items():
        if attribute.parts:
            nested[name] = {part: slots[field].astype(np.float32) for part, field in attribute.part_fields.items()}
        else:
            nested[name] = slots[attribute.fields[0]].astype(np.float32)
    return nested


def decide_best(slots, vocabulary, calibration):
    """State the most probable value of each field where it is more probable than its threshold; of two statements that
    exclude each other keep the more probable.

    An optional attribute's value is never stated where it is less probable than its absence.

    Args:
        slots: field -> (N, number of values) calibrated probabilities.
        calibration: attribute -> :class:`dataset_builders.conquer.calibration.AttributeCalibration`.
    Returns:
        List of N dicts, attribute -> ``Choice`` or None, in the vocabulary's order; clothes may be partial.
    """
    columns = {}
    for name, attribute in vocabulary.attributes.items():
        for field, values in attribute.slots.items():
            probabilities = by_value(slots[field], values)
            names, table = list(probabilities), np.stack(list(probabilities.values()), axis=1)
            best = table.argmax(axis=1)
            top = table[np.arange(len(table)), best]
            sure = top > calibration[name].slots[field].threshold
            columns[field] = [
                (names[index], float(p)) if keep and names[index] is not None else None
                for index, p, keep in zip(best, top, sure, strict=True)
            ]
    images = len(next(iter(columns.values())))
    return [
        _consistent({field: column[image] for field, column in columns.items()}, vocabulary) for image in range(images)
    ]


def by_value(probabilities, values):
    """value -> (N,): the columns of ``probabilities`` (N, number of values) that mean the same, summed; None stands for
    absence."""
    sums = {}
    for column, value in enumerate(values):
        sums[value] = sums.get(value, 0) + probabilities[:, column]
    return sums


def _consistent(stated, vocabulary):
    """attribute -> ``Choice`` or None, of ``stated``: field -> (value, probability) or None."""
    stated = {field: said for field, said in stated.items() if said is not None}
    while True:
        chosen = {
            name: attribute.saying({field: stated[field][0] for field in attribute.fields if field in stated})
            for name, attribute in vocabulary.attributes.items()
        }
        broken = vocabulary.contradictions(chosen)
        if not broken:
            return chosen
        del stated[min(broken[0].fields, key=lambda field: stated[field][1])]
