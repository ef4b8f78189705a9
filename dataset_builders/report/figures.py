"""The pictures of a LUPerson-T build: ``OUTPUT/pictures/``, shown by the dataset card."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as parquet

from modeling_unipt.common.user_errors import UserError

from ..agreement import match_truth, read_truth
from .charts import bar_groups, chart_style, length_histogram, save_figure
from .confidence import TopProbabilities, reliability_diagram, top_histogram
from .sample_sheet import captioned_sheet, drawn_rows
from .word_cloud import CaptionWords, draw_words, function_words, place_words

FOLDER = "pictures"


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn.

    Attributes:
        path: relative to the dataset's folder.
        title: what the card says above it.
        alt: what it shows, for those who do not see it.
        text: what the card says below it.
    """

    path: str
    title: str
    alt: str
    text: str


def check_can_draw():
    """Raise now rather than after all the work.

    Raises:
        UserError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("the dataset card's pictures need the package matplotlib; run pip install 'unipt[data]'")


def draw_pictures(folder, shards, vocabulary, captioner, statistics, seed, truth_path=None):
    """Draw what a finished build holds; the same build gives the same bytes.

    Args:
        folder: of the dataset; the pictures go below it.
        shards: relative paths of its Parquet files.
        vocabulary: of the attributes that were scored.
        captioner: whose templates wrote the captions.
        statistics: :class:`dataset_builders.report.card.Statistics` of the build.
        seed: of the drawing of the images shown.
        truth_path: truth.jsonl of these images, or None.
    Returns:
        List of :class:`Picture`, in the order of the card; one that would show nothing is left out.
    """
    folder = Path(folder)
    (folder / FOLDER).mkdir()
    shards = [folder / shard for shard in shards]
    words, tops = _count(shards, vocabulary, captioner, truth_path)
    with chart_style():
        pictures = [
            _images(folder, shards, seed),
            _optional_attributes(folder, statistics),
            _required_attributes(folder, vocabulary, statistics),
            _caption_lengths(folder, statistics.caption_words),
            _words(folder, words.counts),
            _probabilities(folder, tops, truth_path),
        ]
    return [picture for picture in pictures if picture is not None]


def _count(shards, vocabulary, captioner, truth_path):
    """(:class:`CaptionWords`, :class:`TopProbabilities`) of Parquet files, a row group at a time."""
    words, tops, truth, begin = CaptionWords(function_words(captioner)), TopProbabilities(vocabulary), None, 0
    if truth_path:
        ids = [name for shard in shards for name in parquet.ParquetFile(shard).read(["image_id"])[0].to_pylist()]
        truth = match_truth(ids, read_truth(truth_path), truth_path)
    for shard in shards:
        with parquet.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["captions", "attribute_probabilities"])
                end = begin + len(table)
                words.add(table["captions"].combine_chunks().flatten().to_pylist())
                tops.add(table["attribute_probabilities"].combine_chunks(), truth and truth[begin:end])
                begin = end
    return words, tops


def _images(folder, shards, seed):
    rows = drawn_rows(shards, seed)
    alt = f"{len(rows)} images, each beside its captions"
    text = f"Drawn at random by the seed {seed}, not chosen. Who removes one of them removes this picture, too."
    picture = Picture(f"{FOLDER}/images.jpg", "Some images", alt, text)
    captioned_sheet(rows).save(folder / picture.path, quality=85)
    return picture


def _optional_attributes(folder, statistics):
    found = dict(sorted(statistics.optional().items(), key=lambda item: (-item[1], item[0])))
    if not found:
        return None
    picture = Picture(
        f"{FOLDER}/optional_attributes.png",
        "Optional attributes",
        "Bars of the images that have each: " + ", ".join(f"{_spaced(name)} {n:,}" for name, n in found.items()),
        f"Found {sum(found.values()):,} times.",
    )
    bars = {"images that have": {_spaced(name): count for name, count in found.items()}}
    save_figure(bar_groups(bars, statistics.images, number_and_share, column_width=6), folder / picture.path)
    return picture


def _required_attributes(folder, vocabulary, statistics):
    groups = required_values(vocabulary, statistics)
    if not groups:
        return None
    picture = Picture(
        f"{FOLDER}/required_attributes.png",
        "Required attributes",
        f"Bars of the share of images that have each value, of {', '.join(groups)}",
        "Shares of all images.",
    )
    save_figure(bar_groups(groups, statistics.images, share), folder / picture.path)
    return picture


def _caption_lengths(folder, captions_of_words):
    picture = Picture(
        f"{FOLDER}/caption_lengths.png",
        "Length of the captions",
        f"Histogram of the words in a caption, from {min(captions_of_words)} to {max(captions_of_words)}",
        "Words are what spaces separate.",
    )
    save_figure(length_histogram(captions_of_words), folder / picture.path)
    return picture


def _words(folder, counts):
    cloud = place_words(counts)
    if not cloud:
        return None
    picture = Picture(
        f"{FOLDER}/words.png",
        "Words of the captions",
        f"Cloud of the most frequent words: {', '.join(placed.word for placed in cloud[:10])}",
        "The area of a word grows with its count; words that hold sentences together are left out.",
    )
    draw_words(cloud).save(folder / picture.path, optimize=True)
    return picture


def _probabilities(folder, tops, truth_known):
    if not tops.values:
        return None
    fields = ", ".join(map(_spaced, tops.values))
    path = f"{FOLDER}/probabilities.png"
    if truth_known:
        draw, title, alt = reliability_diagram, "Are the probabilities right?", f"Reliability diagrams of {fields}"
        text = (
            "How often the most probable value is true, against how probable the scorer holds it: on the dashed line "
            "the two agree, below it the scorer is too sure. A dot's area is its share of the images, a line its 95 % "
            "confidence interval."
        )
    else:
        draw, title, alt = top_histogram, "How sure the scorer is", f"Histograms of the top probability of {fields}"
        text = "Whether it is right to be so sure is known only where the truth is (`--truth`)."
    save_figure(draw(tops), folder / path)
    return Picture(path, title, alt, text)


def required_values(vocabulary, statistics):
    """Heading -> {value: images} of the required attributes, most frequent first; values that no image has are there,
    and the heading tells where an attribute is not said of every image."""
    counts, groups = statistics.values(), {}
    for attribute in vocabulary.attributes.values():
        for field in attribute.fields if attribute.required else ():
            bars = {value: counts[field].get(value, 0) for value in attribute.values(field)}
            said = sum(bars.values())
            heading = _spaced(field)
            heading += f" (said of {share(said, statistics.images)})" if said < statistics.images else ""
            groups[heading] = dict(sorted(bars.items(), key=lambda item: (-item[1], item[0])))
    return groups


def share(count, images):
    """Such as "31 %"."""
    return "< 1 %" if 0 < count < 0.01 * images else f"{100 * count / images:.0f} %"


def number_and_share(count, images):
    """Such as "1,234 · 31 %"."""
    return f"{count:,} · {share(count, images)}" if count else "0"


def _spaced(name):
    return name.replace("_", " ")
