"""What captions tell and images show as columns, and how probable it is that one is true of the other."""

import numpy as np
import pytest
import torch

from unipt_train.objectives.attribute_facts import AttributeFacts, log_truth


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


def test_the_probability_of_a_caption_is_the_product_over_what_it_tells():
    told = torch.tensor([[True, False, False, True, False], [False, False, False, False, True], [False] * 5])
    shown = torch.tensor([[0.9, 0.1, 0.2, 0.5, 0.3], [0.4, 0.6, 0.1, 0.1, 0.8]])
    truth = log_truth(told, shown, [2, 3]).exp()
    expected = [[0.9 * 0.5, 0.4 * 0.1], [0.3, 0.8], [1.0, 1.0]]
    torch.testing.assert_close(truth, torch.tensor(expected))


def test_no_fact_is_ruled_out_for_certain():
    told, shown = torch.tensor([[True, False]]), torch.tensor([[0.0, 1.0]])
    assert float(log_truth(told, shown, [2], floor=0.01).exp()) == pytest.approx(0.01)
