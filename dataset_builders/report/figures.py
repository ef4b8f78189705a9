"""The figures of a LUPerson-T build, in ``OUTPUT/figures/``. The dataset card shows them."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as parquet

from modeling_unipt.common.user_errors import UserError

from ..divide.vocabulary import Vocabulary
from ..measure.truth import match_truth, read_truth
from .charts import bar_groups, chart_style, length_histogram, save_figure
from .confidence import TopProbabilities, reliability_diagram, top_histogram
from .sample_sheet import captioned_sheet, drawn_rows
from .statistics import Statistics, most_frequent_first

FOLDER = "figures"


@dataclass(frozen=True)
class Figure:
    """A figure that was drawn.

    Attributes:
        path: of its file, relative to the dataset's folder.
        title: what the card says above it.
        alt: what it shows, for those who do not see it.
        text: what the card says below it.
    """

    path: str
    title: str
    alt: str
    text: str


def check_can_draw() -> None:
    """Fail now rather than after all the work.

    Raises:
        UserError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("the figures of the dataset card need the package matplotlib; run pip install 'unipt[data]'")


def draw_figures(
    folder: Path,
    shards: Sequence[Path],
    vocabulary: Vocabulary,
    statistics: Statistics,
    seed: int,
    truth_path: Path | str | None = None,
) -> list[Figure]:
    """Draw what a finished build holds. The same build gives the same bytes.

    Args:
        folder: of the dataset; the figures go below it.
        shards: its Parquet files, as relative paths.
        vocabulary: of the attributes that were scored.
        seed: of the choice of the images shown.
        truth_path: truth.jsonl of these images, or None.

    Returns:
        The figures in the order of the card. One that would show nothing is left out.
    """
    (folder / FOLDER).mkdir()
    files = [folder / shard for shard in shards]
    tops = _count_probabilities(files, vocabulary, truth_path)
    with chart_style():
        figures = [
            _images(folder, files, seed),
            _optional_attributes(folder, statistics),
            _required_attributes(folder, vocabulary, statistics),
            _caption_lengths(folder, statistics.caption_words),
            _probabilities(folder, tops, truth_known=truth_path is not None),
        ]
    return [figure for figure in figures if figure is not None]


def _count_probabilities(
    shards: Sequence[Path], vocabulary: Vocabulary, truth_path: Path | str | None
) -> TopProbabilities:
    """Count the top probabilities of Parquet files, a row group at a time."""
    truth = None
    if truth_path:
        ids = []
        for shard in shards:
            ids += parquet.read_table(shard, columns=["image_id"])["image_id"].to_pylist()
        truth = match_truth(ids, read_truth(truth_path), truth_path)
    tops = TopProbabilities(vocabulary)
    begin = 0
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["attribute_probabilities"])
                end = begin + len(table)
                probabilities = table["attribute_probabilities"].combine_chunks()
                tops.add(probabilities, None if truth is None else truth[begin:end])
                begin = end
    return tops


def _images(folder: Path, shards: Sequence[Path], seed: int) -> Figure:
    rows = drawn_rows(shards, seed)
    figure = Figure(
        f"{FOLDER}/images.jpg",
        "Some images",
        f"{len(rows)} images, each beside its captions",
        f"The seed {seed} drew them at random; nobody chose them. If you remove one of these images from the dataset, "
        "remove this figure, too.",
    )
    captioned_sheet(rows).save(folder / figure.path, quality=85)
    return figure


def _optional_attributes(folder: Path, statistics: Statistics) -> Figure | None:
    found = {_spaced(name): images for name, images in statistics.optional().items()}
    if not found:
        return None
    listed = ", ".join(f"{name} {images:,}" for name, images in found.items())
    figure = Figure(
        f"{FOLDER}/optional_attributes.png",
        "Optional attributes",
        f"Bars of the number of images that have each optional attribute: {listed}",
        f"{sum(found.values()):,} optional attributes were found in all.",
    )
    bars = {"images that have": found}
    save_figure(bar_groups(bars, statistics.images, number_and_share, column_width=6), folder / figure.path)
    return figure


def _required_attributes(folder: Path, vocabulary: Vocabulary, statistics: Statistics) -> Figure | None:
    groups = required_values(vocabulary, statistics)
    if not groups:
        return None
    figure = Figure(
        f"{FOLDER}/required_attributes.png",
        "Required attributes",
        f"Bars of the share of images that have each value of {', '.join(groups)}",
        "Each share is one of all images.",
    )
    save_figure(bar_groups(groups, statistics.images, share), folder / figure.path)
    return figure


def _caption_lengths(folder: Path, captions_of_words: Mapping[int, int]) -> Figure:
    figure = Figure(
        f"{FOLDER}/caption_lengths.png",
        "Length of the captions",
        f"Histogram of the number of words in a caption, from {min(captions_of_words)} to {max(captions_of_words)}",
        "Words are the parts between spaces.",
    )
    save_figure(length_histogram(captions_of_words), folder / figure.path)
    return figure


def _probabilities(folder: Path, tops: TopProbabilities, truth_known: bool) -> Figure | None:
    if not tops.values:
        return None
    fields = ", ".join(map(_spaced, tops.values))
    path = f"{FOLDER}/probabilities.png"
    if truth_known:
        save_figure(reliability_diagram(tops), folder / path)
        return Figure(
            path,
            "Are the probabilities right?",
            f"Reliability diagrams of {fields}",
            "Across: the probability of the most probable value. Up: how often that value is correct. On the dashed "
            "line the two are equal; below it the scorer is too sure. The area of a dot is its share of the images, "
            "and its vertical line is the 95 % confidence interval.",
        )
    save_figure(top_histogram(tops), folder / path)
    return Figure(
        path,
        "How sure the scorer is",
        f"Histograms of the probability of the most probable value, of {fields}",
        "Only a build with known attributes (`--truth`) can tell whether the scorer is right to be so sure.",
    )


def required_values(vocabulary: Vocabulary, statistics: Statistics) -> dict[str, dict[str, int]]:
    """The bars of the required attributes: heading -> {value: number of images}, most frequent first.

    Values that no image has are there, too. The heading tells if an attribute is not stated of every image.
    """
    counts = statistics.values()
    groups = {}
    for attribute in vocabulary.attributes.values():
        if not attribute.required:
            continue
        for field in attribute.fields:
            bars = {value: counts[field].get(value, 0) for value in attribute.values(field)}
            stated = sum(bars.values())
            heading = _spaced(field)
            if stated < statistics.images:
                heading += f" (said of {share(stated, statistics.images)})"
            groups[heading] = most_frequent_first(bars)
    return groups


def share(count: int, images: int) -> str:
    """A share of the images as a text, such as "31 %"."""
    return "< 1 %" if 0 < count < 0.01 * images else f"{100 * count / images:.0f} %"


def number_and_share(count: int, images: int) -> str:
    """A number and its share of the images as a text, such as "1,234 · 31 %"."""
    return f"{count:,} · {share(count, images)}" if count else "0"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
