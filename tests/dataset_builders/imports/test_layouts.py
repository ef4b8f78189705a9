"""Each set in the layout of its authors: which rows, who wrote the captions, and what else is kept."""

import csv
import json

import pytest

from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.imports.layouts import LAYOUTS
from dataset_builders.luperson_t.columns import columns_of
from tests.helpers import pretraining_sets
from tests.helpers.imports import refusal, run_import
from tests.helpers.pretraining_sets import caption, jpeg, write_set

COUNT = 5
# layout -> who wrote the captions of an image, and what the columns beyond LUPerson-T's hold of the last image
EXPECTED = {
    "luperson-t": (["luperson-t"] * 2, {}),
    "luperson-mllm": (["qwen", "shikra", "qwen", "shikra"], {}),
    "webperson": (["qwen2.5-vl"] * 2, {}),
    "ham-pedes": (["ham"] * 2, {"person_id": "2"}),
    "synth-pedes": (
        ["spac", "spac", "prompt"],
        {
            "person_id": "2",
            "set_attributes": {
                "gender": "man",
                "hair": "black hair",
                "upper": "black shirt",
                "lower": "pink shorts",
                "shoes": "black shoes",
                "carrying": "unknown",
            },
        },
    ),
    "mals": (["blip"], {"source_id": "c_g_a_0_4", "labels": pretraining_sets.MALS_LABEL}),
    "sda": (
        ["sda"],
        {
            "source_id": "4",
            "boxes": pretraining_sets.BOXES,
            "box_scores": [0.5, 0.25],
            "box_phrases": ["a person", "the street"],
        },
    ),
    "table": (["table"], {"camera": "0004"}),
    "webdataset": (["webdataset"], {"set_metadata": json.dumps({"caption": caption(4), "width": 32})}),
    "dataset": (["dataset"], {"camera": 4}),
}


def number_of(row):
    """The number of the image that a row shows, by its bytes."""
    return [jpeg(number) for number in range(COUNT)].index(row["image"]["bytes"])


def test_every_layout_is_tried():
    assert set(EXPECTED) == set(LAYOUTS) == set(pretraining_sets.LAYOUTS)


@pytest.mark.parametrize("layout", EXPECTED)
def test_rows_writers_and_further_columns(layout, tmp_path, capsys):
    options = write_set(layout, tmp_path / "set", COUNT)
    imported = run_import(tmp_path / "out", capsys, *options)
    backends, further = EXPECTED[layout]
    rows = sorted(imported.rows.pop("train"), key=number_of)
    assert not imported.rows and not imported.rejected
    assert [number_of(row) for row in rows] == list(range(COUNT))
    names = [*columns_of(load_vocabulary()), *further]
    for number, row in enumerate(rows):
        assert list(row) == names and row["caption_backends"] == backends
        assert len(row["captions"]) == len(backends) and all(f" {number} walks" in text for text in row["captions"])
    assert {name: rows[-1][name] for name in further} == further
    assert len({row["image_id"] for row in rows}) == COUNT
    assert f"train {COUNT} images, {COUNT * len(backends)} captions" in imported.said
    for name in further:
        assert f"| `{name}` |" in imported.card
    assert "What is odd" not in imported.card and "left out" not in imported.card.replace("Images left out: 0", "")


@pytest.mark.parametrize("layout", ["synth-pedes", "mals", "sda", "webdataset"])
def test_datasets_loads_it_with_its_further_columns(layout, tmp_path):
    from datasets import load_dataset

    from dataset_builders.import_luperson_t import main

    options = write_set(layout, tmp_path / "set", COUNT)
    main([*options, "--output", str(tmp_path / "out")])
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    last = max(rows, key=lambda row: row["image_id"])
    assert last["image"].size == (32, 96)
    for name, value in EXPECTED[layout][1].items():
        assert last[name] == value


def test_a_set_that_names_no_image_folder_asks_for_it(tmp_path):
    write_set("mals", tmp_path / "set", 2)
    (file, _) = sorted((tmp_path / "set" / "gene_attrs").iterdir())
    said = refusal(tmp_path / "out", "--layout", "mals", "--source", file)
    assert said == f"{file} names image files; give their folder with --images"


@pytest.mark.parametrize("layout", ["luperson-mllm", "webperson", "ham-pedes", "synth-pedes", "mals", "sda"])
def test_a_folder_of_something_else_is_explained(layout, tmp_path):
    (tmp_path / "set").mkdir()
    title = LAYOUTS[layout].layout.title
    said = refusal(tmp_path / "out", "--layout", layout, "--source", tmp_path / "set")
    assert f"is not {title}; give the annotation of {title} or its folder" in said
    said = refusal(tmp_path / "out", "--layout", layout, "--source", tmp_path / "nowhere")
    assert "nowhere does not exist; give the annotation of" in said
    (tmp_path / "set" / "x.csv").write_text("a,b\n")
    said = refusal(tmp_path / "out", "--layout", layout, "--source", tmp_path / "set" / "x.csv")
    assert said.endswith("or read it with --layout table")


def test_columns_are_named_only_where_there_are_some(tmp_path):
    options = ["--source", tmp_path, "--layout"]
    said = refusal(tmp_path / "out", *options, "mals", "--caption-columns", "caption")
    assert said == "--caption-columns has no meaning for --layout mals; leave it out"
    assert "--image-column has no meaning" in refusal(tmp_path / "out", *options, "webdataset", "--image-column", "jpg")


