"""What the name of an image tells: a person of one of the sets that benchmarks took their images from.

Several benchmarks share such sets: ICFG-PEDES and RSTPReid took theirs from MSMT17; CUHK-PEDES took its from
Market-1501, CUHK01, CUHK03, CUHK-SYSU and VIPeR. So images of one person may be in two benchmarks, or in a benchmark
and in a folder to train on. A perceptual hash does not tell, because they are other images.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Scheme:
    """How a set names its images.

    Attributes:
        title: of the set.
        name: pattern of the whole file name without its suffix; its group is the person.
        folder: pattern that a folder above must match, for names that other sets use, too.
    """

    title: str
    name: re.Pattern[str]
    folder: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Person:
    """A person of a set.

    Attributes:
        title: of the set.
        number: as the set counts people.
        part: "train" or "test" where people are counted in each apart and the path tells which; else "".
    """

    title: str
    number: str
    part: str = ""


MSMT17 = "MSMT17"
SCHEMES = (
    # 0000 and -1 are no people but distractors and junk.
    Scheme("Market-1501", re.compile(r"(?!0000)(\d{4})_c\ds\d_\d{6}_\d{2}")),
    Scheme("DukeMTMC-reID", re.compile(r"(\d{4})_c\d_f\d{7}")),
    Scheme(MSMT17, re.compile(r"(\d{4})_\d{3}_\d{2}_\d{4}(?:morning|noon|afternoon)_\d{4}_\d(?:_ex)?")),
    # The copy of MSMT17 that RSTPReid took its images from.
    Scheme(MSMT17, re.compile(r"(\d{4})_c\d{1,2}_\d{4}")),
    Scheme("CUHK-SYSU", re.compile(r"(p\d+)_s\d+")),
    Scheme("CUHK01", re.compile(r"(\d{4})\d{3}"), re.compile(r"cuhk[-_]?01", re.IGNORECASE)),
    Scheme("CUHK03", re.compile(r"(\d_\d{1,4})_[12]_\d{1,2}"), re.compile(r"cuhk[-_]?03", re.IGNORECASE)),
    Scheme("VIPeR", re.compile(r"(\d{3})_\d{1,3}"), re.compile(r"cam_[ab]|viper", re.IGNORECASE)),
)
# A word and one number: every other camera and script writes such names.
_COMMON_NAME = re.compile(r"[^\W\d_]*[-_ .]?\d*")


def stem_of(path: str) -> str:
    """The file name of a path without its suffix, and without what makes ids unique ("~2")."""
    name = re.sub(r"~\d+$", "", path.replace("\\", "/").rpartition("/")[2])
    return re.sub(r"\.[A-Za-z]\w{1,4}$", "", name)


def telling_name(path: str) -> str | None:
    """A name by which an image can be known again in another set, or None if too many images have such names."""
    stem = stem_of(path).casefold()
    has_letters = any(map(str.isalpha, stem))
    return stem if has_letters and len(stem) >= 8 and not _COMMON_NAME.fullmatch(stem) else None


def person_of_name(path: str) -> Person | None:
    """The person whom an image shows, by its path, or None if the path does not tell.

    Args:
        path: the folders above may tell the set and the part of the set.
    """
    stem = stem_of(path)
    folders = PurePosixPath(path.replace("\\", "/")).parts[:-1]
    for scheme in SCHEMES:
        found = scheme.name.fullmatch(stem)
        if found is None:
            continue
        if scheme.folder is not None and not any(map(scheme.folder.search, folders)):
            continue
        # MSMT17's own folders stand near the image; further above "train" may mean anything.
        parts = [part for part in ("train", "test") if part in folders[-2:]] if scheme.title == MSMT17 else []
        return Person(scheme.title, found[1], parts[0] if parts else "")
    return None
