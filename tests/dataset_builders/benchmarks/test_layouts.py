"""Seven official layouts, their published numbers, and what users take for them by mistake."""

import dataclasses
import json

import pyarrow.parquet as parquet
import pytest

from dataset_builders.benchmarks import layouts
from dataset_builders.benchmarks.__main__ import main
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import draw_person

# name -> (annotation file, folder of the images, key of the path, captions an image, splits)
LAYOUTS = {
    "cuhk-pedes": ("reid_raw.json", "imgs", "file_path", 2, ("train", "val", "test")),
    "icfg-pedes": ("ICFG-PEDES.json", "imgs", "file_path", 1, ("train", "test")),
    "rstpreid": ("data_captions.json", "imgs", "img_path", 2, ("train", "val", "test")),
    "ufine6926": ("UFine6926.json", ".", "file_path", 2, ("train", "test")),
    "ufine3c": ("UFine3C_Annotations.json", ".", "file_path", 5, ("test",)),
    "iiitd-20k": ("IIITD-20K-ICFG-FORMAT.json", ".", "file_path", 2, ("train", "val", "test")),
}


def path_of(name, person, view, split):
    """A path as the benchmark's own: ICFG-PEDES's folders are MSMT17's, whatever the split."""
    return {
        "cuhk-pedes": f"cam_{'ab'[view % 2]}/{person:05d}_{view}.jpg",
        "icfg-pedes": f"{'test' if view else 'train'}/{person:04d}/{person:04d}_{view}.jpg",
        "rstpreid": f"{person:04d}_c{view}_{person:04d}.jpg",
        "ufine6926": f"images/{person}_{view}.jpg",
        "ufine3c": f"images/{person}_{view}.jpg",
        "iiitd-20k": f"IIITD-20K/{person}_{view}.jpg",
    }[name]


def entries(name, people):
    """Entries of ``people``, split -> (identities, images, captions), images and captions shared out evenly."""
    _, _, key, _, splits = LAYOUTS[name]
    listed, person = [], 0
    for split in splits:
        identities, images, captions = people[split]
        for number in range(images):
            view, one = divmod(number, identities)
            told = captions // images + (number < captions % images)
            listed.append(
                {
                    "split": split,
                    "captions": [f"Person {person + one} walks."] * told,
                    key: path_of(name, person + one, view, split),
                    "id": person + one,
                }
            )
        person += identities
    return listed


