"""ITCPR: an image with words as the query, and a gallery with distractors, read into a dataset of two splits."""

import json
import os

import pytest

from dataset_builders.benchmarks import composed
from dataset_builders.benchmarks.__main__ import main
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import draw_person

SOURCES = ("Celeb-reID", "PRCC", "LAST")


def entry(name, source, person, instance, **more):
    return {"file_path": f"{source}/{name}", "datasets": source, "person_id": person, "instance_id": instance} | more


def queries():
    # Two sources number people alike, and the last query seeks two images.
    captions = ["Wearing a &quot;brown&quot;  shirt", "A black coat, another blue jeans", "In red", "In white"]
    return [
        entry(f"q{number}.jpg", SOURCES[number % 3], 1 + number // 3, number, caption=caption)
        for number, caption in enumerate(captions)
    ]


def gallery():
    targets = [entry(f"t{number}.jpg", SOURCES[number % 3], 1 + number // 3, number) for number in range(4)]
    distractors = [entry(f"d{number}.jpg", "LAST", 900 + number, -1) for number in range(3)]
    return [*targets, entry("t3b.jpg", "Celeb-reID", 2, 3), *distractors]


@pytest.fixture(autouse=True)
def as_if_published(monkeypatch):
    monkeypatch.setattr(composed, "OFFICIAL_GALLERY", 8)
    monkeypatch.setattr(composed, "OFFICIAL_TRIPLETS", 5)


def write(folder, query_entries, gallery_entries):
    for number, each in enumerate(query_entries + gallery_entries):
        path = folder / each["file_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_person(number, 48, 16).save(path)
    (folder / "query.json").write_text(json.dumps(query_entries))
    (folder / "gallery.json").write_text(json.dumps(gallery_entries))
    return folder


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "ITCPR", queries(), gallery())


def read(source, output, *options):
    main(["itcpr", "--source", str(source), "--output", str(output), *options])
    return output


def test_both_splits_with_instances_people_and_words(source, tmp_path, capsys):
    from datasets import load_dataset

    rows = load_dataset(str(read(source, tmp_path / "out")))
    told = capsys.readouterr().out
    assert "query 4 images of 4 people, gallery 8 images of 7 people" in told
    assert "the official ITCPR, so scores on it are comparable" in told
    assert list(rows) == ["query", "gallery"]
    assert rows["query"]["captions"][0] == ['Wearing a "brown" shirt']
    assert rows["query"]["instance_id"] == [0, 1, 2, 3]
    assert rows["gallery"]["instance_id"] == [0, 1, 2, 3, 3, -1, -1, -1]
    assert rows["gallery"]["captions"] == [[]] * 8
    # The ids 1 and 2 of Celeb-reID are people of their own, and so are the ids 1 of the other two.
    assert rows["query"]["person_id"] == [0, 1, 2, 3]
    assert rows["gallery"]["person_id"] == [0, 1, 2, 3, 3, 4, 5, 6]
    assert rows["gallery"]["source"][-1] == "LAST" and rows["gallery"]["source_person_id"][-1] == "902"
    assert rows["query"][0]["image"].size == (16, 48)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "pretty_name: ITCPR" in card and "Not the official" not in card and "odd" not in card


def test_the_command_again_changes_nothing(source, tmp_path):
    read(source, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    read(source, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


WRONG = {
    "one image less": (lambda q, g: g.pop(), "7 images in the gallery, expected 8"),
    "one query less": (lambda q, g: q.pop(), "3 triplets, expected 5"),
    "a query that seeks nothing": (
        lambda q, g: q[0].update(instance_id=77),
        "4 triplets, expected 5; 1 queries seek nothing in the gallery, such as Celeb-reID/q0.jpg",
    ),
    "a distractor as a query": (
        lambda q, g: q[1].update(instance_id=-1),
        "entry 1 .counted from 0.: 'instance_id' is -1",
    ),
    "an instance that is a word": (
        lambda q, g: g[2].update(instance_id="x"),
        "entry 2 .*must be a whole number, not 'x'",
    ),
    "no instance": (lambda q, g: q[0].pop("instance_id"), "query.json: entry 0 .* lacks the key 'instance_id'"),
    "no words at all": (
        lambda q, g: [each.update(caption=" ") for each in q],
        "none of the queries in .*query.json has words",
    ),
    "no words": (lambda q, g: q[0].pop("caption"), "query.json: entry 0 .* lacks the key 'captions?'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_the_benchmark_is_refused_and_leaves_nothing(what, tmp_path):
    change, message = WRONG[what]
    query_entries = queries()
    gallery_entries = gallery()
    change(query_entries, gallery_entries)
    source = write(tmp_path / "ITCPR", query_entries, gallery_entries)
    with pytest.raises(UserError, match=message) as refusal:
        read(source, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ITCPR"]


def test_missing_files_and_images_are_named(source, tmp_path):
    (source / "LAST" / "d1.jpg").unlink()
    with pytest.raises(UserError, match="1 of 12 annotated images are missing in .*ITCPR, such as LAST/d1.jpg"):
        read(source, tmp_path / "out")
    read(source, tmp_path / "out", "--allow-partial")
    assert json.loads((tmp_path / "out" / "rejected.jsonl").read_text())["reason"] == "missing"
    assert "**Not the official ITCPR**" in (tmp_path / "out" / "README.md").read_text()
    (source / "gallery.json").rename(tmp_path / "elsewhere.json")
    with pytest.raises(
        UserError, match="holds no gallery.json; give the folder that holds query.json and gallery.json"
    ):
        read(source, tmp_path / "other")


def test_blank_and_odd_words(tmp_path, capsys):
    query_entries = queries()
    query_entries[1]["caption"] = " &nbsp;"
    query_entries[2]["caption"] = "In red./n"
    source = write(tmp_path / "ITCPR", query_entries, gallery())
    with pytest.raises(UserError, match="--strict refuses this data"):
        read(source, tmp_path / "out", "--strict")
    read(source, tmp_path / "out")
    told = capsys.readouterr().out
    assert "query 3 images" in told and "odd: blank captions: 1, such as PRCC/q1.jpg" in told
    assert json.loads((tmp_path / "out" / "rejected.jsonl").read_text()) == {
        "file_name": "PRCC/q1.jpg",
        "reason": "has no words",
    }
    assert "## What is odd in this data" in (tmp_path / "out" / "README.md").read_text()


def test_people_without_id_or_source(tmp_path):
    from datasets import load_dataset

    query_entries = queries()
    gallery_entries = gallery()
    for each in query_entries:
        each.pop("person_id")
    for each in gallery_entries:
        each.pop("datasets")
    rows = load_dataset(str(read(write(tmp_path / "ITCPR", query_entries, gallery_entries), tmp_path / "out")))
    # Each query is somebody of his or her own; the folder tells the source.
    assert rows["query"]["person_id"] == [0, 1, 2, 3]
    assert rows["gallery"]["person_id"] == [4, 5, 6, 7, 7, 8, 9, 10]


def test_paths_that_are_spelled_differently_on_disk(source, tmp_path):
    (source / "PRCC" / "q1.jpg").rename(source / "PRCC" / "q1.JPG")
    with pytest.raises(UserError, match="pass --fix-paths"):
        read(source, tmp_path / "out")
    read(source, tmp_path / "out", "--fix-paths")
    assert (tmp_path / "out" / "rejected.jsonl").read_text() == ""


@pytest.mark.slow
def test_the_published_size_is_the_official_one(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    assert (composed.OFFICIAL_GALLERY, composed.OFFICIAL_TRIPLETS) == (20_510, 2_225)
    source = tmp_path / "ITCPR"
    asked = [entry(f"{n}/q.jpg", SOURCES[n % 3], n, n, caption=f"Wearing a coat, number {n}") for n in range(2_225)]
    held = [entry(f"{n}/t.jpg", SOURCES[n % 3], n, n) for n in range(2_225)]
    held += [entry(f"{n}/d.jpg", "LAST", n, -1) for n in range(20_510 - 2_225)]
    draw_person(0, 48, 16).save(tmp_path / "one.jpg")
    for each in asked + held:
        (source / each["file_path"]).parent.mkdir(parents=True, exist_ok=True)
        os.link(tmp_path / "one.jpg", source / each["file_path"])
    (source / "query.json").write_text(json.dumps(asked))
    (source / "gallery.json").write_text(json.dumps(held))
    read(source, tmp_path / "out")
    told = capsys.readouterr().out
    assert "query 2225 images" in told and "gallery 20510 images" in told
    assert "the official ITCPR, so scores on it are comparable" in told
