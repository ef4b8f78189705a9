"""Seven benchmarks of text-to-image person retrieval, each in one description: where it keeps what, how large it is,
and what is often mistaken for it.

What an entry of an annotation file may look like is told by :class:`dataset_builders.records.layout.Layout`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from modeling_unipt.captions_unipt import normal_caption

from ..records.layout import Kept, Layout
from ..records.values import SPLITS


class Counts(NamedTuple):
    """What a split holds. None stands for a number that was never published."""

    identities: int | None
    images: int | None
    captions: int | None


@dataclass(frozen=True)
class Record:
    """One annotated image.

    Attributes:
        where: how messages call the entry, or the first of them.
        file_path: relative to the benchmark's image folder; as on disk if the image is there.
        person_id: number of the person.
        captions: in their normal form, none of them blank.
        written: the captions as they stand in the annotation, blank ones included.
        kept: column -> what else the annotation says of the image.
        is_there: whether the image is on disk; None if nobody looked.
    """

    where: str
    split: str
    file_path: str
    person_id: int
    captions: list[str]
    written: list[str]
    kept: dict[str, Any]
    is_there: bool | None

    @property
    def blank(self) -> int:
        """Number of blank captions in the annotation."""
        return sum(not normal_caption(text) for text in self.written)


def _nothing(_: Any) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class BenchmarkLayout(Layout):
    """A layout whose size is known.

    Attributes:
        official: split -> its published numbers; "all" counts all splits together.
        wrong_file: called with the folder if no annotation file was found. It explains what is there instead, or
            returns None.
        wrong_splits: called with the records. It explains splits that are not the official ones, or returns None.
    """

    official: Mapping[str, Counts] = field(default_factory=dict)
    person: tuple[str, ...] = ("id",)
    split: tuple[str, ...] = ("split",)
    wrong_file: Callable[[Path], str | None] = _nothing
    wrong_splits: Callable[[Sequence[Record]], str | None] = _nothing


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


LAYOUTS = {
    "cuhk-pedes": BenchmarkLayout(
        title="CUHK-PEDES",
        annotations=("reid_raw.json",),
        images=("imgs",),
        official={
            "train": Counts(11_003, 34_054, 68_126),
            "val": Counts(1_000, 3_078, 6_158),
            "test": Counts(1_000, 3_074, 6_156),
        },
        hints={"split": "caption_all.json has no splits, give reid_raw.json"},
        wrong_file=_caption_all,
    ),
    "icfg-pedes": BenchmarkLayout(
        title="ICFG-PEDES",
        annotations=("ICFG-PEDES.json", "ICFG_PEDES.json"),
        images=("imgs",),
        official={"train": Counts(3_102, 34_674, 34_674), "test": Counts(1_000, 19_848, 19_848)},
        wrong_file=_split_folders,
        wrong_splits=_splits_of_folders,
    ),
    "rstpreid": BenchmarkLayout(
        title="RSTPReid",
        annotations=("data_captions.json",),
        images=("imgs",),
        image=("img_path",),
        official={
            "train": Counts(3_701, 18_505, 37_010),
            "val": Counts(200, 1_000, 2_000),
            "test": Counts(200, 1_000, 2_000),
        },
        hints={"img_path": "copies made for other code have 'file_path' instead, give the authors' own file"},
        wrong_splits=_first_release,
    ),
    "ufine6926": BenchmarkLayout(
        title="UFine6926",
        # The name of the authors' file could not be found out, so the only .json file of the folder is taken.
        annotations=("UFine6926.json", "*.json"),
        # How its 6,926 people are shared out between the splits was not published.
        official={
            "train": Counts(None, 18_577, 37_154),
            "test": Counts(None, 7_629, 15_258),
            "all": Counts(6_926, 26_206, 52_412),
        },
    ),
    "ufine3c": BenchmarkLayout(
        title="UFine3C",
        annotations=("UFine3C_Annotations.json", "UFine3C.json", "*.json"),
        images=("", "images"),
        # It is an evaluation set: its entries need no split.
        shares={"test": None},
        kept={"source": Kept("source", "string", "the dataset that the image comes from")},
        official={"test": Counts(2_250, 7_446, 37_939)},
    ),
    "iiitd-20k": BenchmarkLayout(
        title="IIITD-20K",
        annotations=("Filtered.json", "IIITD-20K-ICFG-FORMAT.json"),
        images=("IIITD-20K", "images", "Images", "imgs", ""),
        image=("file_path", "Image ID"),
        suffixes=(".jpeg", ".jpg"),
        captions=("captions", "caption", "Description 1", "Description 2"),
        # Each person has one image.
        person=("id", "Image ID"),
        # The authors split the entries of Filtered.json by their order.
        shares={"train": 15_000, "val": 2_500, "test": 2_500},
        official={
            "train": Counts(15_000, 15_000, 30_000),
            "val": Counts(2_500, 2_500, 5_000),
            "test": Counts(2_500, 2_500, 5_000),
        },
    ),
    "chatpedes": BenchmarkLayout(
        title="ChatPedes",
        annotations=("train_reid.json + test_reid.json",),
        images=("imgs00", "imgs"),
        kept={
            "dialogues": Kept(
                "chats",
                [[{"from": "string", "value": "string"}]],
                "dialogues about the image, as lists of {from, value}",
            )
        },
        # The numbers of each split and of the captions were not published.
        official={"all": Counts(12_003, 37_128, None)},
    ),
}