def write(folder, name, listed, images=True):
    annotation, below, key, _, _ = LAYOUTS[name]
    (folder / below).mkdir(parents=True, exist_ok=True)
    (folder / annotation).write_text(json.dumps(listed))
    for number, entry in enumerate(listed if images else []):
        path = folder / below / entry[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_person(number, 48, 16).save(path)
    return folder


def small(name):
    """A few people: split -> (identities, images, captions)."""
    captions = LAYOUTS[name][3]
    return {
        split: (2 + number, 4 + 2 * number, captions * (4 + 2 * number))
        for number, split in enumerate(LAYOUTS[name][4])
    }


def read(name, source, output, *options):
    main([name, "--source", str(source), "--output", str(output), *options])
    return output


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_becomes_the_same_columns_and_its_own_splits(name, tmp_path, monkeypatch, capsys):
    from datasets import load_dataset

    listed = entries(name, small(name))
    source = write(tmp_path / "source", name, listed)
    first = LAYOUTS[name][4][0]
    with pytest.raises(
        UserError, match=rf"is not the whole .*{first} has 2 identities|{first} has 4 images.*--allow-partial"
    ):
        read(name, source, tmp_path / name)
    read(name, source, tmp_path / name, "--allow-partial")
    assert "not the official" in capsys.readouterr().out
    assert "**Not the official" in (tmp_path / name / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = load_dataset(name, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == {split: n[1] for split, n in small(name).items()}
    for split, rows in found.items():
        assert {"image", "image_id", "person_id", "captions"} <= set(rows.column_names)
        expected = {
            entry[LAYOUTS[name][2]]: (entry["id"], entry["captions"]) for entry in listed if entry["split"] == split
        }
        assert {row["file_path"]: (row["person_id"], row["captions"]) for row in rows} == expected
        assert rows[0]["image"].size == (16, 48)


def of_published_size(name):
    """Entries with just the published numbers; of UFine6926's people in a split the test takes any that add up."""
    published = dict(layouts.LAYOUTS[name].official)
    if name == "ufine6926":
        published = {"train": (4926, *published["train"][1:]), "test": (2000, *published["test"][1:])}
    return entries(name, published)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_published_numbers_pass_and_one_caption_or_image_less_is_told(name, tmp_path):
    listed = of_published_size(name)
    source = write(tmp_path / "source", name, listed, images=False)
    with pytest.raises(UserError, match=f"{len(listed)} of {len(listed)} annotated images are missing"):
        read(name, source, tmp_path / "out")  # the numbers pass; the images are the next thing to be looked for
    test = [number for number, entry in enumerate(listed) if entry["split"] == "test"]
    listed[test[0]]["captions"] = listed[test[0]]["captions"] + ["One more."]
    del listed[test[-1]]
    write(source, name, listed, images=False)
    images = layouts.LAYOUTS[name].official["test"].images
    with pytest.raises(UserError, match=f"test has {images - 1:,} images, expected {images:,}"):
        read(name, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_icfg_pedes_may_be_spelt_with_an_underscore(tmp_path):
    source = write(tmp_path / "source", "icfg-pedes", entries("icfg-pedes", small("icfg-pedes")))
    (source / "ICFG-PEDES.json").rename(source / "ICFG_PEDES.json")
    read("icfg-pedes", source, tmp_path / "out", "--allow-partial")


def test_msmt17s_folders_are_not_icfg_pedes_split(tmp_path):
    source = tmp_path / "source"
    for folder in ("train", "test"):
        (source / "imgs" / folder).mkdir(parents=True)
    with pytest.raises(UserError, match="no ICFG-PEDES.json; these folders are MSMT17's and not the split"):
        read("icfg-pedes", source, tmp_path / "out", "--allow-partial")
    listed = entries("icfg-pedes", small("icfg-pedes"))
    for entry in listed:
        entry["split"] = entry["file_path"].split("/")[0]
    write(source, "icfg-pedes", listed)
    with pytest.raises(UserError, match="its split is the folder it lies in.*give the authors' own ICFG-PEDES.json"):
        read("icfg-pedes", source, tmp_path / "out", "--allow-partial")


def test_the_first_release_of_rstpreid_is_named(tmp_path):
    old = {"train": (3901, 19505, 39010), "val": (100, 500, 1000), "test": (100, 500, 1000)}
    source = write(tmp_path / "source", "rstpreid", entries("rstpreid", old), images=False)
    with pytest.raises(
        UserError, match=r"first release .* 3,901 / 100 / 100 people; .* later one with 3,701 / 200 / 200"
    ):
        read("rstpreid", source, tmp_path / "out", "--allow-partial")


def test_copies_made_for_other_code_are_explained(tmp_path):
    listed = entries("rstpreid", small("rstpreid"))
    for entry in listed:
        entry["file_path"] = entry.pop("img_path")
    source = write(tmp_path / "source", "rstpreid", listed, images=False)
    with pytest.raises(
        UserError, match="lacks the key 'img_path'; copies made for other code have 'file_path' instead"
    ):
        read("rstpreid", source, tmp_path / "out")


def test_ufine6926_takes_the_only_annotation_and_not_one_of_several(tmp_path):
    source = write(tmp_path / "source", "ufine6926", entries("ufine6926", small("ufine6926")))
    (source / "UFine6926.json").rename(source / "annotations.json")
    read("ufine6926", source, tmp_path / "out", "--allow-partial")
    (source / "more.json").write_text("[]")
    with pytest.raises(UserError, match="several annotation files, annotations.json, more.json; leave one, or name"):
        read("ufine6926", source, tmp_path / "out", "--allow-partial")


def images(folder, paths):
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        draw_person(number, 48, 16).save(folder / path, "JPEG")
    return folder


def rows_of(folder, split, *columns):
    (path,) = (folder / "data").glob(f"{split}-*")
    return parquet.read_table(path, columns=list(columns)).to_pylist()


def test_ufine3c_needs_no_split_and_keeps_the_source_of_its_images(tmp_path):
    """An image of an evaluation set may have any number of captions."""
    source = images(tmp_path / "source", [f"images/{number}.jpg" for number in range(3)])
    listed = [
        {
            "id": n // 2,
            "source": f"set {n}",
            "file_path": f"images/{n}.jpg",
            "captions": [f"{n}, {m}" for m in range(n + 1)],
        }
        for n in range(3)
    ]
    (source / "UFine3C_Annotations.json").write_text(json.dumps(listed))
    folder = read("ufine3c", source, tmp_path / "out", "--allow-partial")
    assert [path.name for path in (folder / "data").iterdir()] == ["test-00000-of-00001.parquet"]
    rows = rows_of(folder, "test", "file_path", "person_id", "captions", "source")
    assert rows == [{key if key != "id" else "person_id": value for key, value in entry.items()} for entry in listed]
    assert "| `source` | the dataset that the image comes from |" in (folder / "README.md").read_text()


@pytest.mark.parametrize("below", ["IIITD-20K", "images"])
def test_iiitd_20k_is_read_as_its_authors_ship_it(below, tmp_path, monkeypatch, capsys):
    """By number, without suffixes, without splits, and a description a key."""
    layout = dataclasses.replace(layouts.LAYOUTS["iiitd-20k"], shares={"train": 3, "val": 1, "test": 1})
    monkeypatch.setitem(layouts.LAYOUTS, "iiitd-20k", layout)
    source = images(tmp_path / "source", [f"{below}/{n}_of_5.jp{'e' if n % 2 else ''}g" for n in range(5)])
    filtered = {
        str(n): {
            "Image ID": f"{n}_of_5",
            "Image URL": "",
            "Description 1": f"First {n}.",
            "Description 2": f"Second {n}.",
        }
        for n in range(5)
    }
    (source / "Filtered.json").write_text(json.dumps(filtered))
    folder = read("iiitd-20k", source, tmp_path / "out", "--allow-partial")
    paths = {row["file_path"]: row["captions"] for row in rows_of(folder, "train", "file_path", "captions")}
    assert paths == {f"{n}_of_5.jp{'e' if n % 2 else ''}g": [f"First {n}.", f"Second {n}."] for n in range(3)}
    assert [rows_of(folder, split, "person_id") for split in ("val", "test")] == [
        [{"person_id": 3}],
        [{"person_id": 4}],
    ]
    assert "ids of people are texts, such as '0_of_5'" in capsys.readouterr().out


def test_iiitd_20ks_derived_file_has_one_row_a_caption(tmp_path, capsys):
    source = images(tmp_path / "source", ["IIITD-20K/a.jpeg", "IIITD-20K/b.jpg"])
    listed = [
        {"file_path": f"IIITD-20K/{path}", "id": person, "captions": [f"{text} {person}."], "split": "test"}
        for person, path in enumerate(("a.jpeg", "b.jpg"))
        for text in ("First", "Second")
    ]
    (source / "IIITD-20K-ICFG-FORMAT.json").write_text(json.dumps(listed))
    folder = read("iiitd-20k", source, tmp_path / "out", "--allow-partial")
    assert [row["captions"] for row in rows_of(folder, "test", "captions")] == [
        ["First 0.", "Second 0."],
        ["First 1.", "Second 1."],
    ]


def chatpedes(folder, people=2):
    said = [
        [{"from": "user", "value": "a man"}, {"from": "gpt", "value": "and?"}],
        [{"from": "user", "value": "in red"}],
    ]
    for split in ("train", "test"):
        listed = [
            {"id": n, "file_path": f"cam_a/{split}_{n}.jpg", "chats": said, "captions": [f"{split} {n}."]}
            for n in range(people)
        ]
        images(folder, [f"imgs00/{entry['file_path']}" for entry in listed])
        (folder / f"{split}_reid.json").write_text(json.dumps(listed))
    return said


def test_chatpedes_has_a_file_for_each_split_and_keeps_the_dialogues(tmp_path, capsys):
    from datasets import load_dataset

    said = chatpedes(tmp_path / "source")
    with pytest.raises(UserError, match="all has 2 identities, expected 12,003; all has 4 images, expected 37,128"):
        read("chatpedes", tmp_path / "source", tmp_path / "out")
    folder = read("chatpedes", tmp_path / "source", tmp_path / "out", "--allow-partial")
    found = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert found["train"]["file_path"] == ["cam_a/train_0.jpg", "cam_a/train_1.jpg"]
    assert found["test"][1]["dialogues"] == said and found["test"][1]["captions"] == ["test 1."]
    read("chatpedes", tmp_path / "source", tmp_path / "test", "--splits", "test")
    assert "test: the numbers of this split of ChatPedes were not published" in capsys.readouterr().out


def test_both_files_of_chatpedes_must_be_there_or_the_first_is_named(tmp_path):
    chatpedes(tmp_path / "source")
    (tmp_path / "source" / "test_reid.json").unlink()
    with pytest.raises(UserError, match=r"holds no train_reid.json \+ test_reid.json; give the folder that holds"):
        read("chatpedes", tmp_path / "source", tmp_path / "out")


def test_chatpedes_as_a_whole_is_official_by_its_sums(tmp_path, monkeypatch, capsys):
    chatpedes(tmp_path / "source")
    layout = dataclasses.replace(layouts.LAYOUTS["chatpedes"], official={"all": layouts.Counts(2, 4, None)})
    monkeypatch.setitem(layouts.LAYOUTS, "chatpedes", layout)
    read("chatpedes", tmp_path / "source", tmp_path / "out")
    assert capsys.readouterr().out.count("the official split of ChatPedes") == 2
