"""Small copies of the sets that dataset_builders.import_luperson_t reads, laid out as their authors ship them."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from tests.helpers.people import draw_person

SYNTH_ATTRIBUTES = "man,black hair,black shirt,pink shorts,black shoes,unknown"
MALS_LABEL = [1, 0, -1] * 9
BOXES = [[1.5, 2.0, 30.0, 40.0], [0.0, 0.0, 5.0, 6.0]]


def jpeg(number: int) -> bytes:
    """A small image, another one for each number."""
    file = io.BytesIO()
    draw_person(number).save(file, "JPEG")
    return file.getvalue()


def caption(number: int, which: str = "") -> str:
    """A caption of that image."""
    return f"A person with the number {number} walks {which}along the street.".replace("  ", " ")


def write_set(layout: str, folder: Path, count: int, image: Callable[[int], bytes] = jpeg) -> list[str]:
    """Write a set of ``count`` images.

    Returns:
        The options that import it, but for --output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return ["--layout", layout, *map(str, _WRITERS[layout](folder, count, image))]


def write_images(folder: Path, paths: Iterator[str] | list[str], image: Callable[[int], bytes]) -> None:
    """Write image files, the n-th of them with the n-th image."""
    made = set()
    for number, path in enumerate(paths):
        file = folder / path
        if file.parent not in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            made.add(file.parent)
        file.write_bytes(image(number))


def _write_list(path: Path, entries: Iterator[Any]) -> None:
    """A JSON list, written an entry at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("[")
        for number, entry in enumerate(entries):
            file.write(("," if number else "") + json.dumps(entry))
        file.write("]")


def _write_mapping(path: Path, pairs: Iterator[tuple[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
        for number, (key, value) in enumerate(pairs):
            file.write(f"{',' if number else ''}{json.dumps(key)}: {json.dumps(value)}")
        file.write("}")


def _luperson_t(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"cam/{number:06d}.jpg" for number in range(count)]
    write_images(folder / "images", paths, image)
    entries = ({"file_path": path, "captions": [caption(n), caption(n, "slowly ")]} for n, path in enumerate(paths))
    _write_list(folder / "luperson-t.json", entries)
    return ["--source", folder / "luperson-t.json", "--images", folder / "images"]


def _luperson_mllm(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"part{number % 4}/{number:06d}.jpg" for number in range(count)]
    write_images(folder / "images", paths, image)
    for kind in ("Td-qwen", "Td-shikra", "Ts-qwen", "Ts-shikra"):
        pairs = ((path, caption(number, f"as {kind} says ")) for number, path in enumerate(paths))
        _write_mapping(folder / f"{kind}.json", pairs)
    return ["--source", folder, "--images", folder / "images"]


def _webperson(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"{number:06d}.jpg" for number in range(count)]
    write_images(folder / "images", paths, image)
    entries = (
        {path: {"caption1": caption(number), "caption2": caption(number, "slowly ")}}
        for number, path in enumerate(paths)
    )
    _write_list(folder / "100w.json", entries)
    return ["--source", folder]


def _ham_pedes(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"Part1/{number // 2}/{number % 2}.jpg" for number in range(count)]
    write_images(folder, paths, image)
    entries = (
        {"id": number // 2, "file_path": path, "captions": [caption(number), caption(number, "slowly ")]}
        for number, path in enumerate(paths)
    )
    _write_list(folder / "random100w_2HAMcaptions.json", entries)
    return ["--source", folder]


def _synth_pedes(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"Part1/{number // 2}/{number % 2}.jpg" for number in range(count)]
    write_images(folder, paths, image)
    entries = (
        {
            "id": number // 2,
            "file_path": path,
            "attributes": [SYNTH_ATTRIBUTES],
            "captions": [caption(number), caption(number, "slowly ")],
            "prompt_caption": [caption(number, "in a black shirt ")],
        }
        for number, path in enumerate(paths)
    )
    _write_list(folder / "synthpedes_dataset.json", entries)
    return ["--source", folder]


def _mals(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"gene_crop/c_g_a_0/{number}.jpg" for number in range(count)]
    write_images(folder, paths, image)
    for part in range(2):
        entries = (
            {"image": path, "caption": caption(number), "image_id": f"c_g_a_0_{number}", "label": MALS_LABEL}
            for number, path in enumerate(paths)
            if number % 2 == part
        )
        _write_list(folder / "gene_attrs" / f"g_c_g_a_{part}_attrs.json", entries)
    return ["--source", folder]


def _sda(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"images/{number}.jpg" for number in range(count)]
    write_images(folder, paths, image)
    entries = (
        {
            "image": path,
            "boxes": BOXES,
            "logits": [0.5, 0.25],
            "phrases": ["a person", "the street"],
            "caption": caption(number),
            "image_id": number,
        }
        for number, path in enumerate(paths)
    )
    _write_list(folder / "sda" / "sda_0.json", entries)
    return ["--source", folder]


def _table(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    paths = [f"cam/{number:06d}.jpg" for number in range(count)]
    write_images(folder / "images", paths, image)
    with open(folder / "captions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["File Name", "caption", "camera"])
        for number, path in enumerate(paths):
            writer.writerow([path, caption(number), f"{number % 8:04d}"])
    return ["--source", folder / "captions.csv", "--images", folder / "images"]


def _webdataset(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    per_archive = max(1, -(-count // 2))
    for archive in range(2):
        with tarfile.open(folder / f"{archive:05d}.tar", "w") as tar:
            for number in range(archive * per_archive, min(count, (archive + 1) * per_archive)):
                add_member(tar, f"{number:09d}.jpg", image(number))
                add_member(tar, f"{number:09d}.txt", caption(number).encode())
                add_member(tar, f"{number:09d}.json", json.dumps({"caption": caption(number), "width": 32}).encode())
    return ["--source", folder]


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a file into a tar file."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _dataset(folder: Path, count: int, image: Callable[[int], bytes]) -> list[Any]:
    schema = pyarrow.schema(
        [
            ("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
            ("text", pyarrow.string()),
            ("image_id", pyarrow.string()),
            ("camera", pyarrow.int32()),
        ]
    )
    with parquet.ParquetWriter(folder / "train-00000-of-00001.parquet", schema) as writer:
        for start in range(0, count, 1000):
            rows = [
                {
                    "image": {"bytes": image(number), "path": None},
                    "text": caption(number),
                    "image_id": f"{number:07d}",
                    "camera": number % 8,
                }
                for number in range(start, min(count, start + 1000))
            ]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
    return ["--source", folder]


def write_luperson_t_arrow(folder: Path, count: int, image: Callable[[int], bytes] = jpeg) -> list[str]:
    """Write LUPerson-T as an Arrow file with all rows in one batch, as its authors' code does.

    Returns:
        The options that import it, but for --output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "image": pyarrow.array((image(number) for number in range(count)), pyarrow.binary()),
        "caption": pyarrow.array([caption(number)] for number in range(count)),
        "image_id": pyarrow.array(f"{number:06d}.jpg" for number in range(count)),
        "split": pyarrow.array("train" for _ in range(count)),
    }
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_file(str(folder / "LUPerson_train.arrow"), table.schema) as writer:
        writer.write_table(table)
    return ["--source", str(folder)]


_WRITERS = {
    "luperson-t": _luperson_t,
    "luperson-mllm": _luperson_mllm,
    "webperson": _webperson,
    "ham-pedes": _ham_pedes,
    "synth-pedes": _synth_pedes,
    "mals": _mals,
    "sda": _sda,
    "table": _table,
    "webdataset": _webdataset,
    "dataset": _dataset,
}
LAYOUTS = tuple(_WRITERS)
