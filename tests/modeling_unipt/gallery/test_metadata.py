"""Metadata of images: where they come from, what they select, and what is said of mistakes."""

import datetime

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from modeling_unipt import PersonGallery
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.gallery.metadata import check_metadata, read_metadata
from tests.helpers.people import draw_person

QUERY = "an old woman in a blue dress"
CSV = """file_name,camera,day,weight
person_0.png,1,2026-11-01,1.5
person_1.png,2,2026-11-02,
person_2.png,2,2026-11-03,2.5
person_3.png,3,,3.5
cam_b/person_5.jpg,3,2026-11-05,4.5
nobody.png,9,2026-11-06,5.5
"""


@pytest.fixture
def gallery(image_folder, tmp_path, model_and_processor):
    """person_4.png has no metadata."""
    (tmp_path / "known.csv").write_text(CSV)
    return PersonGallery.from_folder(image_folder, model_and_processor, metadata=tmp_path / "known.csv")


def names(results, gallery):
    return {gallery.file_names[result.index] for result in results}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"camera": 2}, "12"),
        ({"camera": "2"}, "12"),
        ({"camera": [1, 3]}, "035"),
        ({"camera": 3, "day": "2026-11-05"}, "5"),
        ({"camera": 3, "day": datetime.date(2026, 11, 5)}, "5"),
        ({"camera": None}, "4"),
        ({"camera": []}, ""),
        ({"camera": 77}, ""),
        ([("camera", "!=", 2)], "035"),
        (("camera", "<", 2.5), "012"),
        ([("weight", ">=", 2), ("camera", "in", [1, 2])], "2"),
        ([("day", ">", "2026-11-02")], "25"),
        ({}, "012345"),
        (None, "012345"),
    ],
)
def test_where_selects(gallery, where, expected):
    everything = gallery.search(QUERY)
    wanted = {"cam_b/person_5.jpg" if digit == "5" else f"person_{digit}.png" for digit in expected}
    found = gallery.search(QUERY, where=where)
    assert names(found, gallery) == wanted
    kept = [result for result in everything if gallery.file_names[result.index] in wanted]
    assert [(result.index, result.score) for result in found] == [(result.index, result.score) for result in kept]
    assert gallery.search(QUERY, top_k=1, where=where) == found[:1]


def test_results_and_columns_show_the_metadata(gallery):
    day = datetime.date
    assert gallery.columns == {
        "camera": [1, 2, 3],
        "day": [day(2026, 11, 1), day(2026, 11, 2), day(2026, 11, 3), day(2026, 11, 5)],
        "weight": [1.5, 2.5, 3.5, 4.5],
    }
    known = {gallery.file_names[result.index]: result.metadata for result in gallery.search(QUERY)}
    assert known["person_1.png"] == {"camera": 2, "day": day(2026, 11, 2), "weight": None}
    assert known["person_4.png"] == {"camera": None, "day": None, "weight": None}


def test_removed_images_do_not_come_back_through_a_filter(gallery):
    gallery.remove("person_1.png")
    assert names(gallery.search(QUERY, where={"camera": 2}), gallery) == {"person_2.png"}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"colour": "red"}, "no column 'colour' to select by; this gallery has camera, day, weight"),
        ({"camera": "left"}, "column camera holds int64; 'left' is no such value"),
        ({"camera": 2.5}, "column camera holds int64; 2.5 is no such value"),
        ({"camera": {}}, "column camera holds int64"),
        ([("camera", "like", 2)], "operator 'like' is not one of"),
        ([("camera", 2)], "where must be column -> value"),
        ("camera=2", "where must be column -> value"),
    ],
)
def test_mistakes_in_where_are_told(gallery, where, message):
    with pytest.raises(UserError, match=message):
        gallery.search(QUERY, where=where)


def test_a_gallery_without_metadata_says_so(image_folder, model_and_processor):
    with pytest.raises(UserError, match="no column 'camera' to select by; this gallery was made without metadata"):
        PersonGallery.from_folder(image_folder, model_and_processor).search(QUERY, where={"camera": 1})


