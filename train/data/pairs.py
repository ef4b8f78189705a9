"""Datasets for training: rows of ``image`` and ``captions`` turned into tokenised, augmented, collated pairs.

Every random choice about a sample is drawn from a generator keyed by (seed, epoch, index), so a resumed run, or one
with another number of worker processes, sees exactly the same samples.
"""

import hashlib
import os

import numpy as np
import torch

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.image_processing_unipt import to_rgb


def load_splits(name):
    """``load_dataset(name)`` with one clear sentence for every way in which that can be a user's mistake.

    Args:
        name: a folder in Hub layout or the name of a dataset on the Hub.
    """
    import datasets

    datasets.utils.logging.disable_progress_bar()
    if os.path.isdir(name) and not any(os.scandir(name)):
        raise UserError(f"dataset folder {name} is empty")
    try:
        return datasets.load_dataset(name)
    except Exception as error:  # the library raises a dozen classes for "there is nothing usable at this name"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"dataset '{name}' cannot be loaded, neither as a folder nor from the Hub ({reason}); build one with "
            "python -m dataset_builders.luperson_t or python -m dataset_builders.benchmarks"
        ) from None


def load_rows(name, split, columns):
    """One split of :func:`load_splits`, as :func:`rows_of` gives it."""
    return rows_of(load_splits(name), name, split, columns)


def rows_of(found, name, split, columns):
    """One split of what :func:`load_splits` ``found`` at a name.

    Args:
        columns: the columns that the caller needs.
    Raises:
        UserError: there is no such split or column, or no row.
    """
    if split not in found:
        raise UserError(f"dataset '{name}' has no split '{split}'; it has {', '.join(found)}")
    rows = found[split]
    for column in columns:
        if column not in rows.column_names:
            raise UserError(
                f"dataset '{name}' has no column '{column}', which this command needs; "
                f"it has {', '.join(rows.column_names)}"
            )
    if not len(rows):
        raise UserError(f"split '{split}' of dataset '{name}' is empty")
    return rows


def mask_whole_words(encoding, tokenizer, rng, probability=0.15):
    """BERT's masking of whole words (paper eq. 2; 80 % [MASK], 10 % random, 10 % kept).

    Args:
        encoding: a fast tokenizer's output for one text.
        rng: ``numpy.random.Generator``.
    Returns:
        (input_ids, labels), lists of the text's length; labels are -100 where nothing is to be predicted. At least one
        word is always masked.
    """
    input_ids, word_ids = list(encoding["input_ids"]), encoding.word_ids()
    labels = [-100] * len(input_ids)
    words = sorted({word for word in word_ids if word is not None})
    if not words:
        return input_ids, labels
    chosen = rng.random(len(words)) < probability
    chosen[rng.integers(len(words))] |= not chosen.any()
    chosen = {word for word, picked in zip(words, chosen, strict=True) if picked}
    for position, word in enumerate(word_ids):
        if word not in chosen:
            continue
        labels[position] = input_ids[position]
        action = rng.random()
        if action < 0.8:
            input_ids[position] = tokenizer.mask_token_id
        elif action < 0.9:
            input_ids[position] = int(rng.integers(len(tokenizer)))
    return input_ids, labels


def augment(image, rng):
    """Horizontal flip with probability 0.5 (the paper's only augmentation of images)."""
    from PIL import ImageOps

    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def tokenise(tokenizer, text):
    """(the tokenizer's output for one text, whether it was longer than the tokenizer's limit and was truncated)."""
    limit = tokenizer.model_max_length
    encoding = tokenizer(text, verbose=False)
    if len(encoding["input_ids"]) <= limit:
        return encoding, False
    return tokenizer(text, truncation=True, max_length=limit), True


