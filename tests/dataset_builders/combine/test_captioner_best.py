"""The recipe `best`: captions that share the facts of an image out."""

import itertools
import pickle
import re

import numpy as np
import pytest

from dataset_builders.combine.captioner import Captioner
from tests.helpers.caption_words import pattern_of, words_of, words_of_part

NEUTRAL = r"(Th(is|e)|An?|Here is an?|There is an?|In this picture, this) [a-z -]+\."


@pytest.fixture(scope="module")
def captioner(vocabulary):
    return Captioner(vocabulary, vocabulary.templates_for("best"))


def drawn_of(vocabulary, names, rng):
    """attribute -> a random positive choice, for the attributes ``names``."""
    positive = {name: [c for c in vocabulary.attributes[name].choices if not c.negative] for name in names}
    return {name: choices[int(rng.integers(len(choices)))] for name, choices in positive.items()}


def random_sets(vocabulary, count, seed, chance=0.5):
    rng = np.random.default_rng(seed)
    return [
        drawn_of(vocabulary, [n for n in vocabulary.attributes if rng.random() < chance], rng) for _ in range(count)
    ]


def told(chosen, caption):
    """Names of the attributes of ``chosen`` that ``caption`` tells."""
    text = caption.lower()
    return {name for name, choice in chosen.items() if pattern_of(words_of(choice)).search(text)}


def test_there_are_at_least_1000_templates_of_different_blanks(captioner):
    templates = captioner.template_set.templates
    assert len({template.text for template in templates}) == len(templates) >= 1000
    assert len({(t.required, t.firm, t.places) for t in templates}) > 150
    assert len({tuple(re.findall(r"{(?:short )?([a-z_]+)", t.text)) for t in templates}) > 500


def test_some_template_fits_every_subset_of_what_may_be_known(vocabulary, captioner):
    """And tells five of its facts: every set of required attributes, with none, one or all of the optional ones."""
    rng = np.random.default_rng(0)
    required = [name for name, attribute in vocabulary.attributes.items() if attribute.required]
    optional = [name for name in vocabulary.attributes if name not in required]
    for size in range(len(required) + 1):
        for known in itertools.combinations(required, size):
            for more in ([], *([name] for name in optional), optional):
                chosen = drawn_of(vocabulary, [*known, *more], rng)
                for caption in captioner.captions(chosen, 0, f"{known}{more}", count=2):
                    assert len(told(chosen, caption)) >= min(5, len(chosen)) or "riding" in caption, (caption, chosen)


def test_where_nothing_is_known_captions_claim_nothing(captioner):
    captions = captioner.captions({}, 0, "x", count=12)
    assert all(re.fullmatch(NEUTRAL, caption) for caption in captions), captions
    assert len(set(captions)) == 12
    assert len(captioner.captions({}, 0, "x", count=200)) == 200  # then they repeat: nothing else can be said


def test_two_captions_tell_everything_that_is_known(vocabulary, captioner):
    for number, chosen in enumerate(random_sets(vocabulary, 2000, seed=1)):
        captions = captioner.captions(chosen, 0, str(number), count=2)
        assert told(chosen, " ".join(captions)) == set(chosen), (captions, chosen)


def test_captions_of_one_image_differ_in_facts_or_their_order(vocabulary, captioner):
    def order(chosen, caption):
        text = caption.lower()
        first = {}
        for name, choice in chosen.items():
            place = pattern_of(words_of(choice)).search(text)
            first[name] = place.start() if place else 1000
        return [name for name in sorted(first, key=first.get) if first[name] < 1000]

    for number, chosen in enumerate(random_sets(vocabulary, 500, seed=2, chance=0.7)):
        chosen = {name: choice for name, choice in chosen.items() if name not in ("age", "gender", "action", "vehicle")}
        if len(chosen) > 3:
            four = captioner.captions(chosen, 0, str(number), count=4)
            assert len({tuple(order(chosen, caption)) for caption in four}) == 4, four


def test_captions_do_not_repeat_even_where_little_is_known(vocabulary, captioner):
    for number, chosen in enumerate(random_sets(vocabulary, 300, seed=3, chance=0.15)):
        captions = captioner.captions(chosen, 0, str(number), count=6)
        assert len(set(captions)) == 6, (captions, chosen)


def test_length_beginning_and_detail_vary(vocabulary, captioner):
    rng = np.random.default_rng(4)
    sets = [drawn_of(vocabulary, vocabulary.attributes, rng) for _ in range(1000)]
    captions = [captioner.captions(chosen, 0, str(number))[0] for number, chosen in enumerate(sets)]
    facts = np.array([len(told(chosen, caption)) for chosen, caption in zip(sets, captions, strict=True)])
    assert np.mean(facts <= 6) > 0.1 and np.mean(facts >= 10) > 0.1
    starts = [caption.split()[0] for caption in captions]
    assert min(starts.count(word) for word in ("Dressed", "Carrying", "Wearing", "With", "A", "The", "This")) >= 5
    patterns = pattern_of(words_of_part(vocabulary.attributes["upper_clothes"], "pattern"))
    detailed = [bool(patterns.search(text)) for text in captions if re.search("shirt|coat", text)]
    assert 0.2 < np.mean(detailed) < 0.8


def test_captions_depend_on_their_arguments_alone(vocabulary, captioner):
    sets = random_sets(vocabulary, 100, seed=5)
    other = pickle.loads(pickle.dumps(captioner))
    forward = [captioner.captions(chosen, 3, str(number), count=3) for number, chosen in enumerate(sets)]
    for number in reversed(range(len(sets))):
        assert other.captions(sets[number], 3, str(number), count=3) == forward[number]
        assert other.captions(sets[number], 3, str(number), count=1) == forward[number][:1]
        assert other.drawn(sets[number], 3, str(number), 0)[0] == forward[number][0]
    assert sum(other.captions(chosen, 4, str(n), count=3) == forward[n] for n, chosen in enumerate(sets)) < 5
