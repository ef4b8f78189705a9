"""Where a gallery's images come from: each kind of source, their names, and opening them again."""

import hashlib
import json
import os
import shutil

import datasets
import numpy as np
import pyarrow.parquet as parquet
import pytest

from modeling_unipt import PersonGallery
from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.gallery import images
from modeling_unipt.sources.tables import ParquetSource
from tests.helpers.packed_images import (
    MAKERS,
    PEOPLE,
    encoded,
    make_folder,
    pack,
    table_of,
    write_lmdb,
)
from tests.helpers.people import draw_person

QUERY = "a young man in a red coat"


@pytest.fixture(scope="module", params=MAKERS)
def packed(request, tmp_path_factory):
    """A source of the same twenty people."""
    make, _ = MAKERS[request.param]
    return make(tmp_path_factory.mktemp("source") / request.param)


def test_every_source_makes_the_same_gallery(packed, model_and_processor, tmp_path):
    gallery = PersonGallery.from_folder(packed, model_and_processor, batch_size=8)
    name_of = MAKERS[packed.name][1]
    suffix = ".jpg" if packed.name == "folder" else ""
    names = [f"{name_of(number)}{suffix}" for number in range(PEOPLE)]
    assert sorted(gallery.file_names) == sorted(names) and gallery.folder == str(packed)
    id_of_name = dict(zip(gallery.file_names, gallery.ids, strict=True))
    for number, name in enumerate(names):
        assert id_of_name[name] == hashlib.sha256(encoded(number)).hexdigest()

    best = gallery.search(draw_person(7), 1)[0]
    assert best.path == str(packed / best.path[len(str(packed)) + 1 :]) and best.path.startswith(f"{packed}/")
    assert gallery.add(packed).unchanged == PEOPLE

    gallery.save(tmp_path / "gallery")
    loaded = PersonGallery.load(tmp_path / "gallery", model_and_processor)
    assert loaded.search(QUERY) == gallery.search(QUERY)
    for place, name in enumerate(loaded.file_names[:5]):
        number = names.index(name)
        np.testing.assert_array_equal(loaded.image_of(place), images.decode(encoded(number)))


def test_sources_of_the_same_people_find_copies(packed, model_and_processor, tmp_path):
    """What is added from another source keeps that source's path as its name, and is the same image by its bytes."""
    folder = make_folder(tmp_path / "crops")
    (folder / "cam_0" / "00.jpg").unlink()
    gallery = PersonGallery.from_folder(folder, model_and_processor)
    report = gallery.add(packed)
    assert (report.added, len(report.duplicates)) == (1, PEOPLE - 1)
    image_id = MAKERS[packed.name][1](0)
    assert gallery.file_names[-1] == f"{packed}/{image_id}" + (".jpg" if packed.name == "folder" else "")
    np.testing.assert_array_equal(gallery.image_of(PEOPLE - 1), images.decode(encoded(0)))


