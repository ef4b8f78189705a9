"""Batches with several captions of each of their people: what they hold, that nothing is lost, and that they resume."""

from collections import Counter

import numpy as np
import pytest

from unipt_train.data.batches import IdentityBatches


def make(person_of, captions_per_person, batch_size, start_step=0, max_steps=None, seed=1):
    size = len(person_of)
    max_steps = 2 * (size // batch_size) if max_steps is None else max_steps
    return IdentityBatches(person_of, captions_per_person, size, batch_size, seed, start_step, max_steps)


def people_of(batch, person_of):
    return Counter(person_of[index] for _, index in batch)


def test_every_batch_holds_so_many_captions_of_each_of_its_people():
    person_of = np.repeat(np.arange(40), 8)
    batches = list(make(person_of, 4, 16))
    assert len(batches) == 40
    for batch in batches:
        assert people_of(batch, person_of) == dict.fromkeys(people_of(batch, person_of), 4)


def test_an_epoch_shows_every_caption_once():
    person_of = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 8))
    batches = list(make(person_of, 4, 16))
    for epoch in range(2):
        keys = [key for batch in batches[20 * epoch : 20 * epoch + 20] for key in batch]
        assert {number for number, _ in keys} == {epoch}
        assert sorted(index for _, index in keys) == list(range(320))
    assert batches[:20] != batches[20:]


def test_people_with_fewer_captions_give_what_they_have_and_others_fill_up():
    counts = np.random.default_rng(2).integers(1, 10, 60)
    person_of = np.repeat(np.arange(60), counts)
    batches = list(make(person_of, 4, 12, max_steps=len(person_of) // 12))
    indices = [index for batch in batches for _, index in batch]
    assert len(indices) == len(set(indices)) == 12 * (len(person_of) // 12), "none repeats"
    early = batches[: len(batches) // 2]
    assert all(len(batch) == 12 for batch in batches)
    for batch in early:
        divided = [n for person, n in people_of(batch, person_of).items() if n != 4 and n != counts[person] % 4]
        assert len(divided) <= 2 and max(people_of(batch, person_of).values()) == 4


@pytest.mark.parametrize("captions_per_person, batch_size", [(3, 64), (1, 5), (64, 64), (4, 7)])
def test_batches_are_full_whatever_divides_them(captions_per_person, batch_size):
    person_of = np.repeat(np.arange(30), 9)
    for batch in make(person_of, captions_per_person, batch_size):
        assert len({index for _, index in batch}) == len(batch) == batch_size


def test_a_resumed_order_is_the_rest_of_the_whole_order():
    person_of = np.repeat(np.arange(20), 7)
    whole = list(make(person_of, 3, 10, max_steps=40))
    for start in (1, 14, 33):
        assert list(make(person_of, 3, 10, start_step=start, max_steps=40)) == whole[start:]
    assert list(make(person_of, 3, 10, max_steps=40, seed=2)) != whole


def test_fewer_captions_than_a_batch_are_one_batch():
    (batch,) = make(np.array([0, 0, 1]), 2, 64, max_steps=1)
    assert sorted(index for _, index in batch) == [0, 1, 2]
