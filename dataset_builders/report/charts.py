"""The charts of a LUPerson-T build: matplotlib figures in a style of their own, whatever the user's settings are."""

import contextlib
import itertools

INK, FAINT, BAR = "#1f2933", "#9aa5b1", "#0072b2"
STYLE = {
    "figure.dpi": 110,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
}
LINE = 0.215  # inches: a bar with its label
LABEL, CHARACTER = 1.15, 0.09  # inches: the room for names before the bars, and for a character of the texts after them
LONGEST_NAME = 18


@contextlib.contextmanager
def chart_style():
    """Within it matplotlib draws in our style."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def new_figure(width, height):
    """An empty figure, in inches. It needs no window system and is freed like any other object."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def save_figure(figure, path):
    """Write a PNG file that says nothing about the library which made it."""
    figure.savefig(path, metadata={"Software": None})


def bar_groups(groups, images, label, columns=3, column_width=3.3):
    """Horizontal bars, in groups below their headings.

    All bars have the same scale.

    Args:
        groups: heading -> {name: number of images}, in the order from top to bottom, then from left to right.
        images: number of all images.
        label: function of (number of images, all images) that gives the text after a bar.
        columns: in which the groups are set, each as a whole; fewer where there are fewer groups.
        column_width: in inches.
    """
    columns = _balanced([(heading, bars) for heading, bars in groups.items()], columns)
    longest = max(1, *(count for bars in groups.values() for count in bars.values()))
    room = CHARACTER * max(len(label(count, images)) for bars in groups.values() for count in bars.values())
    scale = (column_width - LABEL - room) / longest
    width, height = column_width * len(columns) + 0.2, LINE * (max(map(_lines, columns)) + 0.5)
    figure = new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for number, column in enumerate(columns):
        left, y = number * column_width + LABEL, 0.75 * LINE
        for heading, bars in column:
            axes.text(left, y, heading, weight="bold", va="center")
            for name, count in bars.items():
                y += LINE
                name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
                axes.barh(y, count * scale, 0.7 * LINE, left=left, color=BAR)
                axes.text(left - 0.08, y, name, ha="right", va="center")
                axes.text(left + count * scale + 0.06, y, label(count, images), va="center", color=INK, size=9)
            y += 1.6 * LINE
    return figure


def _lines(column):
    return sum(len(bars) + 1.6 for _, bars in column)


def _balanced(groups, columns):
    """``groups`` cut into lists of neighbours of which the tallest is as low as can be."""
    columns = min(columns, len(groups))
    cuts = itertools.combinations(range(1, len(groups)), columns - 1)
    ways = [[groups[a:b] for a, b in itertools.pairwise((0, *cut, len(groups)))] for cut in cuts]
    return min(ways, key=lambda way: max(map(_lines, way)))


def length_histogram(captions_of_words):
    """Bars of how many captions have how many words; their mean is marked.

    Args:
        captions_of_words: number of words -> number of captions.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    captions = sum(captions_of_words.values())
    mean = sum(words * count for words, count in captions_of_words.items()) / captions
    figure = new_figure(7, 3)
    axes = figure.add_axes((0.1, 0.16, 0.87, 0.72))
    axes.bar(list(captions_of_words), list(captions_of_words.values()), 0.85, color=BAR)
    axes.axvline(mean, color=INK, linestyle="--", linewidth=1)
    axes.annotate(f"mean {mean:.1f}", (mean, 1), (5, 2), xycoords=("data", "axes fraction"), textcoords="offset points")
    axes.set(xlabel="words in a caption", ylabel="captions")
    axes.set_xlim(min(min(captions_of_words) - 1, mean - 10), max(max(captions_of_words) + 1, mean + 10))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure
