"""How probable the scorer holds what it holds most probable of each required field, and how often that is true."""

import numpy as np

from .charts import BAR, FAINT, new_figure

BINS = 10
PANELS_A_LINE = 5
SIDE, RIGHT, DOWN = 1.5, 1.9, 2.1  # inches: a panel's side, and from one to the next to its right and below it


class TopProbabilities:
    """Counts of top probabilities in bins, per required field (clothes as colour, pattern and garment apart).

    Attributes:
        values: field -> its values in the order of the stored probabilities.
        images, sums, right: field -> (10,) array: images whose top probability lies in the bin; the sum of those
            probabilities; images of which the value that has it is true (0 without truth).
    """

    def __init__(self, vocabulary):
        self.values, self._of = {}, {}
        for name, attribute in vocabulary.attributes.items():
            if attribute.required and attribute.parts:
                for part, field in attribute.part_fields.items():
                    self.values[field], self._of[field] = attribute.parts[part], (name, part)
            elif attribute.required:
                (field,) = attribute.fields
                self.values[field], self._of[field] = [choice.value[field] for choice in attribute.choices], (name,)
        self.images, self.right = ({field: np.zeros(BINS, np.int64) for field in self.values} for _ in range(2))
        self.sums = {field: np.zeros(BINS) for field in self.values}

    def add(self, probabilities, truth=None):
        """Count a row group.

        Args:
            probabilities: the column ``attribute_probabilities``, a ``pyarrow.StructArray`` of N rows.
            truth: N dicts, field -> value, or None.
        """
        for field, values in self.values.items():
            column = probabilities
            for name in self._of[field]:
                column = column.field(name)
            table = column.flatten().to_numpy().reshape(-1, len(values))
            best, top = table.argmax(axis=1), table.max(axis=1).astype(np.float64)
            bins = np.minimum((top * BINS).astype(int), BINS - 1)
            self.images[field] += np.bincount(bins, minlength=BINS)
            self.sums[field] += np.bincount(bins, top, minlength=BINS)
            if truth is not None:
                true = np.array([values[index] == known[field] for index, known in zip(best, truth, strict=True)])
                self.right[field] += np.bincount(bins[true], minlength=BINS)


def reliability_diagram(counts):
    """A panel a field: the share of images whose most probable value is true, against its mean probability.

    A bin is a dot whose area is its share of the images, with its 95 % confidence interval (Wilson's). On the dashed
    line probabilities mean what they say.
    """
    figure, panels = _panels(counts, "share that is true")
    for field, axes in panels.items():
        some = counts.images[field] > 0
        images, right = counts.images[field][some], counts.right[field][some]
        probability = counts.sums[field][some] / images
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
        axes.vlines(probability, *wilson_interval(right, images), color=BAR, linewidth=1)
        axes.scatter(probability, right / images, 10 + 120 * images / images.sum(), color=BAR, clip_on=False, zorder=3)
        axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0", "0.5", "1"])
    return figure


def wilson_interval(right, images, deviations=1.96):
    """(low, high) of the 95 % confidence interval of a share, given arrays of counts (Wilson, 1927)."""
    share, spread = right / images, deviations**2 / images
    middle = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return middle - half, middle + half


def top_histogram(counts):
    """A panel a field: the share of images in each bin of the top probability."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, panels = _panels(counts, "share of the images")
    tallest = max(images.max() / images.sum() for images in counts.images.values())
    for field, axes in panels.items():
        shares = counts.images[field] / counts.images[field].sum()
        axes.bar((np.arange(BINS) + 0.5) / BINS, shares, 0.9 / BINS, color=BAR)
        axes.set_ylim(0, 1.05 * tallest)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


def _panels(counts, what):
    """A figure, and field -> its axes; ``what`` stands at their left."""
    fields = list(counts.values)
    across = min(PANELS_A_LINE, len(fields))
    down = -(-len(fields) // across)
    width, height = 0.85 + RIGHT * across, 0.45 + DOWN * down
    figure, panels = new_figure(width, height), {}
    for number, field in enumerate(fields):
        left, bottom = 0.85 + number % across * RIGHT, height - 0.3 - SIDE - number // across * DOWN
        axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
        axes.set_title(field.replace("_", " "), size=10)
        axes.tick_params(labelleft=number % across == 0)
        panels[field] = axes
    figure.text(0.5, 0.1 / height, "probability of the most probable value", ha="center")
    figure.text(0.1 / width, 0.5, what, va="center", rotation=90)
    return figure, panels
