"""An image with words as the query: the numbers of the command equal those of a naive reference."""

import json

import numpy as np
import pytest

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.loading import load_unipt
from tests.helpers.people import draw_person
from unipt_train.evaluate_retrieval import main

COLOURS = ("red", "blue", "green", "white", "black", "brown")
PEOPLE = len(COLOURS)
DISTRACTORS = 9


def table(rows):
    import datasets

    rows = datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in rows[0]})
    rows = rows.cast_column("image", datasets.Image())
    return rows.with_format("arrow").map(datasets.table.embed_table_storage, batched=True).with_format(None)


def queries():
    """Persons 0 and 1 are one person in two clothes; person 2 has two captions, one of them blank."""
    rows = []
    for number in range(PEOPLE):
        captions = [f"a man in {COLOURS[number]} with a bag"]
        person = max(number, 1)
        image = draw_person(number, 48, 16)
        rows.append({"image": image, "captions": captions, "instance_id": number, "person_id": person})
    rows[2]["captions"] += [" ", "an old woman"]
    return rows


def gallery():
    """Each query seeks one image, the first one two; the others are distractors, as -1 and as other numbers below 0."""
    instances = [*range(PEOPLE), 0] + [-1] * (DISTRACTORS - 1) + [-2]
    order = np.random.default_rng(3).permutation(len(instances))
    return [{"image": draw_person(100 + place, 48, 16), "instance_id": instances[place]} for place in order]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed") / "itcpr"
    folder.mkdir()
    for split, rows in (("query", queries()), ("gallery", gallery())):
        table(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n"
    card += "".join(f"  - split: {split}\n    path: {split}-*.parquet\n" for split in ("query", "gallery"))
    (folder / "README.md").write_text(f"{card}---\n")
    return folder


def measured(tmp_path, *options):
    main([*map(str, options), "--cpu", "--bootstrap", "20", "--output", str(tmp_path / "results.json")])
    (record,) = json.loads((tmp_path / "results.json").read_text())
    return record


def naive(folder, weight):
    """R1, R5, R10, mAP and mINP in percent, written out with loops over every image of the gallery."""
    model, processor = load_unipt(folder)
    sums = dict.fromkeys(("R1", "R5", "R10", "mAP", "mINP"), 0.0)
    count = 0
    candidates = [
        (row["instance_id"], embed_images(model, processor, [row["image"]], dtype="float32")[0].astype(np.float64))
        for row in gallery()
    ]
    for row in queries():
        image = embed_images(model, processor, [row["image"]], dtype="float32")[0].astype(np.float64)
        for caption in row["captions"]:
            if not caption.strip():
                continue
            words = embed_texts(model, processor, [caption], dtype="float32")[0].astype(np.float64)
            scores = [(1 - weight) * float(words @ other) + weight * float(image @ other) for _, other in candidates]
            ranking = sorted(range(len(candidates)), key=lambda place: (-scores[place], place))
            hits = [candidates[place][0] == row["instance_id"] for place in ranking]
            for k in (1, 5, 10):
                sums[f"R{k}"] += any(hits[:k])
            precisions = []
            for rank, hit in enumerate(hits, start=1):
                if hit:
                    precisions.append((len(precisions) + 1) / rank)
            sums["mAP"] += sum(precisions) / len(precisions)
            sums["mINP"] += precisions[-1]
            count += 1
    return {name: 100 * value / count for name, value in sums.items()}, count


@pytest.mark.parametrize("weight", [0.5, 0.2, 0.0, 1.0])
def test_numbers_equal_a_naive_reference_with_distractors(weight, dataset, tiny_unipt_folder, tmp_path):
    options = [] if weight == 0.5 else ["--image-weight", weight]
    record = measured(tmp_path, "--model", tiny_unipt_folder, "--dataset", dataset, *options)
    expected, count = naive(tiny_unipt_folder, weight)
    assert {name: record[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (record["queries"], record["gallery"]) == (count, PEOPLE + 1 + DISTRACTORS) == (7, 16)
    # Of the people of the queries, not of the instances that they seek.
    assert record["identities"] == PEOPLE - 1
    assert record["blank_captions"] == 1 and record["queries_without_match"] == 0
    assert record["image_weight"] == weight and record["direction"] == "image+text-to-image"


def test_distractors_count(dataset, tiny_unipt_folder, tmp_path):
    """The same without them gives higher numbers, so that a reader who dropped them would be seen."""
    found = measured(tmp_path, "--model", tiny_unipt_folder, "--dataset", dataset)
    easier = tmp_path / "easier"
    easier.mkdir()
    table(queries()).to_parquet(easier / "query.parquet")
    table([row for row in gallery() if row["instance_id"] >= 0]).to_parquet(easier / "gallery.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n"
    card += "".join(f"  - split: {split}\n    path: {split}.parquet\n" for split in ("query", "gallery"))
    (easier / "README.md").write_text(f"{card}---\n")
    without = measured(tmp_path, "--model", tiny_unipt_folder, "--dataset", easier)
    assert without["gallery"] == PEOPLE + 1 and without["mAP"] > found["mAP"]


def test_a_clip_is_measured_too_and_the_page_says_how(dataset, tiny_clip_folder, tmp_path):
    table_file = tmp_path / "table.md"
    sheet = tmp_path / "sheet.png"
    measured(
        tmp_path, "--model", tiny_clip_folder, "--dataset", dataset, "--table", table_file, "--contact-sheet", sheet
    )
    page = table_file.read_text()
    assert "each query is 0.5 words and 0.5 image" in page and "1 blank captions left out" in page
    assert sheet.stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--direction", "both"], "is searched by an image with words, and --direction both asks for another"),
        (["--image-weight", "1.5"], "--image-weight 1.5 must lie between 0 and 1"),
        (["--image-weight", "nan"], "--image-weight nan must lie between 0 and 1"),
        (["--split", "gallery"], "has no column 'captions'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, dataset, tiny_unipt_folder, tmp_path):
    with pytest.raises(UserError, match=message):
        measured(tmp_path, "--model", tiny_unipt_folder, "--dataset", dataset, *options)
