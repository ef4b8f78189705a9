"""The paper's rule: arg-max for required attributes, a threshold for optional ones."""

import numpy as np

from dataset_builders.conquer.paper_recipe import decide


def one_sided(vocabulary, **probability_of):
    """Probabilities of one image: the first choice of each attribute certain, but for those given as {index: p}."""
    table = {}
    for name, attribute in vocabulary.attributes.items():
        row = np.zeros((1, len(attribute.choices)), np.float32)
        for index, probability in probability_of.get(name, {0: 1.0}).items():
            row[0, index] = probability
        table[name] = row
    return table


def test_required_attributes_take_their_arg_max_however_uncertain(vocabulary):
    (chosen,) = decide(one_sided(vocabulary, age={0: 0.3, 1: 0.2, 2: 0.35, 3: 0.15}), vocabulary)
    assert chosen["age"].phrase == "middle-aged"
    assert all(chosen[name] is not None for name, attribute in vocabulary.attributes.items() if attribute.required)


def test_optional_attributes_need_a_probability_above_the_papers_threshold(vocabulary):
    for probability, phrase in ((0.91, "a handbag"), (0.9, None), (0.6, None)):
        (chosen,) = decide(one_sided(vocabulary, bag={1: np.float32(probability), 4: 1 - probability}), vocabulary)
        # float32 0.9 lies just below 0.9, so the rule "above" leaves it out
        assert (chosen["bag"].phrase if chosen["bag"] else None) == phrase
    (lenient,) = decide(one_sided(vocabulary, bag={1: 0.6, 4: 0.4}), vocabulary, optional_threshold=0.5)
    assert lenient["bag"].phrase == "a handbag"


def test_a_negative_phrase_is_never_chosen(vocabulary):
    (chosen,) = decide(one_sided(vocabulary, bag={0: 0.03, 4: 0.97}), vocabulary)
    assert chosen["bag"] is None
    (forced,) = decide(one_sided(vocabulary, bag={0: 0.03, 4: 0.97}), vocabulary, optional_threshold=0.0)
    assert forced["bag"].phrase == "a backpack"
