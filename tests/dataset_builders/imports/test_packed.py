"""Sets that hold their images themselves: captioned tar files, Parquet and Arrow files, saved datasets."""

import json
import tarfile

import pyarrow
import pyarrow.parquet as parquet
import pytest

from tests.helpers.imports import refusal, run_import
from tests.helpers.pretraining_sets import add_member, jpeg, write_images


@pytest.fixture
def tar(tmp_path):
    def write(name, *members):
        with tarfile.open(tmp_path / name, "w") as file:
            for member, content in members:
                add_member(file, member, content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def test_texts_and_images_need_not_stand_side_by_side(tar, tmp_path, capsys):
    archive = tar("a.tar", ("a/1.txt", "A man."), ("a/2.txt", "A woman."), ("a/1.jpg", jpeg(1)), ("a/2.jpg", jpeg(2)))
    imported = run_import(tmp_path / "out", capsys, "--layout", "webdataset", "--source", archive, "--strict")
    assert imported.captions == {"a/1": ["A man."], "a/2": ["A woman."]}
    assert [row["image"]["bytes"] for row in imported.rows["train"]] == [jpeg(1), jpeg(2)]


def test_json_members_equal_texts_and_litter(tar, tmp_path, capsys):
    told = json.dumps({"captions": ["A man.", "He walks."], "id": "0007"})
    members = [("1.jpg", jpeg(1)), ("1.txt", "A man."), ("1.json", told), ("._1.jpg", b"x"), ("__MACOSX/1.txt", "x")]
    archive = tar("a.tar", *members, ("cam1.01.jpg", jpeg(2)), ("cam1.01.caption", "A woman."))
    imported = run_import(tmp_path / "out", capsys, "--layout", "webdataset", "--source", archive)
    assert imported.captions == {"1": ["A man.", "He walks."], "cam1.01": ["A woman."]}
    assert [row["set_metadata"] for row in imported.rows["train"]] == [told, None]
    assert "2 files" in imported.said and "macOS" in imported.said


def test_members_that_lack_the_other_half_are_listed(tar, tmp_path, capsys):
    members = [("1.jpg", jpeg(1)), ("2.txt", "A man."), ("3.jpg", jpeg(3)), ("3.txt", "A woman."), ("4.jpg", jpeg(4))]
    archive = tar("a.tar", *members, ("4.json", "{"), ("5.jpg", jpeg(5)[:300]), ("5.txt", "A man."))
    imported = run_import(tmp_path / "out", capsys, "--layout", "webdataset", "--source", archive)
    assert imported.captions == {"3": ["A woman."]}
    assert imported.rejected.pop("a.tar/4.json").startswith("holds no captions (")
    assert imported.rejected.pop("a/5").startswith("cannot be decoded")
    assert imported.rejected == {
        "a/1": "has no caption",
        "a/2": "is a text without an image beside it",
        "a/4": "has no caption",
    }


def test_shards_say_the_split_and_equal_keys_are_different_images(tar, tmp_path, capsys):
    sources = [tar(f"{name}.tar", ("1.jpg", jpeg(n)), ("1.txt", f"Person {n}.")) for n, name in enumerate(("a", "b"))]
    sources.append(tar("val-000.tar", ("2.jpg", jpeg(2)), ("2.txt", "Person 2.")))
    imported = run_import(tmp_path / "out", capsys, "--layout", "webdataset", "--source", *sources)
    assert {split: [row["image_id"] for row in rows] for split, rows in imported.rows.items()} == {
        "train": ["a/1", "b/1"],
        "val": ["val-000/2"],
    }


def test_an_image_that_a_tar_holds_twice_is_merged(tar, tmp_path, capsys):
    members = [("1.jpg", jpeg(1)), ("1.txt", "A man."), ("1.jpg", jpeg(1)), ("1.txt", "He walks.")]
    imported = run_import(tmp_path / "out", capsys, "--layout", "webdataset", "--source", tar("a.tar", *members))
    assert imported.captions == {"1": ["A man.", "He walks."]} and "listed before: 2" in imported.said


def test_tars_that_cannot_be_read_are_one_sentence(tar, tmp_path):
    whole = tar("whole.tar", ("1.jpg", jpeg(1)), ("1.txt", "A man."))
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:700])
    (tmp_path / "text.tar").write_text("hello" * 1000)
    (tmp_path / "a.tar.gz").write_text("x")
    (tmp_path / "nothing").mkdir()
    for name, message in (
        ("cut.tar", "cannot be read as an uncompressed tar file after 1 files"),
        ("text.tar", "cannot be read as an uncompressed tar file"),
        ("a.tar.gz", "is a compressed tar file"),
        ("nothing", "holds no tar file"),
        ("nowhere.tar", "does not exist; give tar files"),
    ):
        assert message in refusal(tmp_path / "out", "--layout", "webdataset", "--source", tmp_path / name)
    said = refusal(tmp_path / "out", "--layout", "webdataset", "--source", whole, "--images", tmp_path)
    assert "holds the images itself; leave --images out" in said


