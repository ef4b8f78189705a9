"""Calibration: how a scorer's probabilities become ones that can be trusted, as numbers in a JSON file.

``python -m dataset_builders.calibrate`` writes one, from labelled images other than those that are described.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling_unipt.common.user_errors import UserError

from ..divide.vocabulary import WHOLE

CALIBRATION_FILE = "calibration.json"
NO_CALIBRATION = "none"
REGION = "region"
MIRRORED = "mirrored"
CORNERS = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
DEFAULT_THRESHOLDS = {True: 0.5, False: 0.9}  # required: more probable than all else together; optional: the paper's


@dataclass(frozen=True)
class Slot:
    """One field's calibration.

    Attributes:
        temperature: the scorer's own probabilities p become p ** (1 / temperature), made to sum to 1,
        prior: times these numbers, one for each of the slot's values, which sum to 1,
        threshold: and the most probable value is stated where it then is more probable than this.
    """

    temperature: float
    prior: tuple
    threshold: float

    def calibrated(self, probabilities):
        """(N, number of values) float64 array, of one like it."""
        logits = np.log(np.maximum(probabilities, 1e-30, dtype=np.float64)) / self.temperature + np.log(self.prior)
        made = np.exp(logits - logits.max(axis=1, keepdims=True))
        return made / made.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class AttributeCalibration:
    """One attribute's calibration.

    Attributes:
        prompts: "all", the ensemble, or "first", where the others do not help.
        views: "whole", "mirrored", one of ``CORNERS`` (the picture less a narrow strip at the other edges) or "region"
            (the attribute's own) -> weight of the logits that this view of the picture gives. They sum to 1, and a view
            that is not there is not looked at.
        slots: flat field -> :class:`Slot`.
    """

    prompts: str
    views: dict
    slots: dict


@dataclass(frozen=True)
class Calibration:
    """Of one scorer and vocabulary.

    Attributes:
        attributes: name -> :class:`AttributeCalibration`.
        scorer, vocabulary: hashes of what it was fitted for; None for :func:`default_calibration`.
        images: number of labelled images it was fitted on.
    """

    attributes: dict
    scorer: str | None = None
    vocabulary: str | None = None
    images: int = 0

    def write(self, path):
        content = dataclasses.asdict(self)
        Path(path).write_text(json.dumps(_rounded(content), indent=1) + "\n", encoding="utf-8")


def default_calibration(vocabulary):
    """What needs no labels: the scorer's own temperature, even priors, all prompts, and the whole picture, its mirror
    image and the attribute's region alike. A required attribute is stated where it is more probable than all else
    together, an optional one by the paper's threshold."""
    made = {}
    for name, attribute in vocabulary.attributes.items():
        views = [WHOLE, MIRRORED, *([REGION] if attribute.region != WHOLE else [])]
        made[name] = AttributeCalibration(
            prompts="all",
            views={view: 1 / len(views) for view in views},
            slots={
                field: Slot(1.0, (1 / len(values),) * len(values), DEFAULT_THRESHOLDS[attribute.required])
                for field, values in attribute.slots.items()
            },
        )
    return Calibration(made)


def load_calibration(path, scorer, vocabulary):
    """Read a file that :meth:`Calibration.write` wrote.

    Args:
        scorer: :func:`dataset_builders.conquer.scorer_identity.scorer_identity` of the scorer that will be calibrated.
        vocabulary: the whole one; the file is about all its attributes.
    Raises:
        UserError: the file cannot be read, or was fitted for another scorer or vocabulary.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        attributes = {
            name: AttributeCalibration(
                node["prompts"],
                node["views"],
                {
                    field: Slot(slot["temperature"], tuple(slot["prior"]), slot["threshold"])
                    for field, slot in node["slots"].items()
                },
            )
            for name, node in content["attributes"].items()
        }
        calibration = Calibration(attributes, content["scorer"], content["vocabulary"], content["images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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


def find_calibration(scorer_folder, explicit=None):
    """The path of the calibration to use: the one named ("none" for none), else the one beside the scorer, or None."""
    if explicit == NO_CALIBRATION:
        return None
    if explicit:
        return Path(explicit)
    beside = Path(scorer_folder, CALIBRATION_FILE)
    return beside if beside.is_file() else None


def hash_of(scorer_identity):
    """What tells one scorer from another, however its folder is named: its files' hash, or its name on the Hub."""
    return scorer_identity.rpartition(", ")[2]


def hash_of_scored(vocabulary):
    """What tells vocabularies apart to a scorer: regions, prompts and values, not synonyms, comments or templates."""
    scored = [
        (name, vocabulary.regions[attribute.region], [(choice.prompts, choice.value) for choice in attribute.choices])
        for name, attribute in vocabulary.attributes.items()
    ]
    return hashlib.sha256(json.dumps(scored).encode()).hexdigest()[:12]


def _rounded(node):
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_rounded(value) for value in node]
    return float(f"{node:.6g}") if isinstance(node, float) else node
