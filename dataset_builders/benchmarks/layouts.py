"""The official layouts of four benchmarks of text-to-image person retrieval, and what is often mistaken for them.

A layout is a JSON list with one entry for each image, beside the images. Only the keys read here are needed; others are
ignored.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from modeling_unipt.common.user_errors import UserError

from .annotation import entry_name, is_path_below, read_json_list

SPLITS = ("train", "val", "test")


class Counts(NamedTuple):
    """What a split holds. None stands for a number that was never published."""

    identities: int | None
    images: int | None
    captions: int | None


@dataclass(frozen=True)
class Record:
    """One annotated image.

    Attributes:
        file_path: relative to the benchmark's image folder.
    """

    split: str
    file_path: str
    person_id: int
    captions: list[str]


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps what, and how large it is.

    Attributes:
        title: the benchmark's name as its authors write it.
        annotations: possible names of the annotation file; a pattern with ``*`` must match one file.
        images: folder that paths are relative to, below the benchmark's own folder; "" for that folder itself.
        path_key: key of an entry that holds the image's path.
        official: split -> its published numbers; "all" counts all splits together.
        hints: key of an entry -> what it means if the key is missing.
        wrong_file: called with the folder if no annotation file was found. It explains what is there instead, or
            returns None.
        wrong_splits: called with the records. It explains splits that are not the official ones, or returns None.
    """

    title: str
    annotations: tuple[str, ...]
    images: str
    path_key: str
    official: dict[str, Counts]
    hints: Mapping[str, str]
    wrong_file: Callable[[Path], str | None]
    wrong_splits: Callable[[Sequence[Record]], str | None]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read.

    Attributes:
        name: key of :data:`LAYOUTS`.
        layout: its layout.
        images: the folder that paths are relative to.
        records: in the annotation's order.
        annotation: the annotation file.
        annotation_sha256: the SHA-256 of its bytes.
    """

    name: str
    layout: Layout
    images: Path
    records: list[Record]
    annotation: Path
    annotation_sha256: str


def _caption_all(folder: Path) -> str | None:
    if (folder / "caption_all.json").is_file():
        return (
            f"{folder} holds caption_all.json, which does not say the split of an image; the loader needs "
            "reid_raw.json, which the benchmark's authors ship beside it"
        )
    return None


def _split_folders(folder: Path) -> str | None:
    if (folder / "imgs" / "train").is_dir() and (folder / "imgs" / "test").is_dir():
        return (
            f"{folder} holds imgs/train and imgs/test and no ICFG-PEDES.json; these folders are MSMT17's and not the "
            "split of ICFG-PEDES, which only ICFG-PEDES.json says; put it beside imgs/"
        )
    return None


def _splits_of_folders(records: Sequence[Record]) -> str | None:
    of_folders = all(PurePosixPath(record.file_path).parts[0] == record.split for record in records)
    if of_folders and len({record.split for record in records}) > 1:
        return (
            "says of every image that its split is the folder it lies in; imgs/train and imgs/test are MSMT17's and "
            "not the split of ICFG-PEDES; give the authors' own ICFG-PEDES.json"
        )
    return None


def _first_release(records: Sequence[Record]) -> str | None:
    people = {split: len({r.person_id for r in records if r.split == split}) for split in SPLITS}
    if people == {"train": 3901, "val": 100, "test": 100}:
        return (
            "is the first release of RSTPReid's annotation, with 3,901 / 100 / 100 people; published results use the "
            "later one with 3,701 / 200 / 200; get the present data_captions.json from the benchmark's authors"
        )
    return None


def _nothing(_: Any) -> None:
    return None


LAYOUTS = {
    "cuhk-pedes": Layout(
        title="CUHK-PEDES",
        annotations=("reid_raw.json",),
        images="imgs",
        path_key="file_path",
        official={
            "train": Counts(11_003, 34_054, 68_126),
            "val": Counts(1_000, 3_078, 6_158),
            "test": Counts(1_000, 3_074, 6_156),
        },
        hints={"split": "caption_all.json has no splits, give reid_raw.json"},
        wrong_file=_caption_all,
        wrong_splits=_nothing,
    ),
    "icfg-pedes": Layout(
        title="ICFG-PEDES",
        annotations=("ICFG-PEDES.json", "ICFG_PEDES.json"),
        images="imgs",
        path_key="file_path",
        official={"train": Counts(3_102, 34_674, 34_674), "test": Counts(1_000, 19_848, 19_848)},
        hints={},
        wrong_file=_split_folders,
        wrong_splits=_splits_of_folders,
    ),
    "rstpreid": Layout(
        title="RSTPReid",
        annotations=("data_captions.json",),
        images="imgs",
        path_key="img_path",
        official={
            "train": Counts(3_701, 18_505, 37_010),
            "val": Counts(200, 1_000, 2_000),
            "test": Counts(200, 1_000, 2_000),
        },
        hints={"img_path": "copies made for other code have 'file_path' instead, give the authors' own file"},
        wrong_file=_nothing,
        wrong_splits=_first_release,
    ),
    "ufine6926": Layout(
        title="UFine6926",
        # The name of the authors' file could not be found out, so the only .json file of the folder is taken.
        annotations=("UFine6926.json", "*.json"),
        images="",
        path_key="file_path",
        # How its 6,926 people are shared out between the splits was not published.
        official={
            "train": Counts(None, 18_577, 37_154),
            "test": Counts(None, 7_629, 15_258),
            "all": Counts(6_926, 26_206, 52_412),
        },
        hints={},
        wrong_file=_nothing,
        wrong_splits=_nothing,
    ),
}


def read_benchmark(name: str, source: Path | str) -> Benchmark:
    """Read the annotation of a benchmark. The images are not looked at.

    Args:
        name: key of :data:`LAYOUTS`.
        source: folder of the benchmark.

    Raises:
        UserError: something is missing or not as the layout says; the message names it.
    """
    layout = LAYOUTS[name]
    annotation = _find_annotation(layout, Path(source))
    content = read_json_list(annotation, "images")
    records = [_record(layout, annotation, number, entry) for number, entry in enumerate(content.entries)]
    repeated = [path for path, times in Counter(record.file_path for record in records).items() if times > 1]
    if repeated:
        raise UserError(f"{annotation} lists {len(repeated)} images more than once, such as '{repeated[0]}'")
    explained = layout.wrong_splits(records)
    if explained:
        raise UserError(f"{annotation} {explained}")
    return Benchmark(name, layout, annotation.parent / layout.images, records, annotation, content.sha256)


def _find_annotation(layout: Layout, source: Path) -> Path:
    wanted = layout.annotations[0]
    images = f"{layout.images}/" if layout.images else "the folder images/"
    if not source.is_dir():
        raise UserError(f"folder {source} does not exist; give the folder that holds {wanted} and {images}")
    found = []
    for pattern in layout.annotations:
        found = sorted(source.glob(pattern))
        if found:
            break
    if not found:
        explained = layout.wrong_file(source)
        raise UserError(explained or f"{source} holds no {wanted}; give the folder that holds {wanted} and {images}")
    if len(found) > 1:
        raise UserError(
            f"{source} holds several annotation files, {', '.join(file.name for file in found)}; leave one, or name "
            f"the right one {wanted}"
        )
    (annotation,) = found
    if not (source / layout.images).is_dir():
        raise UserError(f"{source} holds {annotation.name} and no folder {images} with the images")
    return annotation


def _record(layout: Layout, annotation: Path, number: int, entry: Any) -> Record:
    where = entry_name(annotation, number)
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a mapping")
    for key in ("split", "captions", layout.path_key, "id"):
        if key not in entry:
            hint = f"; {layout.hints[key]}" if key in layout.hints else ""
            raise UserError(f"{where} lacks the key '{key}'{hint}")
    split = entry["split"]
    if split not in SPLITS:
        raise UserError(f"{where} has the split '{split}', which is none of {', '.join(SPLITS)}")
    captions = entry["captions"]
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        raise UserError(f"{where}: 'captions' must be a list of texts that is not empty")
    person = entry["id"]
    # To Python True is a whole number, too.
    if not isinstance(person, int) or isinstance(person, bool):
        raise UserError(f"{where}: 'id' must be a whole number, not {person!r}")
    path = entry[layout.path_key]
    if not is_path_below(path):
        folder = f"{layout.images}/" if layout.images else "the benchmark's folder"
        raise UserError(f"{where}: '{layout.path_key}' must be a path below {folder}, not {path!r}")
    return Record(split, path, person, [text.strip() for text in captions])
