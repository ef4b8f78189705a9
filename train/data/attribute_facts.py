"""What captions tell and images show, as columns: the rows of LUPerson-T store a probability for every value.

A *slot* is one field of the vocabulary, such as hair length or the colour of the upper clothes. Its columns are the
probabilities that a row stores for it. The columns of all slots stand side by side, C in all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dataset_builders.divide.vocabulary import Choice, Vocabulary


class AttributeFacts:
    """Rows and captions as vectors of columns.

    Args:
        vocabulary: the whole vocabulary that the dataset was made with.
        stored: names of the attributes that the dataset has.

    Attributes:
        sizes: number of columns of each slot.
    """

    def __init__(self, vocabulary: Vocabulary, stored: Iterable[str]) -> None:
        self.slots = []
        for name in stored:
            attribute = vocabulary.attributes[name]
            # Only attributes of several parts, such as clothes, store a table for each part.
            fields_of_parts = attribute.part_fields or {None: attribute.fields[0]}
            for part, field in fields_of_parts.items():
                self.slots.append((name, part, field, attribute.slots[field]))
        self.sizes = [len(values) for *_, values in self.slots]

    def shown(self, probabilities: Mapping[str, Any]) -> np.ndarray:
        """(C,) float32 of the ``attribute_probabilities`` of a row: by attribute a list, or by part a list."""
        tables = []
        for name, part, _, _ in self.slots:
            tables.append(probabilities[name][part] if part else probabilities[name])
        return np.concatenate(tables).astype(np.float32)

    def told(self, choices: Mapping[str, Choice]) -> np.ndarray:
        """(C,) bool: the columns that mean what a caption tells; none of a slot on which the caption is silent.

        Args:
            choices: attribute -> what the caption tells of it. A shorter wording ("a red shirt") counts as if it told
                the whole choice.
        """
        columns = []
        for name, _, field, values in self.slots:
            value = choices[name].value[field] if name in choices else None
            columns += [value is not None and other == value for other in values]
        return np.array(columns)