def text_number(text):
    """A whole number of 63 bits, the same for the same text in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Samples(torch.utils.data.Dataset):
    """Samples of a table of images, made a batch at a time: the loader hands :meth:`__getitems__` a batch of keys.

    Args:
        rows: ``datasets.Dataset`` with the column ``image``.
        processor: `UniPTProcessor`.
        seed: of every random choice.
    """

    def __init__(self, rows, processor, seed):
        self.rows, self.processor, self.seed = rows, processor, seed

    def __getitem__(self, key):
        return self.__getitems__([key])[0]

    def row_of(self, index):
        """Which row of the table sample ``index`` shows."""
        return index

    def name_of(self, index):
        """What a message calls a sample."""
        row = self.row_of(index)
        return self.rows[row].get("image_id", f"row {row}")

    def __getitems__(self, keys):
        """The samples of a list of keys (epoch, index), a dict each."""
        rows = self.rows.__getitems__([self.row_of(index) for _, index in keys])
        samples, images = [], []
        for (epoch, index), row in zip(keys, rows, strict=True):
            sample, image = self.drawn(epoch, index, row, np.random.default_rng([self.seed, epoch, index]))
            samples.append(sample)
            images.append(image)
        pixels = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return [sample | {"pixel_values": picture} for sample, picture in zip(samples, pixels, strict=True)]

    def drawn(self, epoch, index, row, rng):
        """(what a sample has beside its pixels, its picture), drawn by ``rng``, a ``numpy.random.Generator``."""
        raise NotImplementedError


class PretrainingPairs(Samples):
    """One sample an image: the picture, one caption drawn afresh each epoch, and its masked copy for MLM.

    Args:
        sampler: :class:`dataset_builders.combine.sampler.CaptionSampler` that writes a new caption each epoch; without
            it one of the stored captions is drawn.
        facts: :class:`unipt_train.objectives.attribute_facts.AttributeFacts` that adds ``told`` and ``shown`` to a sample; needs ``sampler``.
        identified: whether to add ``image_ids``, equal for near-duplicates, and ``text_ids``, equal for equal captions.
    """

    def __init__(self, rows, processor, seed, sampler=None, facts=None, identified=False):
        super().__init__(rows, processor, seed)
        self.sampler, self.facts, self.identified = sampler, facts, identified

    def __len__(self):
        return len(self.rows)

    def drawn(self, epoch, index, row, rng):
        if self.sampler is None:
            caption = row["captions"][int(rng.integers(len(row["captions"])))]
        else:
            caption, told = self.sampler.draw(row["attributes"], self.seed, row["image_id"], epoch)
        encoding, truncated = tokenise(self.processor.tokenizer, caption)
        mlm_input_ids, mlm_labels = mask_whole_words(encoding, self.processor.tokenizer, rng)
        sample = {
            "input_ids": encoding["input_ids"],
            "mlm_input_ids": mlm_input_ids,
            "mlm_labels": mlm_labels,
            "truncated": truncated,
        }
        if self.facts is not None:
            sample["told"] = self.facts.told(told)
            sample["shown"] = self.facts.shown(row["attribute_probabilities"])
        if self.identified:
            sample["image_ids"] = text_number(row["duplicate_of"] or row["image_id"])
            sample["text_ids"] = text_number(caption)
        return sample, augment(to_rgb(row["image"]), rng)


class IdentityPairs(Samples):
    """One sample a caption, as the benchmarks count them: its text, its image, the index of its identity, and the draw
    of its negatives, see :func:`unipt_train.objectives.losses.ranking_loss`."""

    def __init__(self, rows, processor, seed):
        super().__init__(rows, processor, seed)
        table = rows.select_columns(["person_id", "captions"])
        self.person_ids = sorted(set(table["person_id"]))
        index_of = {person_id: index for index, person_id in enumerate(self.person_ids)}
        self.pairs = [
            (row, caption, index_of[record["person_id"]])
            for row, record in enumerate(table)
            for caption in record["captions"]
        ]

    def __len__(self):
        return len(self.pairs)

    def row_of(self, index):
        return self.pairs[index][0]

    def drawn(self, epoch, index, row, rng):
        _, caption, person = self.pairs[index]
        image = augment(to_rgb(row["image"]), rng)
        encoding, truncated = tokenise(self.processor.tokenizer, caption)
        sample = {"input_ids": encoding["input_ids"], "person_index": person, "truncated": truncated}
        return sample | {"picks": rng.random(2)}, image


class Collator:
    """Stacks images and pads token lists to the longest of the batch; adds ``attention_mask``."""

    def __init__(self, pad_token_id):
        self.pad_token_id = pad_token_id

    def _pad(self, lists, value):
        longest = max(map(len, lists))
        return torch.tensor([list(ids) + [value] * (longest - len(ids)) for ids in lists])

    def __call__(self, samples):
        batch = {"pixel_values": torch.stack([sample["pixel_values"] for sample in samples])}
        for name, fill in (
            ("input_ids", self.pad_token_id),
            ("mlm_input_ids", self.pad_token_id),
            ("mlm_labels", -100),
        ):
            if name in samples[0]:
                batch[name] = self._pad([sample[name] for sample in samples], fill)
        lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
        batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1])[None] < lengths[:, None]).long()
        for name in ("told", "shown", "picks"):
            if name in samples[0]:
                batch[name] = torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in ("person_index", "image_ids", "text_ids", "truncated"):
            if name in samples[0]:
                batch[name] = torch.tensor([sample[name] for sample in samples])
        return batch


class EpochBatches(torch.utils.data.Sampler):
    """Batches of (epoch, index) keys for steps ``start_step`` .. ``max_steps`` - 1: a new permutation every epoch.

    The last, incomplete batch of an epoch is dropped, unless the whole dataset is smaller than a batch.
    """

    def __init__(self, size, batch_size, seed, start_step, max_steps):
        self.size, self.batch_size, self.seed = size, min(batch_size, size), seed
        self.start_step, self.max_steps = start_step, max_steps
        self._order = None, None
        self.drop_last = True
        self.steps_per_epoch = steps_per_epoch(size, batch_size)

    def __len__(self):
        return self.max_steps - self.start_step

    def __iter__(self):
        for step in range(self.start_step, self.max_steps):
            yield self.keys_of(step)

    def keys_of(self, step):
        """The (epoch, index) keys of a step's batch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._order[0]:
            self._order = epoch, self.order(epoch)
        picked = self._order[1][position * self.batch_size : (position + 1) * self.batch_size]
        return [(epoch, int(index)) for index in picked]

    def order(self, epoch):
        """The indices of an epoch, batch after batch."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.size)


def steps_per_epoch(size, batch_size):
    """Number of full batches in an epoch, at least 1."""
    return max(1, size // batch_size)
