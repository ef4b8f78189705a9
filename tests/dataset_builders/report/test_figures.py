import io
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image, ImageFont

from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from dataset_builders.report import sample_sheet
from dataset_builders.report.charts import bar_groups, length_histogram
from dataset_builders.report.confidence import TopProbabilities, reliability_diagram, top_histogram, wilson_interval
from dataset_builders.report.figures import check_can_draw, number_and_share, required_values, share
from dataset_builders.report.sample_sheet import captioned_sheet, drawn_rows
from dataset_builders.report.statistics import Statistics
from modeling_unipt.common.user_errors import UserError
from tests.helpers.luperson_t_builds import build, write_people
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

ALL = ["caption_lengths.png", "images.jpg", "optional_attributes.png", "probabilities.png", "required_attributes.png"]


def figures_of(folder):
    return sorted(path.name for path in (folder / "figures").iterdir())


def linked(folder):
    """[(alt text, path)] of the card's figures."""
    return re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", (folder / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Five drawn people and their made-up truth."""
    return write_people(tmp_path_factory.mktemp("people"), [f"p{index}.png" for index in range(5)])


@pytest.fixture(scope="module")
def built(people, tiny_clip_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "out"
    return build(people / "images", tiny_clip_folder, output, "--truth", people / "truth.jsonl")


def test_the_card_shows_every_figure_and_says_what_it_is(built):
    assert figures_of(built) == ALL
    shown = linked(built)
    assert sorted(path for _, path in shown) == [f"figures/{name}" for name in ALL]
    assert all(len(alt) > 15 for alt, _ in shown)
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "Are the probabilities right?" in card and "The seed 0 drew them at random" in card
    counts = json.loads((built / "statistics.json").read_text())["optional_attributes"]
    assert f"smoke {counts['smoke']}" in dict((path, alt) for alt, path in shown)["figures/optional_attributes.png"]
    for name in ALL:
        with Image.open(built / "figures" / name) as figure:
            assert min(figure.size) > 100
            assert not {"Software", "date", "exif"} & set(figure.info)


def test_the_same_build_gives_the_same_bytes_whatever_the_users_style(people, built, tiny_clip_folder, tmp_path):
    import matplotlib

    options = ["--truth", people / "truth.jsonl", "--batch-size", 2]
    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 40, "axes.facecolor": "red"}):
        again = build(people / "images", tiny_clip_folder, tmp_path / "again", *options)
    for name in ALL:
        assert (again / "figures" / name).read_bytes() == (built / "figures" / name).read_bytes(), name


def test_without_truth_the_probabilities_are_a_histogram(people, built, tiny_clip_folder, tmp_path):
    plain = build(people / "images", tiny_clip_folder, tmp_path / "plain")
    assert figures_of(plain) == ALL
    differing = [n for n in ALL if (plain / "figures" / n).read_bytes() != (built / "figures" / n).read_bytes()]
    assert differing == ["probabilities.png"]
    card = (plain / "README.md").read_text(encoding="utf-8")
    assert "How sure the scorer is" in card and "Are the probabilities right?" not in card


def test_one_image_is_enough(tiny_clip_folder, tmp_path):
    (tmp_path / "one").mkdir()
    draw_person(3).save(tmp_path / "one" / "p.png")
    assert figures_of(build(tmp_path / "one", tiny_clip_folder, tmp_path / "out")) == ALL


@pytest.mark.parametrize(
    ("kept", "missing"),
    [("age", {"optional_attributes.png"}), ("smoke", {"required_attributes.png", "probabilities.png"})],
)
def test_a_figure_that_would_show_nothing_is_left_out(people, tiny_clip_folder, tmp_path, kept, missing):
    options = [part for name in load_vocabulary().attributes if name != kept for part in ("--without", name)]
    folder = build(people / "images", tiny_clip_folder, tmp_path / "out", *options)
    drawn = set(figures_of(folder))
    assert drawn == {Path(path).name for _, path in linked(folder)}
    assert set(ALL) - drawn == missing


