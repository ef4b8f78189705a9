"""The same twenty drawn people as a folder, tar files, Parquet files, a saved dataset and an LMDB."""

import io
import tarfile
from pathlib import Path

import lmdb
import pyarrow
import pyarrow.parquet as parquet
from datasets import Dataset, DatasetDict
from datasets import Image as ImageFeature

from tests.helpers.people import draw_person

PEOPLE = 20


def encoded(number: int, encoding: str = "JPEG") -> bytes:
    """The image file of one person."""
    file = io.BytesIO()
    draw_person(number).save(file, encoding)
    return file.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> None:
    """Write a tar file of members and their bytes."""
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_lmdb(folder: Path, files: dict[str, bytes]) -> None:
    """Write an LMDB of keys and their values."""
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as transaction:
        for key, data in files.items():
            transaction.put(key.encode(), data)


def table_of(numbers, **columns) -> pyarrow.Table:
    """A table of people, and further columns."""
    rows = [{"bytes": encoded(number), "path": f"p{number}.jpg"} for number in numbers]
    return pyarrow.table({"image": rows, **columns})


def make_folder(path: Path) -> Path:
    for number in range(PEOPLE):
        (path / f"cam_{number % 3}").mkdir(parents=True, exist_ok=True)
        (path / f"cam_{number % 3}" / f"{number:02d}.jpg").write_bytes(encoded(number))
    return path


def make_tars(path: Path) -> Path:
    path.mkdir()
    for shard in range(2):
        numbers = range(shard * 10, shard * 10 + 10)
        files = {f"crops/{number:02d}.jpg": encoded(number) for number in numbers}
        pack(path / f"shard-{shard:03d}.tar", {"README.txt": b"crops", **files, "crops/00.json": b"{}"})
    return path


def make_parquet(path: Path) -> Path:
    (path / "data").mkdir(parents=True)
    for shard in range(2):
        numbers = range(shard * 10, shard * 10 + 10)
        table = table_of(numbers, image_id=[f"id{number:02d}" for number in numbers])
        parquet.write_table(table, path / "data" / f"train-{shard:05d}-of-00002.parquet", row_group_size=4)
    return path


def make_dataset(path: Path) -> Path:
    rows = {"photo": [{"bytes": encoded(number), "path": None} for number in range(PEOPLE)], "label": [1] * PEOPLE}
    saved = Dataset.from_dict(rows).cast_column("photo", ImageFeature())
    DatasetDict({"train": saved.select(range(12)), "test": saved.select(range(12, PEOPLE))}).save_to_disk(path)
    return path


def make_lmdb(path: Path) -> Path:
    path.mkdir()
    write_lmdb(path / "lmdb", {f"01_02_0003_{number:08d}": encoded(number) for number in range(PEOPLE)})
    (path / "keys.pkl").write_bytes(b"cos\nabort\n(tR.")  # would end the process if it were unpickled
    return path


# Kind of source -> the function that makes it, and the image_id of each person.
MAKERS = {
    "folder": (make_folder, lambda number: f"cam_{number % 3}/{number:02d}"),
    "tar": (make_tars, lambda number: f"crops/{number:02d}"),
    "parquet": (make_parquet, lambda number: f"id{number:02d}"),
    "dataset": (make_dataset, lambda number: f"{number:08d}"),
    "lmdb": (make_lmdb, lambda number: f"01_02_0003_{number:08d}"),
}
