"""What was said of images, counted against what is true of them."""

import pytest

from dataset_builders.measure.agreement import agreement, agreement_table
from tests.helpers.said_and_true import choice, person


def test_clothes_count_as_colour_pattern_and_garment(vocabulary):
    said, truth = person(vocabulary)
    table = agreement([said, said], [truth, truth | {"upper_colour": "red", "lower_garment": "shorts"}], vocabulary)
    assert table["required"]["upper_colour"] == table["required"]["lower_garment"] == 0.5
    assert table["required"]["upper_pattern"] == table["required"]["age"] == 1
    assert len(table["required"]) == 10 and table["required_mean"] == pytest.approx(0.9)


def test_optional_precision_and_recall(vocabulary):
    cap = choice(vocabulary, "hat", hat="cap")
    said, _ = person(vocabulary, hat=cap)
    nothing, nothing_truth = person(vocabulary)
    truths = [nothing_truth | {"hat": hat} for hat in ("cap", "beanie", None, "cap")]
    table = agreement([said, said, said, nothing], truths, vocabulary)
    assert table["optional"]["hat"] == {"precision": 1 / 3, "recall": 1 / 3, "said": 3, "true": 3}
    assert table["optional"]["bag"]["precision"] is None
    assert table["optional_precision"] == pytest.approx(1 / 3)
    assert "| hat | 33.3 % | 33.3 % | 3 | 3 |" in agreement_table(table)


def test_an_abstention_on_a_required_attribute_is_not_right(vocabulary):
    said, truth = person(vocabulary)
    assert agreement([said | {"age": None}], [truth], vocabulary)["required"]["age"] == 0