def test_what_is_added_brings_its_metadata(gallery, tmp_path):
    more = tmp_path / "crops" / "more"
    more.mkdir()
    for seed in (20, 21):
        draw_person(seed).save(more / f"{seed}.png")
    table = pyarrow.table({"file_name": ["more/20.png", "more/22.png"], "camera": [7, 7], "place": ["hall", "hall"]})
    report = gallery.add(more, metadata=table)
    assert (report.added, report.without_metadata, report.unused_metadata) == (2, 1, 1)
    assert gallery.columns["camera"] == [1, 2, 3, 7] and gallery.columns["place"] == ["hall"]
    assert names(gallery.search(QUERY, where={"place": "hall"}), gallery) == {"more/20.png"}
    gallery.save(tmp_path / "saved")
    loaded = PersonGallery.load(tmp_path / "saved", (gallery.model, gallery.processor))
    assert loaded.columns == gallery.columns
    assert loaded.search(QUERY, where={"camera": 7}) == gallery.search(QUERY, where={"camera": 7})
    with pytest.raises(UserError, match="column camera holds int64 in the gallery and string in what is added"):
        gallery.add(more, metadata=pyarrow.table({"file_name": ["more/20.png"], "camera": ["left"]}))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_the_three_kinds_of_file_say_the_same(suffix, image_folder, tmp_path, model_and_processor):
    path = tmp_path / f"known{suffix}"
    if suffix == ".csv":
        path.write_text("file_name,camera,lit\nperson_0.png,1,true\nperson_1.png,2,false\n")
    elif suffix == ".jsonl":
        path.write_text('{"file_name":"person_0.png","camera":1,"lit":true}\n{"file_name":"person_1.png","camera":2}\n')
    else:
        table = pyarrow.table({"file_name": ["person_0.png", "person_1.png"], "camera": pyarrow.array([1, 2], "int8")})
        table = table.append_column("lit", [[True, False]])
        pyarrow.parquet.write_table(table, path)
    gallery = PersonGallery.from_folder(image_folder, model_and_processor, metadata=path)
    assert names(gallery.search(QUERY, where={"camera": 2}), gallery) == {"person_1.png"}
    assert names(gallery.search(QUERY, where={"lit": "true"}), gallery) == {"person_0.png"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "does not exist"),
        ("known.xlsx", "", "must end in one of .csv, .parquet, .jsonl"),
        ("known.csv", "name,camera\na,1\n", "has no column file_name"),
        ("known.csv", "file_name,camera\na,1\na,2\n", "has more than one row for a$"),
        ("known.csv", "file_name,embedding\na,1\n", "a column embedding, a name that the gallery needs itself"),
        ("known.csv", "file_name,camera\na,1,2\n", "cannot be read"),
        ("known.parquet", "no parquet", "cannot be read"),
        ("known.jsonl", '{"file_name": "a", "tags": ["x"]}\n', r"column tags of .* holds list<"),
        (
            "known.jsonl",
            '{"file_name": "a", "tags": ["x"]}\n',
            r"write one of these in each row, or leave the column out",
        ),
        (
            "known.csv",
            "name,camera\na,1\n",
            "of its columns, name, camera, rename the one that names the images to file_n",
        ),
        ("known.csv", "File_Name,filename\na,1\n", "has no column file_name"),
        ("known.csv", "file_name,camera\n,1\n,2\n", "has more than one row for an empty file_name$"),
        ("known.csv", "version https://git-lfs.github.com/spec/v1\n", r"known\.csv is a Git LFS pointer"),
        ("known.xlsx", "PK", "save the workbook as CSV"),
    ],
)
def test_mistakes_in_metadata_files_are_told(image_folder, tmp_path, model_and_processor, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        PersonGallery.from_folder(image_folder, model_and_processor, metadata=tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("known.csv", "File_Name; camera id ;zone\nperson_0.png;0007;1\nperson_1.png;0012;left\n".encode("utf-16")),
        ("known.csv", b"file name,camera id,zone\r\nperson_0.png,0007,1\r\n person_1.png ,0012,left\r\n"),
        ("known.tsv", b"FILENAME\tcamera id\tzone\n./person_0.png\t0007\t1\nperson_1.png\t0012\tleft\n"),
        (
            "known.json",
            b'{"rows": [{"fileName": "person_0.png", "camera id": "0007", "zone": 1}, '
            b'{"fileName": "person_1.png", "camera id": "0012", "zone": "left"}]}',
        ),
    ],
)
def test_a_table_in_any_dress_is_metadata(name, content, image_folder, tmp_path, model_and_processor):
    (tmp_path / name).write_bytes(content)
    gallery = PersonGallery.from_folder(image_folder, model_and_processor, metadata=tmp_path / name)
    assert gallery.columns == {"camera id": ["0007", "0012"], "zone": ["1", "left"]}
    assert names(gallery.search(QUERY, where={"camera id": "0007"}), gallery) == {"person_0.png"}
    assert names(gallery.search(QUERY, where={"zone": "left"}), gallery) == {"person_1.png"}


