"""Batches of people and of several data sets: what they hold, that nothing is lost, and that they resume."""

from collections import Counter

import numpy as np
import pytest

from unipt_train.data.batches import EpochBatches, IdentityBatches, WeightedBatches, shares_of


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


def weighted(weights=(3, 1), start_step=0, max_steps=30, seed=0, batch_size=16):
    return WeightedBatches([50, 30], weights, 80, batch_size, seed, start_step, max_steps)


def test_every_epoch_takes_of_each_data_set_what_its_weight_says():
    batches = list(weighted())
    for epoch in range(6):
        keys = [key for batch in batches[5 * epoch : 5 * epoch + 5] for key in batch]
        assert sum(index < 50 for _, index in keys) == 60 and len(keys) == 80
    mixed = [sum(index < 50 for _, index in batch) for batch in batches]
    assert len(set(mixed)) > 3 and min(mixed) > 5, "in a random order"


def test_no_sample_comes_again_before_all_others_of_its_data_set_have_come():
    keys = [key for batch in weighted() for key in batch]
    assert len(set(keys)) == len(keys) == 480
    for low, high in ((0, 50), (50, 80)):
        own = [key for key in keys if low <= key[1] < high]
        for round_ in range(len(own) // (high - low)):
            part = own[round_ * (high - low) : (round_ + 1) * (high - low)]
            assert {number for number, _ in part} == {round_}
            assert sorted(index for _, index in part) == list(range(low, high))
    first, second = ([index for number, index in keys if number == round_] for round_ in (0, 1))
    assert first != second


def test_weighted_batches_resume_and_depend_on_the_seed_alone():
    whole = list(weighted())
    for start in (1, 4, 5, 17):
        assert list(weighted(start_step=start)) == whole[start:]
    assert list(weighted(seed=1)) != whole
    assert list(weighted((6, 2))) == whole, "only proportions count"


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (7, [0.5, 0.25, 0.25], [3, 2, 2]),
        (1, [1, 99], [0, 1]),
        (12, [1e308, 1e308, 1e308], [4, 4, 4]),
        (5, [1], [5]),
    ],
)
def test_shares_add_up_to_the_whole(total, weights, shares):
    assert shares_of(total, weights) == shares


@pytest.mark.parametrize("batches", [EpochBatches(80, 16, 0, 3, 20), weighted(start_step=3, max_steps=20)])
def test_a_worker_knows_what_it_will_be_asked_for(batches):
    """As two processes of three workers each are asked: a share of each batch, and of these every third."""
    steps = list(batches)
    for process in range(2):
        for worker in range(3):
            shares = [batch[8 * process : 8 * process + 8] for batch in steps[worker::3]]
            expected = [index for share in shares for _, index in share]
            assert list(batches.coming(process, 2, worker, 3)) == expected
    assert list(batches) == steps