def test_a_build_without_matplotlib_ends_before_the_work(people, tiny_clip_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'unipt\[data\]'"):
        check_can_draw()
    with pytest.raises(UserError, match="matplotlib"):
        build(people / "images", tiny_clip_folder, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_matplotlib_is_imported_when_something_is_drawn():
    program = "import sys, dataset_builders.luperson_t.finish; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def bars_of(figure):
    return [bar.get_width() for bar in figure.axes[0].patches]


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("times", [1, 1_000_000])
def test_bars_are_as_long_as_the_counts_and_labels_do_not_overlap(times):
    groups = {"a": {"x": 30, "y": 10}, "b": {"long name of a value": 60, "v": 0}, "c": {"w": 1}}
    groups = {heading: {name: times * count for name, count in bars.items()} for heading, bars in groups.items()}
    figure = bar_groups(groups, 100 * times, number_and_share, columns=2)
    widths = np.array(bars_of(figure))
    np.testing.assert_allclose(widths / widths.max(), np.array([30, 10, 60, 0, 1]) / 60)
    zeros = ",000,000" * (times > 1)
    labels = ["a", "x", f"30{zeros} · 30 %", "y", f"10{zeros} · 10 %"]
    labels += ["b", "long name of a va…", f"60{zeros} · 60 %", "v", "0", "c", "w", f"1{zeros} · 1 %"]
    assert texts_of(figure) == labels
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    boxes += [bar.get_window_extent() for bar in figure.axes[0].patches if bar.get_width()]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)


@pytest.mark.parametrize("name", ["vocabulary.yaml", "vehicles.yaml"])
def test_the_labels_of_a_whole_vocabulary_do_not_overlap(name):
    vocabulary = load_vocabulary(DEFAULT_VOCABULARY.parent / name)
    statistics = Statistics(vocabulary)
    statistics.images = 4_000_000
    for attribute, phrases in statistics.phrases.items():
        phrases[vocabulary.attributes[attribute].choices[0].phrase] = 3_999_000
    figure = bar_groups(required_values(vocabulary, statistics), statistics.images, share)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(bars_of(figure)) >= 10 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_no_optional_attribute_found_is_no_bar():
    figure = bar_groups({"images that have": {"hat": 0, "bag": 0}}, 5, number_and_share)
    assert bars_of(figure) == [0, 0] and texts_of(figure) == ["images that have", "hat", "0", "bag", "0"]


def test_required_values_are_counted_per_field_and_tell_of_silence():
    vocabulary = load_vocabulary().without(["age"])
    statistics = Statistics(vocabulary)
    choices = vocabulary.attributes["upper_clothes"].choices
    for index in (0, 0, 7):
        attributes = {"upper_clothes": choices[index].phrase, "gender": "woman" if index else None}
        statistics.add({"captions": [], "caption_scores": [], "attributes": attributes, "duplicate_of": None})
    groups = required_values(vocabulary, statistics)
    assert groups["upper pattern"] == {"plain": 2, "striped": 1, "dotted": 0, "plaid": 0}
    assert groups["gender (said of 33 %)"] == {"woman": 1, "man": 0}
    assert share(1, 1000) == "< 1 %" and share(0, 1000) == "0 %" and number_and_share(1234, 4000) == "1,234 · 31 %"


def test_the_length_histogram_counts_captions():
    figure = length_histogram(Counter({12: 3, 14: 1}))
    bars = figure.axes[0].patches
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars] == [(12, 3), (14, 1)]
    assert texts_of(figure) == ["mean 12.5"]


def random_probabilities(vocabulary, rows):
    """(arrow column, attribute -> (rows, choices)) of made-up probabilities."""
    rng, given, columns = np.random.default_rng(0), {}, {}
    for name, attribute in vocabulary.attributes.items():
        given[name] = rng.dirichlet(np.full(len(attribute.choices), 0.1), rows).astype(np.float32)
        if attribute.parts:
            columns[name] = [
                {part: table[row] for part, table in attribute.marginals(given[name]).items()} for row in range(rows)
            ]
        else:
            columns[name] = list(given[name])
    rows_of_it = [{name: column[row] for name, column in columns.items()} for row in range(rows)]
    return pyarrow.array(rows_of_it), given


