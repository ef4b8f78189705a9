import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image, ImageFilter

from dataset_builders.benchmarks.__main__ import main as read_benchmark
from dataset_builders.checks.image_checks import LIMITS, Exclusion, QualityFilter, sharpness
from dataset_builders.luperson_t.__main__ import main
from dataset_builders.luperson_t.options import parse
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.open import open_source
from tests.helpers.people import draw_person

REQUIRED = ["--images", "i", "--scorer", "s", "--output", "o"]
DEFAULTS = QualityFilter(*(limit.default for limit in LIMITS))


def person(number=0, height=192, width=64):
    return draw_person(number, height, width)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (person(), None),
        (person(width=40), "shorter side is 40 pixels, less than 48"),
        (person(height=60), "height / width is 0.94, less than 1"),
        (person(height=400), "height / width is 6.25, more than 5"),
        (Image.new("RGB", (64, 192), (90, 120, 90)), "uniform: standard deviation of grey is 0.0, less than 8"),
        (person().filter(ImageFilter.GaussianBlur(4)), r"blurred: variance of the Laplacian is \d+.\d, less than 50"),
    ],
)
def test_each_limit_refuses_with_its_numbers(image, reason):
    import re

    told = DEFAULTS.reason(image)
    assert told is None if reason is None else re.fullmatch(reason, told)
    assert QualityFilter().reason(image) is None


def test_a_limit_itself_is_allowed():
    assert QualityFilter(min_side=64, min_aspect=3, max_aspect=3).reason(person()) is None


def test_sharpness_is_the_variance_of_the_laplacian_at_the_size_a_model_sees():
    grey = np.asarray(person().convert("L")).astype(float)
    laplacian = [
        4 * grey[y, x] - grey[y - 1, x] - grey[y + 1, x] - grey[y, x - 1] - grey[y, x + 1]
        for y in range(1, 191)
        for x in range(1, 63)
    ]
    assert sharpness(person()) == pytest.approx(np.var(laplacian), rel=1e-4)
    large = person(height=384, width=128).resize((512, 1536), Image.Resampling.NEAREST)
    assert sharpness(large) == pytest.approx(sharpness(person(height=384, width=128)), rel=1e-4)
    assert sharpness(Image.new("RGB", (2, 90))) == 0


def test_nothing_is_refused_unless_asked():
    assert parse(REQUIRED).quality == QualityFilter()
    assert parse([*REQUIRED, "--filter"]).quality == DEFAULTS
    assert parse([*REQUIRED, "--min-side", "90"]).quality == QualityFilter(min_side=90)
    assert parse([*REQUIRED, "--filter", "--min-side", "90"]).quality.min_side == 90
    assert parse([*REQUIRED, "--filter", "--min-side", "90"]).quality.max_aspect == DEFAULTS.max_aspect


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-side", "-1"], "--min-side -1 must be a number that is not negative"),
        (["--min-contrast", "nan"], "--min-contrast nan must be"),
        (["--min-aspect", "3", "--max-aspect", "2"], "--min-aspect 3 is more than --max-aspect 2"),
        (["--duplicate-distance", "16"], "--duplicate-distance 16 must be from 0 to 15"),
    ],
)
def test_impossible_limits_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        parse([*REQUIRED, *options])


@pytest.fixture
def crops(tmp_path):
    """Four people; the third once more, as JPEG; a tiny one."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for number in range(4):
        person(number).save(folder / f"p{number}.png")
    person(2).save(folder / "q2.jpg")
    person(9, 40, 20).save(folder / "tiny.png")
    return folder


def build(crops, scorer, output, *options):
    main(["--images", str(crops), "--scorer", str(scorer), "--output", str(output), *map(str, options)])
    rows = [row for shard in sorted(output.glob("data/*")) for row in parquet.read_table(shard).to_pylist()]
    lines = [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]
    statistics = json.loads((output / "statistics.json").read_text())
    assert (len(rows), len(lines)) == (statistics["images"], statistics["rejected"])
    assert len(rows) + len(lines) == len(open_source(crops))
    return {row["image_id"]: row for row in rows}, {line["file_name"]: line["reason"] for line in lines}, statistics


def test_near_duplicates_are_marked_and_the_card_says_so(crops, tiny_clip_folder, tmp_path, capsys):
    rows, rejected, statistics = build(crops, tiny_clip_folder, tmp_path / "out")
    assert {name: row["duplicate_of"] for name, row in rows.items() if row["duplicate_of"]} == {"q2": "p2"}
    assert not rejected and statistics["near_duplicates"] == 1
    assert "1 are near-duplicates of others" in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| near-duplicates | 1; " in card and "not searched for" not in card
    assert [path.suffix for path in (tmp_path / "out" / "data").iterdir()] == [".parquet"]


def test_near_duplicates_across_shards_are_dropped_and_listed(crops, tiny_clip_folder, tmp_path):
    whole, _, _ = build(crops, tiny_clip_folder, tmp_path / "whole")
    options = ("--drop-duplicates", "--shard-size", 1)
    rows, rejected, statistics = build(crops, tiny_clip_folder, tmp_path / "out", *options)
    assert rejected == {"q2.jpg": "near-duplicate of p2"} and "q2" not in rows and statistics["near_duplicates"] == 0
    assert {name: row["captions"] for name, row in rows.items()} == {
        name: row["captions"] for name, row in whole.items() if name != "q2"
    }
    assert statistics["captions"] == 5 and sum(statistics["values"]["age"].values()) == 5
    from datasets import load_dataset

    assert len(load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))) == 5


def test_the_filter_lists_what_it_refuses(crops, tiny_clip_folder, tmp_path):
    rows, rejected, _ = build(crops, tiny_clip_folder, tmp_path / "out", "--filter")
    assert rejected == {"tiny.png": "shorter side is 20 pixels, less than 48"} and len(rows) == 5
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| quality filter | min side 48, " in card and "--min-side 48 --min-aspect 1 " in card


def test_images_of_a_benchmark_are_refused_by_name(crops, tiny_clip_folder, tmp_path):
    source = tmp_path / "CUHK-PEDES"
    (source / "imgs" / "test_query").mkdir(parents=True)
    entries = []
    for number in (1, 2, 50):
        person(number).save(source / "imgs" / "test_query" / f"{number}.jpg", quality=70)
        path = f"test_query/{number}.jpg"
        entries.append({"split": "test", "captions": ["A person."], "file_path": path, "id": number})
    (source / "reid_raw.json").write_text(json.dumps(entries))
    read_benchmark(["cuhk-pedes", "--source", str(source), "--output", str(tmp_path / "cuhk"), "--allow-partial"])
    (tmp_path / "mine").mkdir()
    person(3).save(tmp_path / "mine" / "x.bmp")
    options = ["--exclude", tmp_path / "cuhk", "--exclude", tmp_path / "mine"]
    rows, rejected, _ = build(crops, tiny_clip_folder, tmp_path / "out", *options)
    assert set(rows) == {"p0", "tiny"}
    assert rejected == {
        "p1.png": "also in cuhk: its image test_query/1",
        "p2.png": "also in cuhk: its image test_query/2",
        "q2.jpg": "also in cuhk: its image test_query/2",
        "p3.png": "also in mine: its image x",
    }
    with pytest.raises(UserError, match="exclude was .* and is now"):
        build(crops, tiny_clip_folder, tmp_path / "out", *options[:2])


def test_a_benchmarks_unreadable_image_is_counted(tmp_path):
    person(0).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"")
    exclusion = Exclusion()
    assert exclusion.add("mine", open_source(tmp_path)) == 1 and len(exclusion.names) == 1
