"""Which samples make a batch, in which order, and how the samples of a batch become tensors."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from modeling_unipt.modeling_unipt import IGNORED_LABEL

# (epoch, index of a sample): a data loader hands such keys to a dataset.
Key = tuple[int, int]
# (index of a person, captions of that person that belong to one batch).
_Group = tuple[int, list[int]]


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Number of full batches in an epoch of ``size`` samples, at least 1."""
    return max(1, size // batch_size)


class EpochBatches(torch.utils.data.Sampler):
    """Batches of keys for the steps from ``start_step`` to ``max_steps`` - 1; each epoch is a new permutation.

    The last, incomplete batch of an epoch is dropped, unless the whole dataset is smaller than a batch. The order is a
    function of the seed and the step alone, so a resumed run sees what an uninterrupted one sees.

    Args:
        size: number of samples of the dataset.
        batch_size: samples in a batch, over all processes.
        seed: of the permutations.
        start_step: the first step, counted from 0.
        max_steps: the step after the last.
    """

    def __init__(self, size: int, batch_size: int, seed: int, start_step: int, max_steps: int) -> None:
        self.size = size
        self.batch_size = min(batch_size, size)
        self.seed = seed
        self.start_step = start_step
        self.max_steps = max_steps
        self.steps_per_epoch = steps_per_epoch(size, batch_size)
        # Accelerate asks a batch sampler whether all of its batches are full, before it shares them among processes.
        self.drop_last = True
        self._epoch = None
        self._order = None

    def __len__(self) -> int:
        return self.max_steps - self.start_step

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.start_step, self.max_steps):
            yield self.keys_of(step)

    def keys_of(self, step: int) -> list[Key]:
        """The keys of the batch of a step, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self.order(epoch)
        start = position * self.batch_size
        return [self.key(epoch, int(place)) for place in self._order[start : start + self.batch_size]]

    def key(self, epoch: int, place: int) -> Key:
        """The key of one of the numbers that :meth:`order` gives: here it is the index of a sample."""
        return epoch, place

    def order(self, epoch: int) -> Sequence[int]:
        """The indices of an epoch, one batch after the other."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.size)

    def coming(self, process: int, processes: int, worker: int, workers: int) -> Iterator[int]:
        """The indices that one of the workers of one of the processes will be asked for, from the first step on.

        A process takes its share of each batch, and its workers take turns at that.
        """
        # Two epochs are looked at in turn otherwise, here and where the batches are made.
        own = copy.copy(self)
        for step in range(self.start_step + worker, self.max_steps, workers):
            keys = own.keys_of(step)
            share = len(keys) // processes
            yield from (index for _, index in keys[process * share : (process + 1) * share])


class WeightedBatches(EpochBatches):
    """Batches of several data sets, each of which gives as many samples as its weight says.

    An epoch has as many steps as one of :class:`EpochBatches`. Each data set gives the same number of samples to every
    epoch, in a random order among the others. It goes through all of its own samples before one comes again, from one
    epoch to the next. The first number of a key is not the epoch here but how often the sample has come before.

    Args:
        sizes: number of samples of each data set; their samples stand one behind the other.
        weights: for each data set, positive.
        size, batch_size, seed, start_step, max_steps: as for :class:`EpochBatches`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        size: int,
        batch_size: int,
        seed: int,
        start_step: int,
        max_steps: int,
    ) -> None:
        super().__init__(size, batch_size, seed, start_step, max_steps)
        self.sizes = list(sizes)
        self.shares = shares_of(self.steps_per_epoch * self.batch_size, weights)

    def order(self, epoch: int) -> np.ndarray:
        """(samples,) of the epoch: index + size * (how often the sample has come before)."""
        of_each = np.repeat(np.arange(len(self.shares)), self.shares)
        source = np.random.default_rng([self.seed, epoch]).permutation(of_each)
        order = np.empty(len(source), dtype=np.int64)
        start = 0
        for part, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True)):
            rounds, places = np.divmod(np.arange(epoch * share, (epoch + 1) * share), size)
            indices = np.empty(share, dtype=np.int64)
            for number in np.unique(rounds):
                # The last number keeps this apart from what samples and epochs are drawn by.
                shuffled = np.random.default_rng([self.seed, part, number, 1]).permutation(size)
                indices[rounds == number] = shuffled[places[rounds == number]]
            order[source == part] = start + indices + self.size * rounds
            start += size
        return order

    def key(self, epoch: int, place: int) -> Key:
        return divmod(place, self.size)


def shares_of(total: int, weights: Sequence[float]) -> list[int]:
    """``total`` divided in proportion to ``weights`` into whole numbers, which add up to it.

    What is left after rounding down goes to those that lose most by it, and of equal ones to the first.
    """
    # Of the largest one, so that no sum is too large a number.
    relative = np.asarray(weights, dtype=np.float64) / np.max(weights)
    exact = total * relative / relative.sum()
    shares = np.floor(exact).astype(int)
    losers = np.argsort(shares - exact, kind="stable")
    shares[losers[: total - shares.sum()]] += 1
    return shares.tolist()


class IdentityBatches(EpochBatches):
    """Batches that hold several captions of each of their people, so that every query has more than one match.

    Each epoch shuffles every person's captions and cuts them into groups of ``captions_per_person``, the last one
    smaller. A batch is filled with groups of different people. Where no group fits whole any more, one is divided and
    its rest waits for a later batch. Where only people already in the batch are left, as at the end of an epoch, a
    person comes twice.

    Args:
        person_of: (size,) the person whom each caption describes.
        captions_per_person: captions of each person in a batch, at least 1.
        size, batch_size, seed, start_step, max_steps: as for :class:`EpochBatches`.
    """

    def __init__(
        self,
        person_of: Sequence[int],
        captions_per_person: int,
        size: int,
        batch_size: int,
        seed: int,
        start_step: int,
        max_steps: int,
    ) -> None:
        super().__init__(size, batch_size, seed, start_step, max_steps)
        by_person = np.argsort(person_of, kind="stable")
        captions_of_each = np.unique(person_of, return_counts=True)[1]
        self.captions_of = np.split(by_person, np.cumsum(captions_of_each)[:-1])
        self.captions_per_person = captions_per_person

    def order(self, epoch: int) -> list[int]:
        rng = np.random.default_rng([self.seed, epoch])
        groups = []
        for person, captions in enumerate(self.captions_of):
            shuffled = rng.permutation(captions).tolist()
            for start in range(0, len(shuffled), self.captions_per_person):
                groups.append((person, shuffled[start : start + self.captions_per_person]))
        waiting = [groups[index] for index in rng.permutation(len(groups))]
        order = []
        for _ in range(self.steps_per_epoch):
            batch, waiting = _fill(waiting, self.batch_size)
            order += batch
        return order


def _fill(waiting: list[_Group], size: int) -> tuple[list[int], list[_Group]]:
    """(captions of a batch, groups that still wait); both keep the order of ``waiting``."""
    batch = []
    people = set()
    left = []
    for position, (person, group) in enumerate(waiting):
        if len(batch) == size:
            left += waiting[position:]
            break
        if person in people or len(batch) + len(group) > size:
            left.append((person, group))
        else:
            batch += group
            people.add(person)
    # What is still free is filled with parts of groups: first of new people, then, if it must be, of people twice.
    for may_come_twice in (False, True):
        for position, (person, group) in enumerate(left):
            room = size - len(batch)
            if not room:
                break
            if may_come_twice or person not in people:
                batch += group[:room]
                people.add(person)
                left[position] = (person, group[room:])
    return batch, [(person, group) for person, group in left if group]


def first_pass(
    dataset: torch.utils.data.Dataset, collator: "Collator", batch_size: int, chunk_size: int, processes: int
) -> dict[str, torch.Tensor]:
    """The first samples of a dataset, as many as a process takes in one forward pass, as a batch.

    Args:
        batch_size: samples in a step, over all processes.
        chunk_size: samples in a forward pass; 0: all of a process's share.
        processes: how many share the batch.
    """
    share = min(batch_size, len(dataset)) // processes
    return collator(dataset.__getitems__([(0, index) for index in range(min(share, chunk_size or share))]))


class Collator:
    """Makes a batch of samples: stacks images, pads lists of tokens on the right and adds ``attention_mask``.

    Args:
        pad_token_id: of the tokenizer.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Samples as :mod:`unipt_train.data.pairs` makes them to tensors with one row for each of the n samples.

        Returns:
            ``pixel_values`` (n, 3, H, W) float32, ``input_ids`` and ``attention_mask`` (n, L) int64, and what else the
            samples have: ``mlm_input_ids``, ``mlm_labels`` (n, L); ``told``, ``shown`` (n, C); ``picks`` (n, 2);
            ``person_index``, ``image_ids``, ``text_ids``, ``truncated`` (n,).
        """
        held = samples[0].keys()
        batch = {"pixel_values": torch.stack([sample["pixel_values"] for sample in samples])}
        fill_of = {"input_ids": self.pad_token_id, "mlm_input_ids": self.pad_token_id, "mlm_labels": IGNORED_LABEL}
        for name, fill in fill_of.items():
            if name in held:
                batch[name] = _padded([sample[name] for sample in samples], fill)
        lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
        positions = torch.arange(batch["input_ids"].shape[1])
        batch["attention_mask"] = (positions[None] < lengths[:, None]).long()
        for name in ("told", "shown", "picks"):
            if name in held:
                batch[name] = torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in ("person_index", "image_ids", "text_ids", "truncated"):
            if name in held:
                batch[name] = torch.tensor([sample[name] for sample in samples])
        return batch


def _padded(lists: list[list[int]], fill: int) -> torch.Tensor:
    """Lists of numbers to (lists, longest), filled up on the right."""
    longest = max(map(len, lists))
    return torch.tensor([list(numbers) + [fill] * (longest - len(numbers)) for numbers in lists])
