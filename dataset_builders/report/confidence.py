"""Top-1 confidence for each required field, and how often the top-1 value is correct.

The top-1 value is the most probable value of a field; its probability is the top-1 confidence.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow

from ..divide.vocabulary import Truth, Vocabulary
from .charts import BAR, FAINT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
PANELS_A_LINE = 5
# In inches: the side of a panel, and the steps from one panel to the next on its right and to the next below it.
SIDE, RIGHT, DOWN = 1.5, 1.9, 2.1
# In inches: the room at the left of the panels and above them, for the labels.
LEFT, TOP = 0.85, 0.3
# The distance from the middle of a normal distribution that bounds 95 % of it, in standard deviations.
DEVIATIONS_OF_95_PERCENT = 1.96


class TopProbabilities:
    """Counts of top-1 confidences in bins, for each required field. Clothes have a field for colour, pattern, garment.

    Attributes:
        values: field -> its values, in the order of the stored probabilities.
        images: field -> (10,) array, images whose confidence lies in the bin.
        sums: field -> (10,) array, the sum of those confidences.
        right: field -> (10,) array, images in the bin whose top-1 value is correct; 0 if the truth is not known.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.values: dict[str, list[str]] = {}
        # field -> the names that lead to it in the nested column attribute_probabilities.
        self._path: dict[str, tuple[str, ...]] = {}
        for name, attribute in vocabulary.attributes.items():
            if not attribute.required:
                continue
            if attribute.parts:
                for part, field in attribute.part_fields.items():
                    self.values[field] = attribute.parts[part]
                    self._path[field] = (name, part)
            else:
                (field,) = attribute.fields
                self.values[field] = [choice.value[field] for choice in attribute.choices]
                self._path[field] = (name,)
        self.images = {field: np.zeros(BINS, np.int64) for field in self.values}
        self.right = {field: np.zeros(BINS, np.int64) for field in self.values}
        self.sums = {field: np.zeros(BINS) for field in self.values}

    def add(self, probabilities: pyarrow.StructArray, truth: Sequence[Truth] | None = None) -> None:
        """Count a row group.

        Args:
            probabilities: the column ``attribute_probabilities`` of N rows.
            truth: for each row field -> correct value, or None if the truth is not known.
        """
        for field, values in self.values.items():
            column = probabilities
            for name in self._path[field]:
                column = column.field(name)
            table = column.flatten().to_numpy().reshape(-1, len(values))
            best = table.argmax(axis=1)
            top = table.max(axis=1).astype(np.float64)
            # A probability of just 1 belongs to the last bin.
            bins = np.minimum((top * BINS).astype(int), BINS - 1)
            self.images[field] += np.bincount(bins, minlength=BINS)
            self.sums[field] += np.bincount(bins, top, minlength=BINS)
            if truth is not None:
                correct = np.array([values[index] == known[field] for index, known in zip(best, truth, strict=True)])
                self.right[field] += np.bincount(bins[correct], minlength=BINS)


def reliability_diagram(counts: TopProbabilities) -> "Figure":
    """A panel for each field: the share of images whose top-1 value is correct, against its mean confidence.

    Each bin is a dot whose area is its share of the images, with its 95 % confidence interval (Wilson's). On the dashed
    line the share equals the confidence.
    """
    figure, panels = _panels(counts, "share that is true")
    for field, axes in panels.items():
        filled = counts.images[field] > 0
        images = counts.images[field][filled]
        right = counts.right[field][filled]
        confidence = counts.sums[field][filled] / images
        low, high = wilson_interval(right, images)
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
        axes.vlines(confidence, low, high, color=BAR, linewidth=1)
        axes.scatter(confidence, right / images, 10 + 120 * images / images.sum(), color=BAR, clip_on=False, zorder=3)
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0", "0.5", "1"])
    return figure


def wilson_interval(
    right: np.ndarray | int, images: np.ndarray | int, deviations: float = DEVIATIONS_OF_95_PERCENT
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds (low, high) of the confidence interval of a share (Wilson, 1927); 95 % by default.

    Args:
        right: (N,) counts, or one count.
        images: of how many, likewise.
    """
    share = right / images
    spread = deviations**2 / images
    middle = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return middle - half, middle + half


def top_histogram(counts: TopProbabilities) -> "Figure":
    """A panel for each field: the share of images in each bin of the top-1 confidence."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, panels = _panels(counts, "share of the images")
    # All panels have one scale, so that they can be compared.
    tallest = max(images.max() / images.sum() for images in counts.images.values())
    for field, axes in panels.items():
        shares = counts.images[field] / counts.images[field].sum()
        axes.bar((np.arange(BINS) + 0.5) / BINS, shares, 0.9 / BINS, color=BAR)
        axes.set_ylim(0, 1.05 * tallest)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


def _panels(counts: TopProbabilities, label: str) -> tuple["Figure", dict[str, "Axes"]]:
    """A figure, and field -> its panel; ``label`` stands at the left of all panels."""
    fields = list(counts.values)
    across = min(PANELS_A_LINE, len(fields))
    down = -(-len(fields) // across)
    width = LEFT + RIGHT * across
    height = TOP + 0.15 + DOWN * down
    figure = new_figure(width, height)
    panels = {}
    for number, field in enumerate(fields):
        row, column = divmod(number, across)
        left = LEFT + column * RIGHT
        bottom = height - TOP - SIDE - row * DOWN
        # matplotlib wants shares of the figure's width and height.
        axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
        axes.set_title(field.replace("_", " "), size=10)
        axes.tick_params(labelleft=column == 0)
        panels[field] = axes
    figure.text(0.5, 0.1 / height, "probability of the most probable value", ha="center")
    figure.text(0.1 / width, 0.5, label, va="center", rotation=90)
    return figure, panels
