"""What captions tell and images show, as columns: the rows of LUPerson-T store a probability for every value.

A *slot* is one field of the vocabulary, such as hair length or the colour of the upper clothes; its columns are the
probabilities that a row stores for it. All slots stand side by side in C columns.
"""

import numpy as np


class AttributeFacts:
    """Rows and captions as vectors of columns.

    Args:
        vocabulary: the whole vocabulary that the dataset was made with.
        stored: names of the attributes that the dataset has.

    Attributes:
        sizes: number of columns of each slot.
    """

    def __init__(self, vocabulary, stored):
        self.slots = []
        for name in stored:
            attribute = vocabulary.attributes[name]
            for part, field in (attribute.part_fields or {None: attribute.fields[0]}).items():
                self.slots.append((name, part, field, attribute.slots[field]))
        self.sizes = [len(values) for *_, values in self.slots]

    def shown(self, probabilities):
        """(C,) float32 of a row's ``attribute_probabilities``."""
        tables = [probabilities[name][part] if part else probabilities[name] for name, part, *_ in self.slots]
        return np.concatenate(tables).astype(np.float32)

    def told(self, choices):
        """(C,) bool: the columns that mean what a caption tells, attribute -> ``Choice``; none where it is silent.

        A shorter wording ("a red shirt") counts as if it told the whole choice.
        """
        columns = []
        for name, _, field, values in self.slots:
            value = choices[name].value[field] if name in choices else None
            columns += [value is not None and other == value for other in values]
        return np.array(columns)


def log_truth(told, shown, sizes, floor=1e-3):
    """(captions, images): log-probability that a caption is true of an image, its facts taken as independent.

    Args:
        told: (captions, C) bool. shown: (images, C) probabilities. sizes: number of columns of each slot.
        floor: the least probability of a fact, since no scorer is that sure.
    """
    total = 0
    for facts, seen in zip(told.to(shown.dtype).split(sizes, dim=1), shown.split(sizes, dim=1), strict=True):
        silent = ~facts.bool().any(dim=1, keepdim=True)
        total = total + (facts @ seen.T).clamp(floor, 1).log().masked_fill(silent, 0.0)
    return total
