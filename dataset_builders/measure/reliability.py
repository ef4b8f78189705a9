"""How far what was said can be relied on: statements counted, and probabilities against how often they come true."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from ..divide.vocabulary import Chosen, Truth, Vocabulary, by_value

BINS = 15


class FieldStatements(TypedDict, total=False):
    """What was said of one field.

    Attributes:
        required: whether the field belongs to a required attribute.
        accuracy: share of the statements that are true; None if nothing is stated.
        stated: share of the images of which it is stated.
        abstained: of the images that have a value of it, the share of which nothing is stated; None if there are none.
        calibration_error: see :func:`calibration_error`; added by
            :func:`dataset_builders.measure.comparison.compare` only.
    """

    required: bool
    accuracy: float | None
    stated: float
    abstained: float | None
    calibration_error: float


class Statements(TypedDict):
    """What was said of some images, counted.

    Attributes:
        fields: flat field -> its counts.
        false_share: share of all statements that are false; None if nothing is stated.
        true_per_image: true statements, averaged over the images.
        stated_per_image: all statements, averaged over the images.
    """

    fields: dict[str, FieldStatements]
    false_share: float | None
    true_per_image: float
    stated_per_image: float


def statements(said: Sequence[Chosen], truth: Sequence[Truth], vocabulary: Vocabulary) -> Statements:
    """Count what was said of each image against what is true of it.

    A required field is a statement if it has a value (clothes are three), an optional one if the thing is said to be
    there. What is left open is an abstention, neither true nor false.

    Args:
        said: for each image, what was said of it.
        truth: for each image, what is true of it; in the same order.
    """
    fields = {}
    all_stated = 0
    all_right = 0
    for name, attribute in vocabulary.attributes.items():
        for field in attribute.fields:
            pairs = said_and_true(said, truth, name, field)
            stated = sum(value is not None for value, _ in pairs)
            right = sum(value is not None and value == known for value, known in pairs)
            present = [value for value, known in pairs if known is not None]
            fields[field] = {
                "required": attribute.required,
                "accuracy": right / stated if stated else None,
                "stated": stated / len(pairs),
                "abstained": present.count(None) / len(present) if present else None,
            }
            all_stated += stated
            all_right += right
    return {
        "fields": fields,
        "false_share": (all_stated - all_right) / all_stated if all_stated else None,
        "true_per_image": all_right / len(truth),
        "stated_per_image": all_stated / len(truth),
    }


def said_and_true(
    said: Sequence[Chosen], truth: Sequence[Truth], name: str, field: str
) -> list[tuple[str | None, str | None]]:
    """For each image, (the value that was said of ``field``, its true value); ``name`` is the field's attribute."""
    pairs = []
    for chosen, known in zip(said, truth, strict=True):
        choice = chosen[name]
        pairs.append((choice.value[field] if choice is not None else None, known[field]))
    return pairs


def calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: the mean, over the images, of |confidence - how often such ones are right| in 15 bins
    of equal width (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Args:
        confidences: (N,) array, the probability of each image's most probable value.
        right: (N,) array, whether that is the true value.
    """
    # A probability of exactly 1 would fall into a bin of its own.
    bins = np.minimum((np.asarray(confidences) * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, confidences, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / counts.sum())


class MostProbable(NamedTuple):
    """The most probable value of one field, for each of N images.

    Attributes:
        confidences: (N,) array, the probability of that value.
        values: the value's name, None for absence.
        right: (N,) array, whether the value is the true one.
    """

    confidences: np.ndarray
    values: list[str | None]
    right: np.ndarray


def most_probable(probabilities: np.ndarray, values: list[str | None], known: Sequence[str | None]) -> MostProbable:
    """The most probable value of each image, and whether it is true.

    Args:
        probabilities: (N, number of columns); columns that stand for the same value are summed.
        values: what the columns stand for, as :attr:`dataset_builders.divide.vocabulary.Attribute.slots` has it.
        known: the N true values.
    """
    sums = by_value(probabilities, values)
    names = list(sums)
    table = np.stack(list(sums.values()), axis=1)
    best = table.argmax(axis=1)
    stated = [names[index] for index in best]
    right = np.array([value == true for value, true in zip(stated, known, strict=True)])
    return MostProbable(table[np.arange(len(table)), best], stated, right)


def calibration_errors(
    slots: Mapping[str, np.ndarray], truth: Sequence[Truth], vocabulary: Vocabulary
) -> dict[str, float]:
    """The calibration error of each field.

    Args:
        slots: field -> (N, number of values) array of probabilities.
        truth: what is true of each of the N images.
    """
    errors = {}
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            top = most_probable(slots[field], values, [known[field] for known in truth])
            errors[field] = calibration_error(top.confidences, top.right)
    return errors