def test_two_tables_without_ids_do_not_replace_each_other(model_and_processor, tmp_path):
    """Both name their rows by numbers, which begin at 0."""
    parquet.write_table(table_of([1, 2]), tmp_path / "a.parquet")
    parquet.write_table(table_of([3, 4]), tmp_path / "b.parquet")
    gallery = PersonGallery.from_folder(tmp_path / "a.parquet", model_and_processor)
    report = gallery.add([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert (report.added, report.unchanged, report.replaced) == (2, 2, [])
    assert gallery.file_names == ["00000000", "00000001", *(f"{tmp_path}/b.parquet/0000000{row}" for row in (0, 1))]
    for place, number in enumerate([1, 2, 3, 4]):
        np.testing.assert_array_equal(gallery.image_of(place), images.decode(encoded(number)))


def test_files_and_sources_can_be_added_together(model_and_processor, tmp_path):
    gallery = PersonGallery(*model_and_processor, tmp_path)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(number))
    pack(tmp_path / "more.tar", {"x/4.jpg": encoded(4)})
    gallery.add([tmp_path / "1.jpg", tmp_path / "2.jpg", tmp_path / "more.tar", tmp_path / "3.jpg"])
    assert gallery.file_names == ["1.jpg", "2.jpg", "more.tar/x/4", "3.jpg"]
    np.testing.assert_array_equal(gallery.image_of(2), images.decode(encoded(4)))
    with pytest.raises(UserError, match="9.jpg does not exist .1 of 2 are missing"):
        gallery.add([tmp_path / "1.jpg", tmp_path / "9.jpg"])
    with pytest.raises(UserError, match="image .*9.jpg does not exist"):
        gallery.add("9.jpg")


def test_a_link_to_an_image_keeps_its_name_in_the_folder(model_and_processor, tmp_path):
    (tmp_path / "crops").mkdir()
    (tmp_path / "elsewhere.jpg").write_bytes(encoded(1))
    (tmp_path / "crops" / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    gallery = PersonGallery(*model_and_processor, tmp_path / "crops")
    gallery.add([tmp_path / "crops" / "link.jpg"])
    assert gallery.file_names == ["link.jpg"]


def test_what_is_broken_in_a_source_is_left_out(model_and_processor, tmp_path):
    pack(tmp_path / "a.tar", {"good.jpg": encoded(1), "torn.jpg": encoded(2)[:99], "empty.jpg": b""})
    rows = table_of([1]).to_pylist() + [{"image": {"bytes": b"no image", "path": None}}, {"image": None}]
    parquet.write_table(type(table_of([1])).from_pylist(rows, table_of([1]).schema), tmp_path / "a.parquet")
    write_lmdb(tmp_path / "lmdb", {"good": encoded(1), "__len__": b"12"})
    for name, rejected in {
        "a.tar": {"torn": "cannot be decoded (OSError)", "empty": "zero bytes"},
        "a.parquet": {"00000001": "cannot be decoded (UnidentifiedImageError)", "00000002": "no image in this row"},
        "lmdb": {"__len__": "cannot be decoded (UnidentifiedImageError)"},
    }.items():
        gallery = PersonGallery.from_folder(tmp_path / name, model_and_processor)
        assert len(gallery) == 1 and dict(gallery.rejected) == rejected


def test_a_source_of_broken_images_alone_is_refused(model_and_processor, tmp_path):
    pack(tmp_path / "a.tar", {"torn.jpg": encoded(2)[:99]})
    with pytest.raises(UserError, match="none of the 1 images of .*a.tar can be read; torn, for example: cannot be"):
        PersonGallery.from_folder(tmp_path / "a.tar", model_and_processor)


def test_the_columns_of_a_table_become_metadata(model_and_processor, tmp_path):
    columns = {"image_id": ["a", "b", "c"], "camera": [1, 2, 2], "attributes": [{"hat": "a cap"}] * 3}
    parquet.write_table(table_of([1, 2, 3], **columns), tmp_path / "a.parquet")
    gallery = PersonGallery.from_folder(tmp_path / "a.parquet", model_and_processor)
    assert gallery.columns == {"camera": [1, 2], "attributes.hat": ["a cap"]}
    assert {result.path for result in gallery.search(QUERY, where={"camera": 2})} == {
        f"{tmp_path}/a.parquet/b", f"{tmp_path}/a.parquet/c",
    }  # fmt: skip
    # Metadata that are given replace them.
    (tmp_path / "known.csv").write_text("file_name,day\na,Monday\n")
    given = PersonGallery.from_folder(tmp_path / "a.parquet", model_and_processor, metadata=tmp_path / "known.csv")
    assert given.columns == {"day": ["Monday"]}
    # Rows of the source that are not new are no mistake of the user, unlike unused rows of a file.
    assert gallery.add(tmp_path / "a.parquet").unused_metadata == 0
    assert gallery.add(tmp_path / "a.parquet", metadata=tmp_path / "known.csv").unused_metadata == 1


def test_a_table_is_read_forward_although_threads_decode_its_images(model_and_processor, tmp_path, monkeypatch):
    """One row group of more rows than are kept: threads that read by themselves would begin it again and again."""
    numbers = [number % PEOPLE for number in range(400)]
    parquet.write_table(table_of(numbers), tmp_path / "a.parquet", row_group_size=400)
    asked = []
    content = ParquetSource.content
    monkeypatch.setattr(ParquetSource, "content", lambda self, row: asked.append(row) or content(self, row))
    gallery = PersonGallery.from_folder(tmp_path / "a.parquet", model_and_processor, batch_size=16)
    assert len(gallery) == PEOPLE and asked == list(range(400))


@pytest.mark.parametrize("kind", ["tar", "parquet", "lmdb"])
def test_a_source_that_is_gone_or_changed_is_told(kind, model_and_processor, tmp_path):
    path = MAKERS[kind][0](tmp_path / kind)
    gallery = PersonGallery.from_folder(path, model_and_processor)
    gallery.save(tmp_path / "gallery")
    before = gallery.image_of(0)
    shutil.move(path, tmp_path / "away")
    with pytest.raises(UnreadableImage, match="is gone or was changed since it was indexed"):
        PersonGallery.open(tmp_path / "gallery").image_of(0)
    os.rename(tmp_path / "away", path)
    np.testing.assert_array_equal(PersonGallery.open(tmp_path / "gallery").image_of(0), before)


def test_a_row_that_became_another_person_is_not_shown(model_and_processor, tmp_path):
    parquet.write_table(table_of([1, 2]), tmp_path / "a.parquet")
    gallery = PersonGallery.from_folder(tmp_path / "a.parquet", model_and_processor)
    parquet.write_table(table_of([2, 1]), tmp_path / "a.parquet")
    with pytest.raises(UnreadableImage, match="was changed since"):
        gallery.image_of(0)


def test_the_images_of_a_dataset_in_memory_cannot_be_opened_again(model_and_processor):
    rows = datasets.Dataset.from_dict({"image": [{"bytes": encoded(1), "path": None}], "image_id": ["a"]})
    gallery = PersonGallery.from_dataset(rows.cast_column("image", datasets.Image()), model_and_processor)
    assert gallery.search(QUERY)[0].path == "a"
    with pytest.raises(UnreadableImage, match="is gone or was changed"):
        gallery.image_of(0)


def test_a_gallery_without_a_folder_does_not_search_the_working_folder(model_and_processor, tmp_path, monkeypatch):
    """The Space writes "." as the folder of the galleries that its users take home."""
    (tmp_path / "1.jpg").write_bytes(encoded(1))
    gallery = PersonGallery.from_folder(tmp_path, model_and_processor)
    gallery.folder = "."
    monkeypatch.chdir(tmp_path)
    assert gallery.image_of(0).size == (32, 96)
    (tmp_path / "1.jpg").unlink()
    monkeypatch.setattr(images, "open_source", lambda spec: pytest.fail(f"{spec} was opened"))
    with pytest.raises(UnreadableImage):
        gallery.image_of(0)


def test_one_split_of_a_dataset_is_indexed_and_opened_again(model_and_processor, tmp_path):
    path = MAKERS["dataset"][0](tmp_path / "saved")
    gallery = PersonGallery.from_folder(f"{path}:test", model_and_processor)
    assert len(gallery) == 8 and gallery.folder == f"{path}:test"
    np.testing.assert_array_equal(gallery.image_of(2), images.decode(encoded(14)))


def test_file_names_that_are_no_text_are_written_as_escapes(model_and_processor, tmp_path):
    (tmp_path / os.fsdecode(b"gar\xe7on.jpg")).write_bytes(encoded(1))
    gallery = PersonGallery.from_folder(tmp_path, model_and_processor)
    assert gallery.file_names == [r"gar\udce7on.jpg"]
    np.testing.assert_array_equal(gallery.image_of(0), images.decode(encoded(1)))
    gallery.save(tmp_path / "gallery")
    assert json.loads((tmp_path / "gallery" / "gallery.json").read_text())["pictures"] == 1
