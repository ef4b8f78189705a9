"""Counts over the rows of a LUPerson-T build, written as ``statistics.json``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from modeling_unipt.common.atomic_files import write_json

from ..divide.vocabulary import Vocabulary

COLUMNS = ["captions", "caption_scores", "attributes", "duplicate_of"]


class Statistics:
    """Counts over the rows of a build. Their size does not grow with the number of rows.

    Attributes:
        images, captions, duplicates: numbers of those in the dataset.
        rejected: number of images left out; the caller sets it.
        bytes: size of the rows in memory; the caller sets it.
        phrases: attribute -> how many images have each phrase.
        caption_words: number of words -> number of captions that have so many.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.images = 0
        self.captions = 0
        self.duplicates = 0
        self.rejected = 0
        self.bytes = 0
        self.score_sum = 0.0
        self.phrases: dict[str, Counter[str]] = {name: Counter() for name in vocabulary.attributes}
        self.caption_words: Counter[int] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row, of which only the columns :data:`COLUMNS` are needed."""
        self.images += 1
        self.duplicates += row["duplicate_of"] is not None
        self.captions += len(row["captions"])
        self.score_sum += sum(row["caption_scores"])
        for caption in row["captions"]:
            self.caption_words[len(caption.split())] += 1
        for name, phrase in row["attributes"].items():
            if phrase is not None:
                self.phrases[name][phrase] += 1

    def values(self) -> dict[str, dict[str, int]]:
        """field -> {value: number of images}, most frequent first."""
        counts = {}
        for name, phrases in self.phrases.items():
            attribute = self.vocabulary.attributes[name]
            for field in attribute.fields:
                images_of: Counter[str] = Counter()
                for phrase, images in phrases.items():
                    value = attribute.by_phrase[phrase].value[field]
                    # A phrase such as "a red top" leaves the pattern open.
                    if value is not None:
                        images_of[value] += images
                counts[field] = most_frequent_first(images_of)
        return counts

    def optional(self) -> dict[str, int]:
        """Optional attribute -> number of images that have it, most frequent first."""
        attributes = self.vocabulary.attributes
        return most_frequent_first(
            {name: phrases.total() for name, phrases in self.phrases.items() if not attributes[name].required}
        )

    def mean_caption_score(self) -> float:
        """The mean cosine of a caption and its image in the scorer."""
        return self.score_sum / self.captions

    def mean_caption_words(self) -> float:
        """The mean number of words in a caption."""
        return sum(length * captions for length, captions in self.caption_words.items()) / self.captions

    def as_dict(self) -> dict[str, Any]:
        """All counts, JSON-able."""
        optional = self.optional()
        return {
            "images": self.images,
            "captions": self.captions,
            "rejected": self.rejected,
            "near_duplicates": self.duplicates,
            "mean_caption_score": round(self.mean_caption_score(), 6),
            "mean_caption_words": round(self.mean_caption_words(), 3),
            "captions_of_words": {str(length): self.caption_words[length] for length in sorted(self.caption_words)},
            # Here in the vocabulary's order, as all versions wrote them.
            "optional_attributes": {name: optional[name] for name in self.phrases if name in optional},
            "values": self.values(),
        }

    def write(self, path: Path | str) -> None:
        """Write the counts as a JSON file."""
        write_json(path, self.as_dict())


def most_frequent_first(counts: Mapping[str, int]) -> dict[str, int]:
    """``counts`` in falling order of the counts; names of equal counts in the order of the alphabet."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def statistics_of(shards: Iterable[Path | str], vocabulary: Vocabulary) -> Statistics:
    """The statistics of finished Parquet files. Their images are not read."""
    statistics = Statistics(vocabulary)
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, COLUMNS).to_pylist():
                    statistics.add(row)
    return statistics
