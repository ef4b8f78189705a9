"""The rows of an import while they wait on disk."""

import sqlite3

import pytest

from dataset_builders.imports import store as store_module
from dataset_builders.imports.store import Listing, RowStore
from modeling_unipt.common.user_errors import UserError


def listing(number, key=None, split="train", **facts):
    name = facts.pop("name", f"{key or number}.jpg")
    place = facts.pop("place", name)
    texts = facts.pop("texts", [f"Text {number}."])
    return Listing(
        number, str(key or number), facts.pop("file", 0), split, name, place, [(t, "a") for t in texts], **facts
    )


@pytest.fixture
def store(tmp_path):
    store = RowStore(tmp_path / "deep" / "out")
    # The file has no name, so a process that is killed leaves nothing.
    assert list(tmp_path.iterdir()) == []
    yield store
    store.close()


def ids(store, split="train"):
    return [row.image_id for row in store.rows(split)]


def test_listings_of_one_image_are_put_together_in_their_order(store):
    store.add(listing(0, "x", texts=["One."], known={"a": 1, "b": None}))
    store.add(listing(1, "y"))
    store.add(listing(2, "x", file=1, texts=["Two.", "One."], known={"a": 1, "b": 2}))
    store.add(listing(3, "x", file=1, texts=["Three."], known={"a": 9}))
    first, second = store.rows("train")
    assert [text for text, _ in first.captions] == ["One.", "Two.", "Three."]
    assert first.known == {"a": 1, "b": 2} and second.name == "y.jpg"
    # The third listing is the first in its file; the last one repeats it and contradicts the first.
    assert (len(store), store.repeated, store.contradicting) == (2, 1, 1)


def test_equal_texts_of_different_writers_both_stay(store):
    store.add(Listing(0, "x", 0, "train", "x", "x", [("A man.", "qwen")]))
    store.add(Listing(1, "x", 1, "train", "x", "x", [("A man.", "shikra"), ("A man.", "qwen")]))
    (row,) = store.rows("train")
    assert row.captions == [("A man.", "qwen"), ("A man.", "shikra")]


def test_a_later_listing_brings_the_place(store):
    store.add(listing(0, "x", place=None))
    store.add(listing(1, "y", place=None))
    assert store.found() == 0
    store.add(listing(2, "x", place="here"))
    assert store.found() == 1 and [row.place for row in store.rows("train")] == ["here", None]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/1.jpg", "a/2.png"], ["a/1", "a/2"]),
        (["a/1.jpg", "a/1.png", "b"], ["a/1.jpg", "a/1.png", "b"]),
        (["a.jpg", "a.jpg", "a.jpg~2", "a.jpg"], ["a.jpg", "a.jpg~3", "a.jpg~2", "a.jpg~4"]),
        (["."], ["."]),
    ],
)
def test_ids_are_unique_and_as_short_as_they_can_be(names, expected, store):
    for number, name in enumerate(names):
        store.add(listing(number, f"key {number}", name=name))
    assert ids(store) == expected == ids(store)


def test_splits_keep_their_order_and_an_image_may_be_in_two(store):
    for number, (key, split) in enumerate([("x", "val"), ("y", "train"), ("x", "train"), ("z", "val")]):
        store.add(listing(number, key, split))
    assert store.splits() == {"val": 2, "train": 2} and list(store.splits()) == ["val", "train"]
    assert store.in_several_splits() == 1 and store.repeated == 0
    assert len({*ids(store, "val"), *ids(store, "train")}) == 4


def test_many_rows_pass_the_borders_of_transactions(store, monkeypatch):
    monkeypatch.setattr(store_module, "ROWS_A_TRANSACTION", 7)
    for number in range(50):
        store.add(listing(number, f"key {number // 2}"))
    rows = list(store.rows("train"))
    assert len(rows) == 25 and all(len(row.captions) == 2 for row in rows)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store_module.sqlite3, "connect", full)
    with pytest.raises(UserError, match=r"cannot be kept in .* \(database or disk is full\); choose an output"):
        RowStore(tmp_path / "out")
