"""Calibration: how a scorer's probabilities become ones that can be trusted, as numbers in a JSON file.

``python -m dataset_builders.calibrate`` writes one, from labelled images other than those that are described.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modeling_unipt.common.atomic_files import write_text
from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError

from ..divide.vocabulary import WHOLE, Vocabulary

CALIBRATION_FILE = "calibration.json"
# The value of --calibration that asks for none.
NO_CALIBRATION = "none"

# Names of views of an image. "region" stands for the region of the attribute that is looked at.
REGION = "region"
MIRRORED = "mirrored"
# A corner's view keeps that corner and lacks a narrow strip along two edges. Corner -> (left, top): 1 if the strip is
# cut off at that edge, 0 if it is cut off at the opposite edge.
CORNERS = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}

# A value of a required attribute must be more probable than all others together; for an optional one the paper's
# threshold holds.
REQUIRED_THRESHOLD = 0.5
OPTIONAL_THRESHOLD = 0.9

# Smaller probabilities count as this one, because log(0) is infinite.
LEAST_PROBABILITY = 1e-30


@dataclass(frozen=True)
class Slot:
    """One field's calibration.

    A scorer's probability p becomes p ** (1 / temperature) * prior; then all of them are scaled to sum to 1.

    Attributes:
        temperature: above 1 it makes the scorer less sure of itself.
        prior: one number for each of the field's probabilities; they sum to 1.
        threshold: the most probable value is stated if it is more probable than this.
    """

    temperature: float
    prior: tuple[float, ...]
    threshold: float

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """(N, number of values) float64 array of calibrated probabilities, of one of the scorer's own."""
        own = np.log(np.maximum(probabilities, LEAST_PROBABILITY, dtype=np.float64))
        logits = own / self.temperature + np.log(self.prior)
        # Less their maximum, so that exp neither overflows nor gives zeros alone.
        made = np.exp(logits - logits.max(axis=1, keepdims=True))
        return made / made.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class AttributeCalibration:
    """One attribute's calibration.

    Attributes:
        prompts: "all" takes the ensemble of prompts, "first" only the paper's, if the others do not help.
        views: name of a view -> the weight of the logits that it gives. A view is "whole", "mirrored", one of
            ``CORNERS`` (the image without a narrow strip at the other edges) or "region" (the attribute's own). The
            weights sum to 1, and a view without weight is not looked at.
        slots: flat field -> its calibration.
    """

    prompts: Literal["first", "all"]
    views: dict[str, float]
    slots: dict[str, Slot]

    def with_threshold(self, threshold: float) -> "AttributeCalibration":
        """The same with this threshold in every slot."""
        slots = {field: dataclasses.replace(slot, threshold=threshold) for field, slot in self.slots.items()}
        return dataclasses.replace(self, slots=slots)


@dataclass(frozen=True)
class Calibration:
    """The calibration of one scorer for one vocabulary.

    Attributes:
        attributes: attribute -> its calibration.
        scorer: :func:`hash_of` the scorer for which it was fitted; None for :func:`default_calibration`.
        vocabulary: :func:`hash_of_scored` of the vocabulary for which it was fitted, or None.
        images: number of labelled images on which it was fitted.
    """

    attributes: dict[str, AttributeCalibration]
    scorer: str | None = None
    vocabulary: str | None = None
    images: int = 0

    def write(self, path: Path | str) -> None:
        """Replace the file ``path`` by this calibration, as JSON.

        Raises:
            OSError: the folder is missing or cannot be written to, or the disk is full. The old file then stays.
        """
        content = _rounded(dataclasses.asdict(self))
        write_text(path, json.dumps(content, indent=1) + "\n")


def default_calibration(vocabulary: Vocabulary) -> Calibration:
    """A calibration that needs no labelled images.

    It takes the scorer's own temperature, even priors and all prompts. The whole image, its mirror image and the
    attribute's region have the same weight. A required attribute is stated if it is more probable than all else
    together, an optional one by the paper's threshold.
    """
    made = {}
    for name, attribute in vocabulary.attributes.items():
        views = [WHOLE, MIRRORED]
        if attribute.region != WHOLE:
            views.append(REGION)
        threshold = REQUIRED_THRESHOLD if attribute.required else OPTIONAL_THRESHOLD
        slots = {}
        for field, values in attribute.slots.items():
            slots[field] = Slot(1.0, (1 / len(values),) * len(values), threshold)
        made[name] = AttributeCalibration("all", {view: 1 / len(views) for view in views}, slots)
    return Calibration(made)


def load_calibration(path: Path | str, scorer: str, vocabulary: Vocabulary) -> Calibration:
    """Read a file that :meth:`Calibration.write` wrote.

    Args:
        scorer: :func:`dataset_builders.conquer.scorer.scorer_identity` of the scorer that will be calibrated.
        vocabulary: the whole one; the file is about all its attributes.

    Raises:
        UserError: the file cannot be read, or was fitted for another scorer or vocabulary.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        attributes = {name: _read_attribute(node) for name, node in content["attributes"].items()}
        calibration = Calibration(attributes, content["scorer"], content["vocabulary"], content["images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        refuse_stand_in(path)
        raise UserError(
            f"calibration {path} cannot be read ({type(error).__name__}); make one with "
            "python -m dataset_builders.calibrate"
        ) from None
    for what, fitted, given in (
        ("scorer", calibration.scorer, hash_of(scorer)),
        ("vocabulary", calibration.vocabulary, hash_of_scored(vocabulary)),
    ):
        if fitted != given:
            raise UserError(
                f"calibration {path} was fitted for the {what} {fitted}, not for {given}; fit it anew with "
                f"python -m dataset_builders.calibrate, or do without by --calibration {NO_CALIBRATION}"
            )
    return calibration


def _read_attribute(node: dict[str, Any]) -> AttributeCalibration:
    slots = {}
    for field, slot in node["slots"].items():
        slots[field] = Slot(slot["temperature"], tuple(slot["prior"]), slot["threshold"])
    return AttributeCalibration(node["prompts"], node["views"], slots)


def find_calibration(scorer_folder: Path | str, explicit: Path | str | None = None) -> Path | None:
    """The path of the calibration to use, or None.

    Args:
        scorer_folder: folder or Hub name of the scorer; a ``calibration.json`` in the folder is found.
        explicit: the file that the user named, or "none" if the user wants no calibration.
    """
    if explicit == NO_CALIBRATION:
        return None
    if explicit:
        return Path(explicit)
    beside = Path(scorer_folder, CALIBRATION_FILE)
    return beside if beside.is_file() else None


def hash_of(scorer_identity: str) -> str:
    """What tells one scorer from another, however its folder is named: its files' hash, or its name on the Hub."""
    return scorer_identity.rpartition(", ")[2]


def hash_of_scored(vocabulary: Vocabulary) -> str:
    """A hash of what a scorer sees of a vocabulary: regions, prompts and values.

    Synonyms, comments and templates do not change it, so a calibration survives changes of those.
    """
    scored = []
    for name, attribute in vocabulary.attributes.items():
        choices = [(choice.prompts, choice.value) for choice in attribute.choices]
        scored.append((name, vocabulary.regions[attribute.region], choices))
    return hashlib.sha256(json.dumps(scored).encode()).hexdigest()[:12]


def _rounded(node: Any) -> Any:
    """JSON-able content with six digits of each number, which is more than a fit is exact to."""
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_rounded(value) for value in node]
    return float(f"{node:.6g}") if isinstance(node, float) else node