def test_top_probabilities_equal_a_naive_count():
    vocabulary = load_vocabulary()
    column, given = random_probabilities(vocabulary, 40)
    rng = np.random.default_rng(1)
    fields = {field: a for a in vocabulary.attributes.values() if a.required for field in a.fields}
    truth = [{f: str(rng.choice(sorted(a.values(f)))) for f, a in fields.items()} for _ in range(40)]
    counts = TopProbabilities(vocabulary)
    counts.add(column.slice(0, 15), truth[:15])
    counts.add(column.slice(15), truth[15:])
    assert list(counts.values) == list(fields) and len(fields) == 10
    for field, attribute in fields.items():
        images, sums, right = np.zeros(10), np.zeros(10), np.zeros(10)
        for row in range(40):
            probability = Counter()
            for choice, value in zip(attribute.choices, given[attribute.name][row], strict=True):
                probability[choice.value[field]] += float(value)
            best, top = probability.most_common(1)[0]
            where = min(9, int(top * 10))
            images[where] += 1
            sums[where] += top
            right[where] += best == truth[row][field]
        np.testing.assert_array_equal(counts.images[field], images)
        np.testing.assert_array_equal(counts.right[field], right)
        np.testing.assert_allclose(counts.sums[field], sums, rtol=1e-5)


def test_the_probability_charts_show_the_counts():
    vocabulary = load_vocabulary()
    column, _ = random_probabilities(vocabulary, 50)
    counts = TopProbabilities(vocabulary)
    young = {field: sorted(values)[0] for field, values in counts.values.items()}
    counts.add(column, [young] * 50)
    for field, axes in zip(counts.values, top_histogram(counts).axes, strict=True):
        np.testing.assert_allclose([50 * bar.get_height() for bar in axes.patches], counts.images[field], atol=1e-9)
    for field, axes in zip(counts.values, reliability_diagram(counts).axes, strict=True):
        some = counts.images[field] > 0
        dots = axes.collections[-1].get_offsets()
        np.testing.assert_allclose(dots[:, 1], counts.right[field][some] / counts.images[field][some])
        assert axes.get_title() == field.replace("_", " ")


def test_wilsons_interval():
    low, high = wilson_interval(np.array([0, 5, 10]), np.array([10, 10, 10]))
    np.testing.assert_allclose(low, [0, 0.2366, 0.7225], atol=1e-4)
    np.testing.assert_allclose(high, 1 - low[::-1])


@pytest.fixture
def shards(tmp_path):
    """Three Parquet files of 30 rows together, the second one empty, in row groups of 4."""
    paths, number = [], 0
    for index, count in enumerate((17, 0, 13)):
        content = io.BytesIO()
        draw_person(index).save(content, format="PNG")
        rows = [{"image": {"bytes": content.getvalue()}, "captions": [f"caption {number + i}"]} for i in range(count)]
        number += count
        schema = pyarrow.schema(
            [("image", pyarrow.struct([("bytes", pyarrow.binary())])), ("captions", pyarrow.list_(pyarrow.string()))]
        )
        paths.append(tmp_path / f"{index}.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), paths[-1], row_group_size=4)
    return paths


def test_the_images_shown_are_drawn_by_seed(shards):
    def numbers(seed):
        return [int(row["captions"][0].split()[1]) for row in drawn_rows(shards, seed)]

    drawn = numbers(0)
    assert len(set(drawn)) == 12 and drawn == sorted(drawn) and drawn == numbers(0) != numbers(1)
    often = Counter(number for seed in range(200) for number in numbers(seed))
    assert set(often) == set(range(30)) and min(often.values()) > 40 and max(often.values()) < 125  # 80 each


def test_captions_stay_in_their_cells(shards):
    rows = drawn_rows(shards, 0)
    rows[0]["captions"] = ["w" * 90 + " and very long words " * 60, "another"]
    rows[1]["captions"] = ["short", "another", "a third " * 100, "a fourth"]
    font = ImageFont.load_default(sample_sheet.FONT_SIZE)
    for row in rows[:2]:
        lines = sample_sheet._lines(row["captions"], font)
        assert len(lines) * sample_sheet.LINE_HEIGHT <= sample_sheet.TILE_HEIGHT
        assert all(font.getlength(line) <= sample_sheet.TEXT_WIDTH for line in lines)
    assert sample_sheet._lines(rows[0]["captions"], font)[-1].endswith("…")
    assert sample_sheet._lines(rows[1]["captions"], font) == ["short", "", "another"]
    assert captioned_sheet(rows).width == captioned_sheet(rows[:3]).width > captioned_sheet(rows[:1]).width
