"""Statements counted against the truth, and probabilities against how often they come true."""

import pytest

from dataset_builders.measure.agreement import agreement
from dataset_builders.measure.reliability import calibration_error, statements


def test_a_part_left_open_is_an_abstention_not_an_error(vocabulary):
    upper = vocabulary.attributes["upper_clothes"]
    said = {name: a.choices[0] if a.required else None for name, a in vocabulary.attributes.items()}
    truth = {}
    for name, attribute in vocabulary.attributes.items():
        truth |= said[name].value if said[name] else dict.fromkeys(attribute.fields)
    partial = said | {"upper_clothes": upper.saying({"upper_colour": "white", "upper_garment": "t-shirt"})}
    wrong = said | {"upper_clothes": upper.saying({"upper_colour": "red"}), "age": None}
    counted = statements([partial, wrong], [truth, truth | {"hat": "cap"}], vocabulary)
    fields = counted["fields"]
    assert fields["upper_pattern"] == {"required": True, "accuracy": None, "stated": 0, "abstained": 1}
    assert fields["upper_colour"]["accuracy"] == 0.5 and fields["upper_garment"]["abstained"] == 0.5
    assert fields["hat"] == {"required": False, "accuracy": None, "stated": 0, "abstained": 1}
    assert fields["age"]["accuracy"] == 1 and fields["age"]["abstained"] == 0.5
    assert counted["stated_per_image"] == 8 and counted["true_per_image"] == 7.5  # 9 statements and 7
    assert counted["false_share"] == 1 / 16
    assert agreement([partial], [truth], vocabulary)["required"]["upper_pattern"] == 0


def test_calibration_error_by_hand():
    assert calibration_error([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0]) == pytest.approx(0.15)
    # two bins: 0.5 against 1 and 1.0 against 0, one image each
    assert calibration_error([0.5, 1.0], [True, False]) == pytest.approx(0.75)
    assert calibration_error([0.2, 0.21, 1.0], [False, True, True]) == pytest.approx(0.21 / 3 * 0 + 0.59 / 3 + 0 / 3)
