import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import read_batches
from modeling_unipt.sources.open import absolute_spec, open_source
from modeling_unipt.sources.tables import DatasetSource, image_column
from tests.helpers.packed_images import (
    MAKERS,
    PEOPLE,
    encoded,
    make_dataset,
    make_folder,
    make_parquet,
    make_tars,
    pack,
    table_of,
    write_lmdb,
)
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"


@pytest.fixture(scope="module", params=MAKERS)
def packed(request, tmp_path_factory):
    """(path of a source of the same twenty people, their expected ids)."""
    make, id_of = MAKERS[request.param]
    path = make(tmp_path_factory.mktemp("source") / request.param)
    return path, {id_of(number): encoded(number) for number in range(PEOPLE)}


def test_every_source_gives_the_same_images_at_any_position(packed):
    path, expected = packed
    source = open_source(str(path))
    assert len(source) == PEOPLE and set(source.ids) == set(expected) and len(set(source.ids)) == PEOPLE
    for position in [7, 3, 19, 0, 8, 9, 2]:
        image = source.read(position, np.asarray)
        assert image.data == expected[source.ids[position]] and image.file_name.endswith(".jpg")
        np.testing.assert_array_equal(image.pixels, np.asarray(Image.open(io.BytesIO(image.data))))


def test_every_source_reads_in_threads_and_after_pickling(packed):
    path, expected = packed
    source = pickle.loads(pickle.dumps(open_source(path)))
    read = [pair for batch in read_batches(source, range(5, PEOPLE), 4, 6) for pair in batch]
    assert [position for position, _ in read] == list(range(5, PEOPLE))
    assert all(image.data == expected[source.ids[position]] for position, image in read)


def test_every_source_reads_in_another_process(packed, tmp_path):
    path, expected = packed
    source = open_source(path)
    source.read(0)  # whatever it holds open here must not be used there
    (tmp_path / "source").write_bytes(pickle.dumps(source))
    code = (
        "import hashlib, pickle, sys; image = pickle.load(open(sys.argv[1], 'rb')).read(17); "
        "print(hashlib.sha256(image.data).hexdigest())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "source")], capture_output=True, text=True, env=environment
    )
    assert shown.stdout.strip() == hashlib.sha256(source.read(17).data).hexdigest(), shown.stderr


def test_a_fingerprint_is_the_same_again_and_other_after_a_change(tmp_path):
    for name, (make, _) in MAKERS.items():
        path = make(tmp_path / name)
        before = open_source(path).fingerprint
        assert open_source(path).fingerprint == before, name
    make_folder(tmp_path / "folder2")
    assert open_source(tmp_path / "folder2").fingerprint == open_source(tmp_path / "folder").fingerprint
    (tmp_path / "folder2" / "cam_0" / "00.jpg").write_bytes(b"")
    pack(tmp_path / "tar" / "shard-001.tar", {"crops/10.jpg": encoded(30)})
    parquet.write_table(table_of(range(10)), tmp_path / "parquet" / "data" / "train-00000-of-00002.parquet")
    assert open_source(tmp_path / "folder2").fingerprint != open_source(tmp_path / "folder").fingerprint
    for name in ("tar", "parquet"):
        changed = open_source(tmp_path / name).fingerprint
        assert changed != open_source(MAKERS[name][0](tmp_path / f"{name}3")).fingerprint


def test_a_changed_lmdb_has_another_fingerprint(tmp_path):
    write_lmdb(tmp_path / "a", {"1": encoded(1)})
    write_lmdb(tmp_path / "b", {"1": encoded(1), "2": encoded(2)})
    assert open_source(tmp_path / "a").fingerprint != open_source(tmp_path / "b").fingerprint


def test_ids_that_clash_between_files_are_told_apart(tmp_path):
    (tmp_path / "tars").mkdir()
    for shard in "ab":
        pack(tmp_path / "tars" / f"{shard}.tar", {"1.jpg": encoded(1), "2.png": encoded(2, "PNG")})
    assert open_source(tmp_path / "tars").ids == ["a/1", "a/2", "b/1", "b/2"]
    pack(tmp_path / "twice.tar", {"1.jpg": encoded(1), "1.png": encoded(1, "PNG")})
    assert open_source(tmp_path / "twice.tar").ids == ["twice/1.jpg", "twice/1.png"]
    with tarfile.open(tmp_path / "twice.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("1.jpg"), io.BytesIO())
    assert open_source(tmp_path / "twice.tar").ids == ["twice/1.jpg", "twice/1.png", "twice/1.jpg~2"]
    (tmp_path / "tables").mkdir()
    for split in ("test", "train"):
        parquet.write_table(table_of([1, 2], image_id=["x", None]), tmp_path / "tables" / f"{split}.parquet")
    assert open_source(tmp_path / "tables").ids == ["test/x", "test/00000001", "train/x", "train/00000003"]


def test_one_split_can_be_named(tmp_path):
    assert open_source(f"{make_dataset(tmp_path / 'saved')}:test").ids == [f"{row:08d}" for row in range(8)]
    (tmp_path / "tables").mkdir()
    for split in ("test", "train"):
        parquet.write_table(table_of([1], image_id=[split]), tmp_path / "tables" / f"{split}-00000-of-00001.parquet")
    assert open_source(f"{tmp_path / 'tables'}:train").ids == ["train"]
    for path in ("saved", "tables"):
        with pytest.raises(UserError, match="no split 'val'"):
            open_source(f"{tmp_path / path}:val")
    make_folder(tmp_path / "folder")
    with pytest.raises(UserError, match="has no splits, so 'train' cannot be taken"):
        open_source(f"{tmp_path / 'folder'}:train")


def test_a_datasets_name_is_loaded(tmp_path, monkeypatch):
    make_parquet(tmp_path / "crops")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    source = DatasetSource.from_hub("crops:train")  # load_dataset takes a folder and a name alike
    assert len(source) == PEOPLE and source.ids[3] == "id03" and source.read(3).data == encoded(3)
    with pytest.raises(UserError, match="has no split 'val'; it has train"):
        DatasetSource.from_hub("crops:val")


def test_what_cannot_be_read_is_refused_with_its_reason(tmp_path):
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("empty.jpg"), io.BytesIO())
    rows = [{"bytes": None, "path": "gone/p1.jpg"}, None, {"bytes": b"", "path": None}]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    parquet.write_table(pyarrow.table({"image": pyarrow.array(rows, kind)}), tmp_path / "holes.parquet")
    write_lmdb(tmp_path / "lmdb", {"__len__": b"12"})
    for path, reasons in {
        "links.tar": ["is a link", "zero bytes"],
        "holes.parquet": ["gone/p1.jpg is named and its bytes are not stored", "no image in this row", "zero bytes"],
        "lmdb": ["cannot be decoded"],
    }.items():
        source = open_source(tmp_path / path)
        assert len(source) == len(reasons)
        for position, reason in enumerate(reasons):
            with pytest.raises(UnreadableImage, match=reason):
                source.read(position)
    assert open_source(tmp_path / "links.tar").name(0) == "links.tar/link.jpg"


def torn_tar(path):
    pack(path / "torn.tar", {"1.jpg": encoded(1), "2.jpg": encoded(2)})
    os.truncate(path / "torn.tar", 4000)


def mixed(path):
    pack(path / "a.tar", {"1.jpg": encoded(1)})
    parquet.write_table(table_of([1]), path / "a.parquet")


