"""The official layouts of four benchmarks of text-to-image person retrieval, and what is often mistaken for them.

A layout is a JSON list with one entry an image, beside the images. Only the keys read here are needed; others are left
alone.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modeling_unipt.common.user_errors import UserError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """One annotated image; ``file_path`` is relative to the benchmark's image folder."""

    split: str
    file_path: str
    person_id: int
    captions: list


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read: its records in the annotation's order, their image folder, the annotation and its hash."""

    name: str
    title: str
    images: Path
    records: list
    annotation: Path
    annotation_sha256: str


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps what.

    Attributes:
        annotations: names that its annotation file goes by; a pattern with ``*`` must match one file.
        images: folder that paths are relative to, below the benchmark's; "" is the benchmark's own.
        path_key: key of an entry that holds the image's path.
        hints: key of an entry -> what its absence means.
        wrong_file: function of the folder, where no annotation was found, that explains what is there instead, or None.
        wrong_splits: function of the records that explains splits that are not the official ones, or None.
    """

    title: str
    annotations: tuple
    images: str
    path_key: str
    hints: dict
    wrong_file: object
    wrong_splits: object


def _caption_all(folder):
    if (folder / "caption_all.json").is_file():
        return (
            f"{folder} holds caption_all.json, which does not say the split of an image; the loader needs "
            "reid_raw.json, which the benchmark's authors ship beside it"
        )
    return None


def _split_folders(folder):
    if (folder / "imgs" / "train").is_dir() and (folder / "imgs" / "test").is_dir():
        return (
            f"{folder} holds imgs/train and imgs/test and no ICFG-PEDES.json; these folders are MSMT17's and not the "
            "split of ICFG-PEDES, which only ICFG-PEDES.json says; put it beside imgs/"
        )
    return None


def _splits_of_folders(records):
    of_folders = all(PurePosixPath(record.file_path).parts[0] == record.split for record in records)
    if of_folders and len({record.split for record in records}) > 1:
        return (
            "says of every image that its split is the folder it lies in; imgs/train and imgs/test are MSMT17's and "
            "not the split of ICFG-PEDES; give the authors' own ICFG-PEDES.json"
        )
    return None


def _first_release(records):
    people = {split: len({r.person_id for r in records if r.split == split}) for split in SPLITS}
    if people == {"train": 3901, "val": 100, "test": 100}:
        return (
            "is the first release of RSTPReid's annotation, with 3,901 / 100 / 100 people; published results use the "
            "later one with 3,701 / 200 / 200; get the present data_captions.json from the benchmark's authors"
        )
    return None


def _nothing(_):
    return None


NO_SPLIT = "caption_all.json has no splits, give reid_raw.json"
RENAMED = "copies made for other code have 'file_path' instead, give the authors' own file"
LAYOUTS = {
    "cuhk-pedes": Layout(
        "CUHK-PEDES", ("reid_raw.json",), "imgs", "file_path", {"split": NO_SPLIT}, _caption_all, _nothing
    ),
    "icfg-pedes": Layout(
        "ICFG-PEDES",
        ("ICFG-PEDES.json", "ICFG_PEDES.json"),
        "imgs",
        "file_path",
        {},
        _split_folders,
        _splits_of_folders,
    ),
    "rstpreid": Layout(
        "RSTPReid", ("data_captions.json",), "imgs", "img_path", {"img_path": RENAMED}, _nothing, _first_release
    ),
    "ufine6926": Layout("UFine6926", ("UFine6926.json", "*.json"), "", "file_path", {}, _nothing, _nothing),
}


def read_benchmark(name, source):
    """Read a benchmark's annotation.

    CUHK-PEDES is ``reid_raw.json`` beside ``imgs/``, {split, captions, file_path, id}; ICFG-PEDES ``ICFG-PEDES.json``
    (or with an underscore) beside ``imgs/``, the same keys; RSTPReid ``data_captions.json`` beside ``imgs/``, with
    ``img_path``; UFine6926 a JSON file beside ``images/``, paths beginning with ``images/``. What the authors call
    UFine6926's file was not to be found out: the only ``.json`` of the folder is taken.

    Args:
        name: key of :data:`LAYOUTS`.
        source: the benchmark's folder.
    Raises:
        UserError: a file or key is missing or not what it should be, or the splits are known not to be official.
    """
    layout, source = LAYOUTS[name], Path(source)
    wanted = layout.annotations[0]
    beside = f"{layout.images}/" if layout.images else "the folder images/"
    if not source.is_dir():
        raise UserError(f"folder {source} does not exist; give the folder that holds {wanted} and {beside}")
    found = next((files for pattern in layout.annotations if (files := sorted(source.glob(pattern)))), [])
    if not found:
        explained = layout.wrong_file(source)
        raise UserError(explained or f"{source} holds no {wanted}; give the folder that holds {wanted} and {beside}")
    if len(found) > 1:
        raise UserError(
            f"{source} holds several annotation files, {', '.join(file.name for file in found)}; leave one, or name "
            f"the right one {wanted}"
        )
    (annotation,) = found
    if not (source / layout.images).is_dir():
        raise UserError(f"{source} holds {annotation.name} and no folder {beside} with the images")
    content = annotation.read_bytes()
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise UserError(f"{annotation} is not valid JSON ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{annotation} must be a JSON list of images that is not empty")
    records = [_record(layout, annotation, number, entry) for number, entry in enumerate(entries)]
    twice = [path for path, times in Counter(record.file_path for record in records).items() if times > 1]
    if twice:
        raise UserError(f"{annotation} lists {len(twice)} images more than once, such as '{twice[0]}'")
    explained = layout.wrong_splits(records)
    if explained:
        raise UserError(f"{annotation} {explained}")
    sha256 = hashlib.sha256(content).hexdigest()
    return Benchmark(name, layout.title, source / layout.images, records, annotation, sha256)


def _record(layout, annotation, number, entry):
    where = f"{annotation}: entry {number} (counted from 0)"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a mapping")
    for key in ("split", "captions", layout.path_key, "id"):
        if key not in entry:
            hint = f"; {layout.hints[key]}" if key in layout.hints else ""
            raise UserError(f"{where} lacks the key '{key}'{hint}")
    split, captions, path, person = (entry[key] for key in ("split", "captions", layout.path_key, "id"))
    if split not in SPLITS:
        raise UserError(f"{where} has the split '{split}', which is none of {', '.join(SPLITS)}")
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        raise UserError(f"{where}: 'captions' must be a list of texts that is not empty")
    if not isinstance(person, int) or isinstance(person, bool):
        raise UserError(f"{where}: 'id' must be a whole number, not {person!r}")
    if not isinstance(path, str) or not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        below = f"{layout.images}/" if layout.images else "the benchmark's folder"
        raise UserError(f"{where}: '{layout.path_key}' must be a path below {below}, not {path!r}")
    return Record(split, path, person, [text.strip() for text in captions])