def test_the_user_may_say_who_wrote_the_captions(tmp_path, capsys):
    options = write_set("ham-pedes", tmp_path / "set", 2)
    imported = run_import(tmp_path / "out", capsys, *options, "--caption-backend", "llava")
    assert imported.rows["train"][0]["caption_backends"] == ["llava", "llava"]
    said = refusal(tmp_path / "out", *options)
    assert 'caption_backend was "llava" and is now null' in said


def test_several_files_are_one_set_without_counting_repeats(tmp_path, capsys):
    """LUPerson-MLLM tells each image in four files, which is no fault."""
    options = write_set("luperson-mllm", tmp_path / "set", 2)
    files = sorted((tmp_path / "set").glob("*-qwen.json"))
    options[options.index(str(tmp_path / "set"))] = str(files[0])
    options.insert(options.index(str(files[0])) + 1, str(files[1]))
    imported = run_import(tmp_path / "out", capsys, *options, "--strict")
    assert [row["caption_backends"] for row in imported.rows["train"]] == [["qwen"] * 2] * 2
    assert "listed before" not in imported.said


TABLES = {
    "semicolons": ("a.csv", "File_Name;Caption;id\ncam/0.jpg;A man, in red.;0007\n", "utf-8"),
    "tabs in UTF-16": ("a.tsv", "image path\tdescription\tid\ncam/0.jpg\tA man, in red.\t0007\n", "utf-16"),
    "Windows-1252": ("a.csv", 'filename,text,id\ncam/0.jpg,"A man, in red.",0007\n', "cp1252"),
    "byte-order mark": ("a.csv", 'img,captions,id\ncam/0.jpg,"A man, in red.",0007\n', "utf-8-sig"),
    "blanks in the header": ("a.csv", ' FilePath , Caption 1 , id \n cam/0.jpg ," A man, in red. ",0007\n', "utf-8"),
    "a list in a cell": ("a.csv", "image,captions,id\ncam/0.jpg,\"['A man, in red.']\",0007\n", "utf-8"),
    "JSON": ("a.json", json.dumps([{"img_path": "cam/0.jpg", "text": "A man, in red.", "id": "0007"}]), "utf-8"),
    "JSON Lines": ("a.jsonl", json.dumps({"image": "cam/0.jpg", "caption": "A man, in red.", "id": "0007"}), "utf-8"),
    "JSON in a mapping": (
        "a.json",
        json.dumps({"data": [{"file": "cam/0.jpg", "texts": ["A man, in red."], "id": "0007"}]}),
        "utf-8",
    ),
}


@pytest.fixture
def images(tmp_path):
    pretraining_sets.write_images(tmp_path / "images", [f"cam/{number}.jpg" for number in range(4)], jpeg)
    return tmp_path / "images"


@pytest.mark.parametrize("name", TABLES)
def test_tables_in_any_dress(name, images, tmp_path, capsys):
    file, text, encoding = TABLES[name]
    (tmp_path / file).write_bytes(text.encode(encoding))
    options = ["--layout", "table", "--source", tmp_path / file, "--images", images]
    (row,) = run_import(tmp_path / "out", capsys, *options).rows["train"]
    assert row["captions"] == ["A man, in red."] and row["image_id"] == "cam/0" and row["id"] == "0007"


def test_a_table_with_a_row_for_each_caption_splits_and_broken_rows(images, tmp_path, capsys):
    table = tmp_path / "a.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption", "Split", "image_id"])
        for number in range(8):
            writer.writerow(
                [f"cam/{number // 2}.jpg", caption(number), ("train", "train", "dev", "test")[number // 2], "x"]
            )
        file.write("cam/0.jpg,A man, in red,train,x\n")
    imported = run_import(tmp_path / "out", capsys, "--layout", "table", "--source", table, "--images", images)
    assert {split: [row["image_id"] for row in rows] for split, rows in imported.rows.items()} == {
        "train": ["cam/0", "cam/1"],
        "val": ["cam/2"],
        "test": ["cam/3"],
    }
    assert imported.captions["cam/2"] == [caption(4), caption(5)]
    assert imported.rows["train"][0]["set_image_id"] == "x"
    ((name, reason),) = imported.rejected.items()
    assert name == "a.csv: line 10" and reason.startswith("has 5 columns and the first line names 4")
    assert "listings of an image that was listed before: 4" in imported.said


def test_columns_that_are_not_found_can_be_named(images, tmp_path, capsys):
    table = tmp_path / "a.csv"
    table.write_text("pfad,beschreibung\ncam/0.jpg,A man.\n")
    options = ["--layout", "table", "--source", table, "--images", images]
    said = refusal(tmp_path / "out", *options)
    assert "has no column of images among pfad, beschreibung; name it with --image-column" in said
    said = refusal(tmp_path / "out", *options, "--image-column", "pfat", "--caption-columns", "beschreibung")
    assert "has no column 'pfat' (did you mean 'pfad'?)" in said
    named = ["--image-column", "pfad", "--caption-columns", "beschreibung"]
    assert run_import(tmp_path / "out", capsys, *options, *named).captions == {"cam/0": ["A man."]}
    (tmp_path / "empty.csv").write_text("image,caption\n")
    said = refusal(tmp_path / "o2", "--layout", "table", "--source", tmp_path / "empty.csv", "--images", images)
    assert "names no image" in said
