"""The charts of a LUPerson-T build: matplotlib figures in a style of their own, whatever the user's settings are."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, BAR = "#1f2933", "#9aa5b1", "#0072b2"
STYLE = {
    "figure.dpi": 110,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
}
# In inches: the height of a bar with its label, the room for the names before the bars, and the width of a character
# of the labels after them.
LINE, NAMES, CHARACTER = 0.215, 1.15, 0.09
LONGEST_NAME = 18
# A heading and the gap below a group take as much room as this many bars.
LINES_OF_A_HEADING = 1.6

# A heading and its bars: name -> number of images.
Group = tuple[str, Mapping[str, int]]


@contextmanager
def chart_style() -> Iterator[None]:
    """Within this block matplotlib draws in our style."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; the size is in inches.

    Unlike a figure of pyplot it needs no window system, and is freed like any other object.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def save_figure(figure: "Figure", path: Path | str) -> None:
    """Write a PNG file that does not name the library's version, so that every version gives the same bytes."""
    figure.savefig(path, metadata={"Software": None})


def bar_groups(
    groups: Mapping[str, Mapping[str, int]],
    images: int,
    label: Callable[[int, int], str],
    columns: int = 3,
    column_width: float = 3.3,
) -> "Figure":
    """Horizontal bars in groups, each group below its heading. All bars have the same scale.

    Args:
        groups: heading -> {name: number of images}, from top to bottom, then from left to right.
        images: number of all images.
        label: gives the text after a bar, from the bar's number of images and that of all images.
        columns: number of columns at most. A group is never cut.
        column_width: in inches.
    """
    by_column = _balanced(list(groups.items()), columns)
    counts = [count for bars in groups.values() for count in bars.values()]
    longest = max(1, *counts)
    room = CHARACTER * max(len(label(count, images)) for count in counts)
    scale = (column_width - NAMES - room) / longest
    width = column_width * len(by_column) + 0.2
    height = LINE * (max(map(_lines, by_column)) + 0.5)
    figure = new_figure(width, height)
    # One inch is one unit of the axes, and y runs downwards.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for number, column in enumerate(by_column):
        left = number * column_width + NAMES
        y = 0.75 * LINE
        for heading, bars in column:
            axes.text(left, y, heading, weight="bold", va="center")
            for name, count in bars.items():
                y += LINE
                shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
                axes.barh(y, count * scale, 0.7 * LINE, left=left, color=BAR)
                axes.text(left - 0.08, y, shown, ha="right", va="center")
                axes.text(left + count * scale + 0.06, y, label(count, images), va="center", color=INK, size=9)
            y += LINES_OF_A_HEADING * LINE
    return figure


def _lines(column: list[Group]) -> float:
    """The height of a column, in bars."""
    return sum(len(bars) + LINES_OF_A_HEADING for _, bars in column)


def _balanced(groups: list[Group], columns: int) -> list[list[Group]]:
    """``groups`` cut into columns, in their order, so that the tallest column is as low as can be.

    There are few groups, so all ways to cut them are tried.
    """
    columns = min(columns, len(groups))
    ways = []
    for cuts in itertools.combinations(range(1, len(groups)), columns - 1):
        bounds = itertools.pairwise((0, *cuts, len(groups)))
        ways.append([groups[begin:end] for begin, end in bounds])
    return min(ways, key=lambda way: max(map(_lines, way)))


def length_histogram(captions_of_words: Mapping[int, int]) -> "Figure":
    """Bars of how many captions have how many words; a dashed line marks the mean.

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
    # At least ten words to either side of the mean: a single bar would fill the whole chart.
    axes.set_xlim(min(min(captions_of_words) - 1, mean - 10), max(max(captions_of_words) + 1, mean + 10))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure
