"""Data sets in every form in which they may lie on a disk: the same rows, no copy, a sentence where nothing is."""

import os
import pickle

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from modeling_unipt.common.user_errors import UserError
from tests.helpers.small_datasets import people_table, write_parquet
from unipt_train.data import loading
from unipt_train.data.loading import joined, load_rows, load_several, load_splits
from unipt_train.data.parquet_rows import ParquetRows
from unipt_train.data.rows import expect

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"


@pytest.fixture(scope="module")
def table():
    return people_table(range(30))


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """60 rows in row groups of 7."""
    return write_parquet(tmp_path_factory.mktemp("data") / "people", 7, train=table)


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """The folder in which the library would keep copies."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def plain(row):
    return {name: value.tobytes() if name == "image" else value for name, value in row.items()}


def as_plain(rows):
    return [plain(row) for row in rows]


def test_parquet_files_are_read_where_they_lie(folder, table, no_cache):
    rows = load_rows(str(folder), "train", ["image", "captions"])
    assert isinstance(rows, ParquetRows) and len(rows) == 60
    assert rows.column_names == ["image", "image_id", "person_id", "captions"]
    assert as_plain(rows) == as_plain(table)
    order = np.random.default_rng(0).permutation(60).tolist() + [3, 3, 59]
    assert as_plain(rows.__getitems__(order)) == as_plain(table.__getitems__(order))
    assert plain(rows[-1]) == plain(table[59]) and rows["person_id"] == list(table["person_id"])
    assert not no_cache.exists()
    with pytest.raises(IndexError):
        rows[60]


def test_a_part_of_the_rows_and_columns(folder, table):
    rows = load_rows(str(folder), "train", ["image"])
    for chosen in ([5, 6, 7, 8, 50], [8, 3, 3, 40, 7], []):
        assert as_plain(rows.select(chosen)) == as_plain(table.select(chosen))
        assert rows.select(chosen)["person_id"] == list(table.select(chosen)["person_id"])
    assert rows.select(range(10, 60)).select([3, 4])["image_id"] == [table[13]["image_id"], table[14]["image_id"]]
    few = rows.select_columns(["captions", "person_id"])
    assert few[7] == {"captions": table[7]["captions"], "person_id": table[7]["person_id"]}


def test_rows_go_to_other_processes(folder, table):
    rows = load_rows(str(folder), "train", ["image"])
    first = plain(rows[0])
    assert plain(pickle.loads(pickle.dumps(rows))[0]) == first
    child = os.fork()
    if not child:
        os._exit(0 if plain(rows[0]) == first else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kept", [1, 5, 20, 200])
def test_what_is_read_ahead_are_the_same_rows(folder, table, kept):
    rows = load_rows(str(folder), "train", ["image"])
    order = [index for seed in range(3) for index in np.random.default_rng(seed).permutation(60).tolist()]
    expect(rows, lambda: iter(order), int(kept * rows.row_bytes) + 1)
    for start in range(0, 180, 12):
        batch = order[start : start + 12]
        assert as_plain(rows.__getitems__(batch)) == as_plain(table.__getitems__(batch))
        assert len(rows._ahead.kept) <= kept
    assert not rows._ahead.kept, "the end of the order leaves nothing behind"


def test_one_reading_of_a_row_group_serves_all_rows_that_come_soon(folder, monkeypatch):
    rows = load_rows(str(folder), "train", ["image"])
    read = []
    inner = rows.shards.read
    monkeypatch.setattr(rows.shards, "read", lambda group, *more: read.append(group) or inner(group, *more))
    order = np.random.default_rng(0).permutation(60).tolist()
    expect(rows, lambda: iter(order), 1 << 30)
    for start in range(0, 60, 4):
        rows.__getitems__(order[start : start + 4])
    assert sorted(read) == list(range(9))


def test_an_order_that_was_not_foretold_changes_only_the_speed(folder, table):
    rows = load_rows(str(folder), "train", ["image"])
    expect(rows, lambda: iter([1, 2, 3]), 1 << 20)
    assert as_plain(rows.__getitems__([50, 1, 1, 4])) == as_plain(table.__getitems__([50, 1, 1, 4]))
    assert as_plain(rows.__getitems__([2, 59])) == as_plain(table.__getitems__([2, 59]))


def test_large_row_groups_are_left_to_the_library_and_that_is_told(folder, table, no_cache, monkeypatch, caplog):
    monkeypatch.setattr(loading, "LARGEST_GROUP", 1000)
    with caplog.at_level("INFO", "unipt_train"):
        rows = load_rows(str(folder), "train", ["image"])
    assert isinstance(rows, datasets.Dataset) and as_plain(rows) == as_plain(table)
    assert "makes a copy in its cache; files with row_group_size=256 need none" in caplog.text


def test_files_of_different_types_are_left_to_the_library(tmp_path, no_cache):
    for number, dtype in enumerate(("int32", "int64")):
        table = datasets.Dataset.from_dict({"person_id": [number]}).cast_column("person_id", datasets.Value(dtype))
        table.to_parquet(tmp_path / f"train-{number:05d}-of-00002.parquet")
    rows = load_rows(str(tmp_path), "train", ["person_id"])
    assert isinstance(rows, datasets.Dataset) and rows["person_id"] == [0, 1]


def test_a_folder_of_save_to_disk_is_a_data_set(tmp_path, table, no_cache):
    datasets.DatasetDict({"train": table, "val": table.select(range(4))}).save_to_disk(tmp_path / "several")
    found = load_splits(str(tmp_path / "several"))
    assert {name: len(rows) for name, rows in found.items()} == {"train": 60, "val": 4}
    assert as_plain(load_rows(str(tmp_path / "several"), "train", ["image"])) == as_plain(table)
    assert list(load_splits(str(tmp_path / "several" / "val"))) == ["train"]
    named = datasets.Dataset(table.data, split=datasets.NamedSplit("test"))
    named.save_to_disk(tmp_path / "one")
    assert list(load_splits(str(tmp_path / "one"))) == ["test"]
    assert not no_cache.exists()


@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_plain_texts_and_images_without_a_note_are_understood(tmp_path, table, form):
    """As pandas and others write them: a caption alone, an image as bytes or as a plain struct."""
    stored = table.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)[:]
    texts = pyarrow.array([texts[0] for texts in stored["captions"].to_pylist()])
    images = stored["image"].combine_chunks()
    for kind, column in {"struct": images, "bytes": images.field("bytes")}.items():
        bare = pyarrow.table({"image": column, "captions": texts})
        place = tmp_path / kind
        if form == "saved":
            datasets.Dataset(bare).save_to_disk(place)
        else:
            place.mkdir()
            parquet.write_table(bare, place / "train.parquet")
        rows = load_rows(str(place), "train", ["image", "captions"])
        assert [row["captions"] for row in rows] == [[texts[0]] for texts in table["captions"]]
        assert rows[7]["image"].tobytes() == table[7]["image"].tobytes()


def test_paths_where_images_should_be_are_refused(tmp_path):
    datasets.Dataset.from_dict({"image": ["a.jpg"], "captions": [["a"]]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(UserError, match="no images in its column 'image' but string; import it with"):
        load_rows(str(tmp_path), "train", ["image", "captions"])


def test_a_person_without_a_number_is_refused(tmp_path):
    datasets.Dataset.from_dict({"person_id": [1, None]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(UserError, match="has rows whose person_id is empty"):
        load_rows(str(tmp_path), "train", ["person_id"])


def spoil(folder, kind):
    """Spoil a data set in one way; returns the folder to load and what is said of it."""
    if kind == "lfs":
        (folder / "train-00000-of-00001.parquet").write_text(LFS)
        return "train-00000-of-00001.parquet is a Git LFS pointer"
    if kind == "page":
        (folder / "train-00000-of-00001.parquet").write_text("<!DOCTYPE html><html><title>Log in</title></html>")
        return "train-00000-of-00001.parquet is a log-in page"
    if kind == "torn":
        whole = (folder / "train-00000-of-00001.parquet").read_bytes()
        (folder / "train-00000-of-00001.parquet").write_bytes(whole[:2000])
        return "train-00000-of-00001.parquet cannot be read as Parquet"
    if kind == "empty":
        (folder / "train-00000-of-00001.parquet").unlink()
        return "is empty"
    datasets.load_dataset("parquet", data_files=str(folder / "*.parquet"), split="train").save_to_disk(folder / "s")
    if kind == "saved-lfs":
        (folder / "s" / "data-00000-of-00001.arrow").write_text(LFS)
        return "data-00000-of-00001.arrow is a Git LFS pointer"
    (folder / "s" / "state.json").write_text("{}")
    return "cannot be read as a saved dataset"


@pytest.mark.parametrize("kind", ["lfs", "page", "torn", "empty", "saved-lfs", "saved-torn"])
def test_what_is_no_data_is_named(tmp_path, table, kind):
    folder = write_parquet(tmp_path / "x", train=table.select(range(4)))
    message = spoil(folder, kind)
    with pytest.raises(UserError, match=message):
        load_splits(str(folder / "s" if kind.startswith("saved") else folder))


def test_a_folder_may_be_called_as_a_format(tmp_path, table, monkeypatch):
    write_parquet(tmp_path / "csv", train=table.select(range(4)))
    monkeypatch.chdir(tmp_path)
    assert len(load_rows("csv", "train", ["image"])) == 4


def test_a_shard_that_is_lost_later_is_named(tmp_path, table):
    folder = write_parquet(tmp_path / "x", train=table)
    rows = load_rows(str(folder), "train", ["image"])
    (folder / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="train-00000-of-00001.parquet cannot be read any more"):
        rows[0]


@pytest.fixture
def two(folder, tmp_path):
    """Two data sets whose person ids are partly the same numbers; the second is saved otherwise."""
    people_table(range(25, 40), first=99).save_to_disk(tmp_path / "other")
    return [str(folder), str(tmp_path / "other")]


def test_people_of_several_data_sets_are_kept_apart(two):
    parts = load_several(two, "train", ["image", "person_id"])
    rows = joined(parts)
    assert len(rows) == 90 and rows.column_names == ["image", "image_id", "person_id", "captions"]
    people = rows["person_id"]
    assert people == [index // 2 for index in range(90)], "counted through"
    assert [row["person_id"] for row in rows] == [rows[index]["person_id"] for index in range(90)] == people
    images = [rows[index]["image"].tobytes() for index in (0, 59, 60, 89)]
    first, second = parts.values()
    assert images == [row["image"].tobytes() for row in (first[0], first[59], second[0], second[29])]
    some = rows.select([1, 59, 60, 61, 88])
    assert [row["person_id"] for row in some] == some["person_id"] == [0, 29, 30, 30, 44]
    assert rows.select_columns(["person_id"])[60] == {"person_id": 30}
    assert [row["image_id"] for row in rows.__getitems__([89, 0, 89])] == ["39-1", "0-0", "39-1"]


def test_several_data_sets_read_ahead_too(two):
    rows = joined(load_several(two, "train", ["image"]))
    order = np.random.default_rng(0).permutation(90).tolist()
    expected = as_plain(rows.__getitems__(order))
    expect(rows, lambda: iter(order), 1 << 20)
    assert as_plain(rows.__getitems__(order[:45])) + as_plain(rows.__getitems__(order[45:])) == expected


def test_a_data_set_named_twice_is_refused(folder):
    with pytest.raises(UserError, match="is named twice; --dataset-weights says how often"):
        load_several([str(folder), str(folder)], "train", ["image"])
    with pytest.raises(UserError, match="are the same folder: it is named twice"):
        load_several([str(folder), f"{folder}/../people"], "train", ["image"])


def test_one_data_set_stays_as_it_is(folder):
    assert isinstance(joined(load_several([str(folder)], "train", ["image"])), ParquetRows)