def beside(path):
    pack(path / "a.tar", {"1.jpg": encoded(1)})
    (path / "2.jpg").write_bytes(encoded(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "holds no images"),
        (torn_tar, r"torn.tar cannot be read as an uncompressed tar file after \d images"),
        (lambda path: (path / "a.tar").write_bytes(b"x" * 600), "cannot be read as an uncompressed tar file"),
        (lambda path: pack(path / "a.tar", {"1.txt": b"1"}), "holds tar files and no images"),
        (mixed, "more than one form"),
        (beside, "tar files and image files side by side"),
        (lambda path: (path / "a.parquet").write_bytes(b"x" * 60), "cannot be read as Parquet"),
        (lambda path: parquet.write_table(pyarrow.table({"a": [1]}), path / "a.parquet"), "no column of images"),
        (lambda path: parquet.write_table(table_of([]), path / "a.parquet"), "no column of images|without a row"),
        (lambda path: (path / "data.mdb").write_bytes(b"x" * 9000), "the LMDB in .* cannot be opened"),
        (lambda path: write_lmdb(path, {}), "without a key"),
        (lambda path: (path / "state.json").write_text("{}"), "cannot be read as a saved dataset"),
        (lambda path: (path / "a.tar").write_bytes(LFS), r"a\.tar is a Git LFS pointer to a file of 12 bytes"),
        (lambda path: (path / "a.tar").write_bytes(b"\x1f\x8b" * 300), r"a\.tar is a gzip archive; unpack it"),
        (lambda path: (path / "a.tar").write_bytes(b""), r"a\.tar is empty; download or copy it again"),
        (lambda path: (path / "a.parquet").write_bytes(LFS), r"a\.parquet is a Git LFS pointer"),
        (lambda path: (path / "a.parquet").write_text("<html><title>Log in"), r"a\.parquet is a log-in page"),
        (lambda path: (path / "data.mdb").write_bytes(LFS), r"data\.mdb is a Git LFS pointer"),
        (lambda path: pack(path / "a.tar", {"._1.jpg": b"1"}), "no images in them; .*: 1 file made by macOS"),
    ],
)
def test_a_source_without_images_is_one_sentence(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        open_source(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_tables_beside_images_and_images_beside_tables_do_not_mislead(tmp_path):
    make_folder(tmp_path / "crops")
    parquet.write_table(pyarrow.table({"embedding": [1.0]}), tmp_path / "crops" / "cam_0" / "features.parquet")
    assert len(open_source(tmp_path / "crops")) == PEOPLE
    parquet.write_table(table_of([7]), tmp_path / "crops" / "cam_0" / "other.parquet")
    assert len(open_source(tmp_path / "crops" / "cam_0" / "other.parquet")) == 1
    make_parquet(tmp_path / "dataset")
    draw_person(0).save(tmp_path / "dataset" / "contact_sheet.png")
    assert open_source(tmp_path / "dataset").ids[0] == "id00"


def test_a_name_that_is_nothing_is_explained(tmp_path):
    for name in (str(tmp_path / "nowhere"), "./nowhere", "no/such/folder"):
        with pytest.raises(UserError, match="does not exist; give the path of a folder"):
            open_source(name)
    with pytest.raises(UserError, match="folder nobody/nothing does not exist, and no dataset of that name"):
        open_source("nobody/nothing")
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match="is a compressed tar file.*decompress it"):
        open_source(tmp_path / "a.tar.gz")
    (tmp_path / "a.jpg").write_bytes(encoded(1))
    with pytest.raises(UserError, match="is a file, not a folder"):
        open_source(tmp_path / "a.jpg")


def test_what_examines_an_image_sees_its_pixels_and_may_refuse_it(packed):
    source = open_source(packed[0])
    first = source.read(0, examine=lambda image: (image.mode, image.size))
    assert first.examined == ("RGB", (32, 96)) and first.pixels is None

    def refuse(image):
        raise UnreadableImage("nobody is in it")

    with pytest.raises(UnreadableImage, match="^nobody is in it$"):
        source.read(0, prepare=lambda image: pytest.fail("a refused image is not prepared"), examine=refuse)
    told = [pair for batch in read_batches(source, [4, 5], 2, 2, examine=refuse) for pair in batch]
    assert told == [(4, "nobody is in it"), (5, "nobody is in it")]


def test_each_image_of_a_source_has_a_place_of_its_own(packed):
    source = open_source(packed[0])
    places = [source.place(position) for position in range(PEOPLE)]
    assert len(set(places)) == PEOPLE
    if packed[0].name == "folder":
        assert places == [f"{image_id}.jpg" for image_id in source.ids]
    else:
        assert places == source.ids


def test_a_place_in_a_tar_file_is_relative(tmp_path):
    pack(tmp_path / "a.tar", {"/crops/1.jpg": encoded(1), "./2.jpg": encoded(2)})
    source = open_source(tmp_path / "a.tar")
    assert source.ids == ["/crops/1", "2"] and [source.place(position) for position in (0, 1)] == ["crops/1", "2"]


def test_a_spec_becomes_absolute_with_its_split(tmp_path, monkeypatch):
    make_dataset(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    assert absolute_spec("saved") == str(tmp_path / "saved")
    assert absolute_spec("saved:test") == f"{tmp_path / 'saved'}:test"
    assert open_source(absolute_spec("saved:test")).ids == open_source("saved:test").ids
    assert absolute_spec("somebody/dataset:train") == "somebody/dataset:train"


IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


@pytest.mark.parametrize(
    ("columns", "wanted", "expected"),
    [
        ({"photo": IMAGE, "n": pyarrow.int64()}, None, "photo"),
        ({"image": pyarrow.binary(), "mask": IMAGE}, None, "image"),
        ({"photo": IMAGE, "thumbnail": pyarrow.binary()}, None, "photo"),
        ({"left": IMAGE, "right": IMAGE}, "right", "right"),
        ({"crop": pyarrow.large_binary()}, None, "crop"),
        ({"image": pyarrow.string(), "caption": pyarrow.string()}, None, "image"),
        ({"caption": pyarrow.string(), "file_path": pyarrow.large_string()}, None, "file_path"),
        ({"caption": pyarrow.string(), "crop": pyarrow.string()}, "crop", "crop"),
        ({"image": pyarrow.string(), "photo": IMAGE}, None, "photo"),
    ],
)
def test_the_column_of_images_is_found(columns, wanted, expected):
    assert image_column(pyarrow.schema(columns), "crops", wanted) == expected


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"left": IMAGE, "right": IMAGE}, None, r"crops has 2 columns of images \(left, right\); rename the column"),
        ({"n": pyarrow.int64()}, None, "crops has no column of images among n"),
        ({"photo": IMAGE, "n": pyarrow.int64()}, "n", "column n of crops holds no images; those do: photo"),
        ({"n": pyarrow.int64()}, "n", "those do: none"),
        ({"caption": pyarrow.string()}, None, "crops has no column of images among caption"),
    ],
)
def test_a_column_of_images_that_is_not_clear_is_told(columns, wanted, message):
    with pytest.raises(UserError, match=message):
        image_column(pyarrow.schema(columns), "crops", wanted)


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string()])
def test_a_column_of_text_names_image_files(tmp_path, monkeypatch, kind):
    """Relative to the file, to the folder that the user named, or to the working folder."""
    make_folder(tmp_path / "set" / "imgs")
    (tmp_path / "set" / "data" / "more").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set" / "data" / "more" / "a.jpg").write_bytes(encoded(3))
    (tmp_path / "here.jpg").write_bytes(encoded(4))
    (tmp_path / "empty.jpg").touch()
    names = ["imgs/cam_1/01.jpg", "more/a.jpg", "here.jpg", str(tmp_path / "set/imgs/cam_2/02.jpg"), "gone.jpg", None]
    table = pyarrow.table({"image": pyarrow.array([*names, "empty.jpg", "a\0"], kind), "camera": range(8)})
    parquet.write_table(table, tmp_path / "set" / "data" / "train.parquet")
    source = open_source(tmp_path / "set")
    assert [source.read(row).data for row in range(4)] == [encoded(number) for number in (1, 3, 4, 2)]
    assert source.columns().column_names == ["camera"]
    for row, reason in ((4, "gone.jpg is named and its bytes are not"), (5, "no image in this row"), (6, "zero bytes")):
        with pytest.raises(UnreadableImage, match=reason):
            source.read(row)
    with pytest.raises(UnreadableImage):
        source.read(7)


