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
from modeling_unipt.sources.open import open_source
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

PEOPLE = 20


def encoded(number, encoding="JPEG"):
    file = io.BytesIO()
    draw_person(number).save(file, encoding)
    return file.getvalue()


def pack(path, files):
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_lmdb(folder, files):
    import lmdb

    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as transaction:
        for key, data in files.items():
            transaction.put(key.encode(), data)


def table_of(numbers, **columns):
    rows = [{"bytes": encoded(number), "path": f"p{number}.jpg"} for number in numbers]
    return pyarrow.table({"image": rows, **columns})


def make_folder(path):
    for number in range(PEOPLE):
        (path / f"cam_{number % 3}").mkdir(parents=True, exist_ok=True)
        (path / f"cam_{number % 3}" / f"{number:02d}.jpg").write_bytes(encoded(number))
    return path


def make_tars(path):
    path.mkdir()
    for shard in range(2):
        numbers = range(shard * 10, shard * 10 + 10)
        files = {f"crops/{number:02d}.jpg": encoded(number) for number in numbers}
        pack(path / f"shard-{shard:03d}.tar", {"README.txt": b"crops", **files, "crops/00.json": b"{}"})
    return path


def make_parquet(path):
    (path / "data").mkdir(parents=True)
    for shard in range(2):
        numbers = range(shard * 10, shard * 10 + 10)
        table = table_of(numbers, image_id=[f"id{number:02d}" for number in numbers])
        parquet.write_table(table, path / "data" / f"train-{shard:05d}-of-00002.parquet", row_group_size=4)
    return path


def make_dataset(path):
    from datasets import Dataset, DatasetDict
    from datasets import Image as ImageFeature

    rows = {"photo": [{"bytes": encoded(number), "path": None} for number in range(PEOPLE)], "label": [1] * PEOPLE}
    saved = Dataset.from_dict(rows).cast_column("photo", ImageFeature())
    DatasetDict({"train": saved.select(range(12)), "test": saved.select(range(12, PEOPLE))}).save_to_disk(path)
    return path


def make_lmdb(path):
    path.mkdir()
    write_lmdb(path / "lmdb", {f"01_02_0003_{number:08d}": encoded(number) for number in range(PEOPLE)})
    (path / "keys.pkl").write_bytes(b"cos\nabort\n(tR.")  # would end the process if it were unpickled
    return path


MAKERS = {
    "folder": (make_folder, lambda number: f"cam_{number % 3}/{number:02d}"),
    "tar": (make_tars, lambda number: f"crops/{number:02d}"),
    "parquet": (make_parquet, lambda number: f"id{number:02d}"),
    "dataset": (make_dataset, lambda number: f"{number:08d}"),
    "lmdb": (make_lmdb, lambda number: f"01_02_0003_{number:08d}"),
}


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
    code = "import hashlib, pickle, sys; image = pickle.load(open(sys.argv[1], 'rb')).read(17); print(hashlib.sha256(image.data).hexdigest())"
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
    from modeling_unipt.sources.tables import DatasetSource

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
    ],
)
def test_a_source_without_images_is_one_sentence(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        open_source(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_tables_beside_images_and_pictures_beside_tables_do_not_mislead(tmp_path):
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
