"""Samples for training: rows of ``image`` and ``captions`` become tokens and pixels.

Every random choice about a sample is drawn from a generator keyed by (seed, epoch, index). So a resumed run, or one
with another number of worker processes, sees exactly the same samples.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import BatchEncoding, PreTrainedTokenizerBase

from dataset_builders.combine.sampler import CaptionSampler
from modeling_unipt.image_processing_unipt import to_rgb
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.data.attribute_facts import AttributeFacts
from unipt_train.data.batches import Key
from unipt_train.data.captions import ANY_CAPTION, CaptionChoice
from unipt_train.data.masking import mask_whole_words
from unipt_train.data.rows import Rows, expect

Sample = dict[str, Any]
# Bytes of rows that a process which loads data keeps until they are asked for.
MEMORY = 256 << 20


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flip horizontally with probability 0.5, the paper's only augmentation of images."""
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def tokenise(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[BatchEncoding, bool]:
    """(the tokenizer's output for one text, whether the text was longer than the tokenizer's limit and was cut)."""
    limit = tokenizer.model_max_length
    encoding = tokenizer(text, verbose=False)
    if len(encoding["input_ids"]) <= limit:
        return encoding, False
    return tokenizer(text, truncation=True, max_length=limit), True


def text_number(text: str) -> int:
    """A whole number of 63 bits that is the same for the same text in every process; it fits an int64 tensor."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Samples(torch.utils.data.Dataset):
    """Samples of a table of images, made a batch at a time: the loader hands :meth:`__getitems__` a batch of keys.

    Args:
        rows: the table, with the column ``image``.
        processor: of the model; its tokenizer and its image processor make the samples.
        seed: of every random choice.
    """

    def __init__(self, rows: Rows, processor: UniPTProcessor, seed: int) -> None:
        self.rows = rows
        self.processor = processor
        self.seed = seed

    def expect(self, upcoming: Callable[[], Iterator[int]]) -> None:
        """Be told which samples this process will be asked for, in this order; only the speed depends on it.

        Args:
            upcoming: a function that begins to name their indices.
        """
        expect(self.rows, lambda: (self.row_of(index) for index in upcoming()), MEMORY)

    def __getitem__(self, key: Key) -> Sample:
        return self.__getitems__([key])[0]

    def row_of(self, index: int) -> int:
        """Which row of the table sample ``index`` shows."""
        return index

    def name_of(self, index: int) -> str:
        """What a message calls a sample."""
        row = self.row_of(index)
        return str(self.rows[row].get("image_id", f"row {row}"))

    def __getitems__(self, keys: Sequence[Key]) -> list[Sample]:
        """The samples of a list of keys; ``pixel_values`` of each is (3, H, W) float32."""
        # One read of the table and one call of the image processor for all: it resizes images of one size together.
        rows = self.rows.__getitems__([self.row_of(index) for _, index in keys])
        samples = []
        images = []
        for (epoch, index), row in zip(keys, rows, strict=True):
            rng = np.random.default_rng([self.seed, epoch, index])
            sample, image = self.drawn(epoch, index, row, rng)
            samples.append(sample)
            images.append(image)
        pixels = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return [sample | {"pixel_values": values} for sample, values in zip(samples, pixels, strict=True)]

    def drawn(
        self, epoch: int, index: int, row: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Sample, Image.Image]:
        """One sample without its pixels, and the RGB image of which they will be made.

        Args:
            epoch: counts from 0.
            index: of the sample.
            row: of the table.
            rng: the generator of this sample in this epoch.
        """
        raise NotImplementedError


class PretrainingPairs(Samples):
    """One sample for each image: the image, one caption drawn afresh each epoch, and its masked copy for MLM.

    Args:
        rows, processor, seed: as for :class:`Samples`.
        sampler: writes a new caption each epoch; without it one of the stored captions is drawn.
        facts: adds to a sample ``told`` (C,) bool, what its caption tells, and ``shown`` (C,) float32, what its image
            shows; needs ``sampler``.
        identified: whether to add ``image_ids``, equal for near-duplicates, and ``text_ids``, equal for equal captions.
        choice: which of the stored captions are drawn from; each row must have one of these.
    """

    def __init__(
        self,
        rows: Rows,
        processor: UniPTProcessor,
        seed: int,
        sampler: CaptionSampler | None = None,
        facts: AttributeFacts | None = None,
        identified: bool = False,
        choice: CaptionChoice = ANY_CAPTION,
    ) -> None:
        super().__init__(rows, processor, seed)
        self.choice = choice
        # A model that learns without masked words may have a tokenizer that cannot mask.
        self.masks = processor.tokenizer.is_fast and processor.tokenizer.mask_token is not None
        self.sampler = sampler
        self.facts = facts
        self.identified = identified

    def __len__(self) -> int:
        return len(self.rows)

    def drawn(
        self, epoch: int, index: int, row: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Sample, Image.Image]:
        told = None
        if self.sampler is None:
            captions = self.choice.of(row)
            caption = captions[int(rng.integers(len(captions)))]
        else:
            caption, told = self.sampler.draw(row["attributes"], self.seed, row["image_id"], epoch)
        caption = self.processor.formed(caption)
        encoding, truncated = tokenise(self.processor.tokenizer, caption)
        sample = {"input_ids": encoding["input_ids"], "truncated": truncated}
        if self.masks:
            sample["mlm_input_ids"], sample["mlm_labels"] = mask_whole_words(encoding, self.processor.tokenizer, rng)
        if self.facts is not None:
            sample["told"] = self.facts.told(told)
            sample["shown"] = self.facts.shown(row["attribute_probabilities"])
        if self.identified:
            sample["image_ids"] = text_number(row["duplicate_of"] or row["image_id"])
            sample["text_ids"] = text_number(caption)
        return sample, augment(to_rgb(row["image"]), rng)


class IdentityPairs(Samples):
    """One sample for each caption, as the benchmarks count them.

    A sample has its text, its image, ``person_index``, which counts the people from 0, and ``picks`` (2,), the draw of
    its negatives, see :func:`unipt_train.objectives.losses.ranking_loss`.

    Args:
        rows: with the columns ``image``, ``captions`` and ``person_id``.
        processor, seed: as for :class:`Samples`.

    Attributes:
        person_ids: the person_id behind each ``person_index``.
    """

    def __init__(self, rows: Rows, processor: UniPTProcessor, seed: int) -> None:
        super().__init__(rows, processor, seed)
        table = rows.select_columns(["person_id", "captions"])
        self.person_ids = sorted(set(table["person_id"]))
        index_of = {person_id: index for index, person_id in enumerate(self.person_ids)}
        self._pairs = []
        for row, record in enumerate(table):
            person = index_of[record["person_id"]]
            self._pairs += [(row, caption, person) for caption in ANY_CAPTION.of(record)]

    @property
    def person_of(self) -> list[int]:
        """``person_index`` of every sample."""
        return [person for _, _, person in self._pairs]

    def __len__(self) -> int:
        return len(self._pairs)

    def row_of(self, index: int) -> int:
        return self._pairs[index][0]

    def drawn(
        self, epoch: int, index: int, row: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Sample, Image.Image]:
        _, caption, person = self._pairs[index]
        # The flip is drawn before the picks; in another order a resumed run of an older version would draw others.
        image = augment(to_rgb(row["image"]), rng)
        encoding, truncated = tokenise(self.processor.tokenizer, self.processor.formed(caption))
        sample = {
            "input_ids": encoding["input_ids"],
            "person_index": person,
            "truncated": truncated,
            "picks": rng.random(2),
        }
        return sample, image