def test_a_dataset_with_a_column_of_text_is_read(tmp_path):
    from datasets import Dataset

    make_folder(tmp_path / "imgs")
    files = [str(tmp_path / "imgs" / f"cam_{number}" / f"0{number}.jpg") for number in range(2)]
    Dataset.from_dict({"image": files, "caption": ["A man.", "A woman."]}).save_to_disk(tmp_path / "saved")
    source = open_source(tmp_path / "saved")
    assert [source.read(row).data for row in range(2)] == [encoded(0), encoded(1)]


def test_what_macos_adds_to_an_archive_or_folder_is_no_source(tmp_path, caplog):
    """A tar file made on macOS holds ._a.jpg beside each a.jpg."""
    pack(
        tmp_path / "a.tar", {"._1.jpg": b"1", "1.jpg": encoded(1), "__MACOSX/._1.jpg": b"1", "@eaDir/1.jpg/S.jpg": b"1"}
    )
    (tmp_path / "._a.tar").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._b.parquet").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._1.jpg").write_bytes(b"\0\5\x16\7")
    source = open_source(tmp_path)
    assert source.ids == ["1"] and source.read(0).data == encoded(1)
    assert sum(source.left_out.values()) == 3 and "2 files made by macOS" in caplog.text
    assert pickle.loads(pickle.dumps(source)).left_out == source.left_out