def test_names_that_look_like_numbers_stay_as_they_are():
    for content, expected in (("0017", "0017"), ("17.50", "17.50"), ("1e5", "1e5"), ("cam\\a.png", "cam/a.png")):
        table = check_metadata(pyarrow.table({"File Name": [content], "n": [1]}), "the metadata")
        assert table["file_name"].to_pylist() == [expected]


def test_a_file_of_names_that_look_like_numbers(tmp_path):
    (tmp_path / "known.csv").write_text("file_name,n\n0017,1\n18.50,2\n")
    assert read_metadata(tmp_path / "known.csv")["file_name"].to_pylist() == ["0017", "18.50"]


def make_dataset(**columns):
    size = len(next(iter(columns.values())))
    images = [draw_person(seed) for seed in range(size)]
    return datasets.Dataset.from_dict({"image": images, **columns}).cast_column("image", datasets.Image())


def test_a_dataset_brings_its_columns(model_and_processor, image_folder):
    rows = make_dataset(
        image_id=["a", "b", "c", "d"],
        camera=[1, 2, 1, 2],
        captions=[["one", "two"]] * 4,
        attributes=[{"hat": "a cap", "bag": None, "scores": [1.0]}] * 3 + [{"hat": None, "bag": "a bag", "scores": []}],
        content_hash=["x"] * 4,
    )
    rows = rows.add_column("view", [0, 1, 1, 0]).cast_column("view", datasets.ClassLabel(names=["front", "back"]))
    gallery = PersonGallery.from_dataset(rows, model_and_processor, batch_size=3)
    assert gallery.file_names == ["a", "b", "c", "d"]
    assert gallery.columns == {
        "camera": [1, 2],
        "attributes.hat": ["a cap"],
        "attributes.bag": ["a bag"],
        "view": ["back", "front"],
    }
    for row in range(4):
        assert gallery.search(rows[row]["image"], 1)[0].path == rows[row]["image_id"]
    assert names(gallery.search(QUERY, where={"view": "back", "camera": 2}), gallery) == {"b"}
    # Rows chosen from a dataset keep their own metadata
    turned = PersonGallery.from_dataset(rows.select([3, 1]), model_and_processor)
    assert [turned.search(rows[row]["image"], 1)[0].metadata["attributes.bag"] for row in (3, 1)] == ["a bag", None]


def test_a_dataset_of_files_and_its_copies(image_folder, model_and_processor):
    files = [f"person_{number}.png" for number in (0, 1, 0)] + ["torn.png"]
    rows = datasets.Dataset.from_dict({"photo": [str(image_folder / name) for name in files], "n": [0, 1, 2, 3]})
    rows = rows.cast_column("photo", datasets.Image())
    gallery = PersonGallery.from_dataset(rows, model_and_processor)
    assert gallery.file_names == ["000000-person_0.png", "000001-person_1.png"]
    assert [reason for _, reason in gallery.rejected] == ["cannot be decoded (OSError)"]
    assert np.array_equal(gallery.columns["n"], [0, 1])


def test_a_dataset_by_name(tmp_path, model_and_processor):
    make_dataset(image_id=["a", "b"]).to_parquet(tmp_path / "train-00000.parquet")
    assert PersonGallery.from_dataset(str(tmp_path), model_and_processor).file_names == ["a", "b"]
    with pytest.raises(UserError, match="dataset .* cannot be loaded: Unknown split"):
        PersonGallery.from_dataset(str(tmp_path), model_and_processor, split="test")


def test_mistakes_about_datasets_are_told(model_and_processor):
    rows = make_dataset(camera=[1, 2])
    two = datasets.Dataset.from_dict({name: [draw_person(0)] for name in ("left", "right")})
    two = two.cast_column("left", datasets.Image()).cast_column("right", datasets.Image())
    for dataset, options, message in (
        (datasets.DatasetDict(train=rows), {}, "is a DatasetDict; give one split"),
        (rows.to_iterable_dataset(), {}, "is a IterableDataset; give one split"),
        (rows.remove_columns("image"), {}, "has no column of images among camera"),
        (two, {}, "has 2 columns of images .left, right.; name one of them: image_column="),
        (rows, {"image_column": "camera"}, "column camera of the dataset holds no images; those do: image"),
    ):
        with pytest.raises(UserError, match=message):
            PersonGallery.from_dataset(dataset, model_and_processor, **options)
    for options in ({"image_column": "right"}, {}):
        dataset = two if options else two.rename_column("right", "image")
        assert len(PersonGallery.from_dataset(dataset, model_and_processor, **options)) == 1