def cell(number):
    return {"bytes": jpeg(number), "path": None}


@pytest.fixture
def table(tmp_path):
    def write(name, **columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(columns), path)
        return ["--layout", "dataset", "--source", path]

    return write


def test_rows_with_the_same_bytes_are_one_image(table, tmp_path, capsys):
    """As CUHK-PEDES lies on the Hub: one row for each caption, and no ids."""
    options = table("a.parquet", image=[cell(1), cell(2), cell(1)], text=["A man.", "A woman.", "He walks."])
    imported = run_import(tmp_path / "out", capsys, *options)
    assert imported.captions == {"00000000": ["A man.", "He walks."], "00000001": ["A woman."]}
    assert "listed before: 1" in imported.said


def test_rows_with_ids_of_their_own_stay_apart(table, tmp_path, capsys):
    options = table("a.parquet", image=[cell(1), cell(1)], text=["A man.", "He walks."], image_id=["a.1", "b.1"])
    assert run_import(tmp_path / "out", capsys, *options).captions == {"a.1": ["A man."], "b.1": ["He walks."]}


def test_bytes_lists_and_further_columns_of_any_type(table, tmp_path, capsys):
    options = table(
        "a.parquet",
        img=pyarrow.array([jpeg(1), jpeg(2)], pyarrow.large_binary()),
        captions=[["A man.", ""], ["A woman."]],
        boxes=[[[1.0, 2.0]], []],
        camera=pyarrow.array(["a", "a"]).dictionary_encode(),
        attributes=["x", None],
        facts=[{"seen": True, "n": 3}, None],
        when=pyarrow.array([1, 2], pyarrow.timestamp("s")),
    )
    first, second = run_import(tmp_path / "out", capsys, *options).rows["train"]
    assert first["captions"] == ["A man."] and first["boxes"] == [[1.0, 2.0]] and first["camera"] == "a"
    assert first["facts"] == {"seen": True, "n": 3} and first["set_attributes"] == "x" and first["attributes"] is None
    assert second["boxes"] == [] and second["facts"] is None and "when" not in second


def test_a_column_of_plain_text_names_image_files(table, tmp_path, capsys):
    write_images(tmp_path / "images", ["cam/1.jpg", "cam/2.jpg"], jpeg)
    options = table("a.parquet", image=["cam\\1.jpg", "cam/2.jpg", "cam/9.jpg"], text=["A man.", "B man.", "C man."])
    said = refusal(tmp_path / "out", *options)
    assert "its column image is plain text, which names image files; give their folder with --images" in said
    options += ["--images", tmp_path / "images"]
    assert "pass --fix-paths" in refusal(tmp_path / "out", *options)
    imported = run_import(tmp_path / "out", capsys, *options, "--fix-paths")
    assert imported.captions == {"cam/1": ["A man."], "cam/2": ["B man."]}
    assert imported.rejected == {"cam/9.jpg": "cannot be read (No such file or directory)"}


def test_rows_without_an_image_are_listed(table, tmp_path, capsys):
    image = [None, cell(1), {"bytes": None, "path": "x.jpg"}, {"bytes": b"", "path": None}]
    imported = run_import(tmp_path / "out", capsys, *table("a.parquet", image=image, text=["A man."] * 4))
    assert list(imported.captions) == ["00000001"] and imported.rejected == {
        "00000000": "zero bytes",
        "00000002": "x.jpg is named and its bytes are not stored",
        "00000003": "zero bytes",
    }


