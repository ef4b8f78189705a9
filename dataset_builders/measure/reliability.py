"""How far what was said can be relied on: statements counted, and probabilities against how often they come true."""

import numpy as np

from ..conquer.best_recipe import by_value

BINS = 15


def statements(said, truth, vocabulary):
    """Count what was said of each image against what is true of it.

    A required field is a statement where it has a value (clothes are three), an optional one where the thing is said to
    be there. What is left open is an abstention, neither true nor false.

    Args:
        said: one dict an image, attribute -> ``Choice`` or None.
        truth: one dict an image, flat field -> value or None; same order.
    Returns:
        JSON-able dict: ``fields``: field -> {required, accuracy of what is stated or None, stated: share of the images,
        abstained: share of the images that have a value of it and of which nothing is stated}; ``false_share`` of all
        statements; ``true_per_image`` and ``stated_per_image``.
    """
    fields, all_stated, all_right = {}, 0, 0
    for name, attribute in vocabulary.attributes.items():
        for field in attribute.fields:
            pairs = [
                (choices[name].value[field] if choices[name] is not None else None, known[field])
                for choices, known in zip(said, truth, strict=True)
            ]
            stated = sum(value is not None for value, _ in pairs)
            right = sum(value is not None and value == known for value, known in pairs)
            present = [value for value, known in pairs if known is not None]
            fields[field] = {
                "required": attribute.required,
                "accuracy": right / stated if stated else None,
                "stated": stated / len(pairs),
                "abstained": present.count(None) / len(present) if present else None,
            }
            all_stated, all_right = all_stated + stated, all_right + right
    return {
        "fields": fields,
        "false_share": (all_stated - all_right) / all_stated if all_stated else None,
        "true_per_image": all_right / len(truth),
        "stated_per_image": all_stated / len(truth),
    }


def calibration_error(confidences, right):
    """Expected calibration error: the mean, over the images, of |confidence - how often such ones are right| in 15 bins
    of equal width (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Args:
        confidences, right: (N,) arrays, the probability of the most probable value and whether that is the true one.
    """
    bins = np.minimum((np.asarray(confidences) * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, confidences, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def most_probable(probabilities, values, known):
    """(confidences, stated values, right): of each image the most probable value, None for absence, and if it is true.

    Args:
        probabilities: (N, number of values); columns of the same value are summed.
        values: of the columns, as :attr:`dataset_builders.divide.vocabulary.Attribute.slots` has them.
        known: list of N true values.
    """
    sums = by_value(probabilities, values)
    names, table = list(sums), np.stack(list(sums.values()), axis=1)
    best = table.argmax(axis=1)
    stated = [names[index] for index in best]
    right = np.array([value == true for value, true in zip(stated, known, strict=True)])
    return table[np.arange(len(table)), best], stated, right


def calibration_errors(slots, truth, vocabulary):
    """field -> :func:`calibration_error`, of ``slots``: field -> (N, number of values)."""
    errors = {}
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            confidences, _, right = most_probable(slots[field], values, [known[field] for known in truth])
            errors[field] = calibration_error(confidences, right)
    return errors
