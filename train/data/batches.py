"""Batches that hold several captions of each of their people, so that every query has more than one match."""

import numpy as np

from unipt_train.data.pairs import EpochBatches


class IdentityBatches(EpochBatches):
    """`EpochBatches` of which each holds ``captions_per_person`` captions of each of its people.

    Each epoch shuffles every person's captions and cuts them into groups of that number, the last one smaller; a batch
    is filled with groups of different people. Where no group fits whole any more, one is divided and its rest waits;
    where only people already in the batch are left, as at the end of an epoch, one comes twice.

    Args:
        person_of: (size,) whom each caption describes.
        captions_per_person: at least 1.
        size, batch_size, seed, start_step, max_steps: as for `EpochBatches`.
    """

    def __init__(self, person_of, captions_per_person, size, batch_size, seed, start_step, max_steps):
        super().__init__(size, batch_size, seed, start_step, max_steps)
        by_person = np.argsort(person_of, kind="stable")
        self.captions_of = np.split(by_person, np.cumsum(np.unique(person_of, return_counts=True)[1])[:-1])
        self.captions_per_person = captions_per_person

    def order(self, epoch):
        rng = np.random.default_rng([self.seed, epoch])
        groups = []
        for person, captions in enumerate(self.captions_of):
            shuffled = rng.permutation(captions).tolist()
            starts = range(0, len(shuffled), self.captions_per_person)
            groups += [(person, shuffled[start : start + self.captions_per_person]) for start in starts]
        waiting, order = [groups[index] for index in rng.permutation(len(groups))], []
        for _ in range(self.steps_per_epoch):
            batch, waiting = _fill(waiting, self.batch_size)
            order += batch
        return order


def _fill(waiting, size):
    """(captions of a batch, groups that still wait); both keep the order of ``waiting``, a list of (person, group)."""
    batch, people, left = [], set(), []
    for position, (person, group) in enumerate(waiting):
        if len(batch) == size:
            left += waiting[position:]
            break
        if person in people or len(batch) + len(group) > size:
            left.append((person, group))
        else:
            batch += group
            people.add(person)
    for twice in (False, True):
        for position, (person, group) in enumerate(left):
            room = size - len(batch)
            if not room:
                break
            if twice or person not in people:
                batch += group[:room]
                people.add(person)
                left[position] = (person, group[room:])
    return batch, [(person, group) for person, group in left if group]