def test_an_archive_that_is_no_tar_file_is_told(tmp_path):
    (tmp_path / "crops.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"crops\.zip is an archive; unpack it, and give the folder"):
        open_source(tmp_path / "crops.zip")


def test_columns_of_single_values_are_told_without_the_images(tmp_path):
    from datasets import ClassLabel, Dataset
    from datasets import Image as ImageFeature

    rows = Dataset.from_dict(
        {
            "image": [{"bytes": encoded(number), "path": None} for number in range(3)],
            "camera": [1, 2, 3],
            "view": [0, 1, None],
            "captions": [["one", "two"]] * 3,
            "attributes": [{"hat": "a cap", "scores": [1.0]}] * 3,
        }
    )
    rows = rows.cast_column("image", ImageFeature()).cast_column("view", ClassLabel(names=["front", "back"]))
    rows.to_parquet(tmp_path / "train.parquet")
    rows.save_to_disk(tmp_path / "saved")
    expected = {"camera": [1, 2, 3], "view": ["front", "back", None], "attributes.hat": ["a cap"] * 3}
    for path in ("train.parquet", "saved"):
        assert open_source(tmp_path / path).columns().to_pydict() == expected
    assert open_source(make_tars(tmp_path / "tars")).columns() is None


def test_columns_of_files_that_differ_are_filled_up_or_told(tmp_path):
    parquet.write_table(table_of([1], camera=[1]), tmp_path / "a.parquet")
    parquet.write_table(table_of([2], day=["Monday"]), tmp_path / "b.parquet")
    assert open_source(tmp_path).columns().to_pydict() == {"camera": [1, None], "day": [None, "Monday"]}
    parquet.write_table(table_of([2], camera=["left"]), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="columns of .* have different types in different files") as caught:
        open_source(tmp_path).columns()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["somebody/people", "saved"])
def test_without_datasets_it_is_told_what_to_install(name, tmp_path, monkeypatch):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"run: pip install 'unipt\[data\]'"):
        open_source(name)
