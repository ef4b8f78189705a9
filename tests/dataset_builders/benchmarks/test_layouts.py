"""Four official layouts, their published numbers, and what users take for them by mistake."""

import json

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
}


def path_of(name, person, view, split):
    """A path as the benchmark's own: ICFG-PEDES's folders are MSMT17's, whatever the split."""
    return {
        "cuhk-pedes": f"cam_{'ab'[view % 2]}/{person:05d}_{view}.jpg",
        "icfg-pedes": f"{'test' if view else 'train'}/{person:04d}/{person:04d}_{view}.jpg",
        "rstpreid": f"{person:04d}_c{view}_{person:04d}.jpg",
        "ufine6926": f"images/{person}_{view}.jpg",
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
    with pytest.raises(
        UserError, match=r"is not the whole .*train has 2 identities|train has 4 images.*--allow-partial"
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
