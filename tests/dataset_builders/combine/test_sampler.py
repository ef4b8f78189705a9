import pickle
import time

import numpy as np
import pytest

from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.sampler import CaptionSampler
from modeling_unipt.common.user_errors import UserError

KNOWN = {"gender": "woman", "hat": "a cap", "lower_clothes": "black pure color trousers", "bag": None}


def random_choices(vocabulary, rng, chance=0.6):
    return {
        name: attribute.choices[int(rng.integers(len(attribute.choices)))] if rng.random() < chance else None
        for name, attribute in vocabulary.attributes.items()
    }


def stored(chosen):
    """A row's `attributes`, as the builder writes them: a negative choice is never among them."""
    return {name: None if choice is None or choice.negative else choice.phrase for name, choice in chosen.items()}


@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_epoch_0_gives_the_builders_first_caption_and_later_ones_draw_anew(vocabulary, recipe):
    templates = vocabulary.templates_for(recipe)
    sampler, captioner = CaptionSampler(vocabulary, templates), Captioner(vocabulary, templates)
    rng = np.random.default_rng(0)
    new = 0
    for number in range(200):
        chosen = random_choices(vocabulary, rng)
        first = sampler.caption(stored(chosen), seed=5, image_id=str(number), epoch=0)
        assert first == captioner.captions(chosen, 5, str(number))[0]
        new += len({sampler.caption(stored(chosen), 5, str(number), epoch) for epoch in range(10)})
    assert new > 200 * 9


@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_a_caption_depends_on_seed_image_and_epoch_alone(vocabulary, recipe):
    sampler = CaptionSampler(vocabulary, vocabulary.templates_for(recipe))
    wanted = [(seed, image, epoch) for seed in (0, 1) for image in ("a", "b") for epoch in range(5)]
    captions = {key: sampler.caption(KNOWN, *key) for key in wanted}
    assert len(set(captions.values())) > 10
    sent = pickle.loads(pickle.dumps(sampler))  # as to a data loader's worker
    assert {key: sent.caption(KNOWN, *key) for key in reversed(wanted)} == captions


def test_what_is_missing_counts_as_unknown(vocabulary):
    sampler = CaptionSampler(vocabulary, vocabulary.templates_for("best"))
    all_named = {**dict.fromkeys(vocabulary.attributes), **KNOWN}
    assert sampler.caption(all_named, 0, "x", 3) == sampler.caption(KNOWN, 0, "x", 3)
    assert sampler.caption({}, 0, "x", 0) == sampler.caption(dict.fromkeys(vocabulary.attributes), 0, "x", 0)


def test_attributes_of_another_vocabulary_are_refused(vocabulary):
    sampler = CaptionSampler(vocabulary)
    with pytest.raises(UserError, match="'hats' is no attribute of the vocabulary 'people' .did you mean 'hat'"):
        sampler.caption({"hats": "a cap"}, 0, "x", 0)
    with pytest.raises(UserError, match="'a crown' is no phrase of the attribute 'hat' .* made with"):
        sampler.caption({"hat": "a crown"}, 0, "x", 0)


def test_drawing_keeps_up_with_training(vocabulary):
    """5,000 captions a second on a core of its own (measured apart); a tenth of it here, where others use the cores."""
    sampler, rng = CaptionSampler(vocabulary), np.random.default_rng(1)
    rows = [stored(random_choices(vocabulary, rng)) for _ in range(500)]
    for row in rows:
        sampler.caption(row, 0, "warm", 0)
    begin = time.process_time()
    for number, row in enumerate(rows):
        sampler.caption(row, 0, str(number), 1)
    assert 500 / (time.process_time() - begin) > 500
