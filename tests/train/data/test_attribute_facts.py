"""What captions tell and images show, as columns."""

import numpy as np
import pytest

from unipt_train.data.attribute_facts import AttributeFacts


@pytest.fixture(scope="module")
def facts(vocabulary):
    return AttributeFacts(vocabulary, ["age", "upper_clothes", "bag"])


def choice(vocabulary, name, **value):
    return vocabulary.attributes[name].saying(value)


def test_every_slot_has_the_columns_of_what_is_stored(vocabulary, facts):
    upper = vocabulary.attributes["upper_clothes"].parts
    assert facts.sizes == [4, len(upper["colour"]), len(upper["pattern"]), len(upper["garment"]), 5]
    row = {
        "age": [0.1, 0.2, 0.3, 0.4],
        "upper_clothes": {part: np.arange(len(values)) for part, values in upper.items()},
        "bag": [0.5, 0, 0, 0, 0.5],
    }
    shown = facts.shown(row)
    assert shown.dtype == np.float32 and shown.shape == (sum(facts.sizes),)
    assert shown[:4].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert shown[4:7].tolist() == [0, 1, 2]


def test_a_caption_tells_the_columns_of_its_choices_and_is_silent_on_the_rest(vocabulary, facts):
    told = facts.told({"upper_clothes": choice(vocabulary, "upper_clothes", upper_colour="black")})
    assert told.sum() == 1 and told[4 + 1]  # black is the second colour
    assert not facts.told({}).any()