def test_the_names_of_shards_say_the_split(table, tmp_path, capsys):
    table("hub/data/train-00000-of-00002.parquet", image=[cell(1)], text=["A man."])
    table("hub/data/train-00001-of-00002.parquet", image=[cell(2)], text=["B man."])
    table("hub/data/validation-00000-of-00001.parquet", image=[cell(3)], text=["C man."])
    options = ["--layout", "dataset", "--source"]
    imported = run_import(tmp_path / "all", capsys, *options, tmp_path / "hub")
    assert {split: len(rows) for split, rows in imported.rows.items()} == {"train": 2, "val": 1}
    assert run_import(tmp_path / "val", capsys, *options, f"{tmp_path / 'hub'}:val").captions == {
        "00000000": ["C man."]
    }
    said = refusal(tmp_path / "out", *options, f"{tmp_path / 'hub'}:vall")
    assert "has no split 'vall' (did you mean 'val'?); it has train, val" in said


def test_a_saved_dataset(tmp_path, capsys):
    from datasets import Dataset, DatasetDict, Features, Image, Value

    features = Features({"image": Image(), "text": Value("string")})
    rows = Dataset.from_dict({"image": [cell(1), cell(2)], "text": ["A man.", "B man."]}, features=features)
    DatasetDict({"train": rows.select([1]), "test": rows.select([0])}).save_to_disk(tmp_path / "saved")
    imported = run_import(tmp_path / "out", capsys, "--layout", "dataset", "--source", tmp_path / "saved")
    assert {split: [row["captions"] for row in rows] for split, rows in imported.rows.items()} == {
        "train": [["B man."]],
        "test": [["A man."]],
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [1], "text": ["a"]}, "holds neither images nor paths of images"),
        (
            {"image": [cell(1)], "words": ["a"]},
            "has no column of captions among image, words; name it with --caption-col",
        ),
        ({"image": [cell(1)], "text": [1]}, "column text of .* holds int64, not texts"),
        ({"before": [cell(1)], "after": [cell(2)], "text": ["a"]}, "has several columns of images .before, after."),
        ({"text": ["a"], "n": [1]}, "has no column of images among text, n; name it with --image-column"),
        ({"image": pyarrow.array([], pyarrow.binary()), "text": pyarrow.array([], pyarrow.string())}, "without a row"),
        ({"image": [cell(1)], "text": ["a"], "split": ["../x"]}, "row 0 .* has the split '../x', which is no name"),
    ],
)
def test_wrong_columns_are_one_sentence(columns, message, table, tmp_path):
    import re

    assert re.search(message, refusal(tmp_path / "out", *table("a.parquet", **columns)))


def test_what_is_no_parquet_is_told(tmp_path):
    for text, message in (("version https://git-lfs.github.com/spec/v1\n", "Git LFS"), ("x" * 99, "cannot be read as")):
        (tmp_path / "a.parquet").write_text(text)
        assert message in refusal(tmp_path / "out", "--layout", "dataset", "--source", tmp_path / "a.parquet")
    said = refusal(tmp_path / "out", "--layout", "dataset", "--source", tmp_path / "no" / "where" / "at all")
    assert "does not exist; give Parquet or Arrow files, their folder, or a dataset's name" in said


def test_a_caption_of_plain_text_in_the_authors_arrow_files(tmp_path, capsys):
    columns = {"image": [jpeg(1)], "caption": ["A man."], "image_id": ["1.jpg"], "split": ["train"]}
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert run_import(tmp_path / "out", capsys, "--source", tmp_path / "a.arrow").captions == {"1": ["A man."]}


def test_an_arrow_row_listed_twice_is_merged_and_another_image_of_its_name_is_not(tmp_path, capsys):
    columns = {
        "image": [jpeg(1), jpeg(1), jpeg(2)],
        "caption": [["A man."], ["He walks."], ["A woman."]],
        "image_id": ["1.jpg"] * 3,
        "split": ["train"] * 3,
    }
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    imported = run_import(tmp_path / "out", capsys, "--source", tmp_path / "a.arrow")
    assert imported.captions == {"1.jpg": ["A man.", "He walks."], "1.jpg~2": ["A woman."]}
