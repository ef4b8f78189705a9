"""Read the annotation of a benchmark, and find the images that it names."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from modeling_unipt.common.image_formats import IMAGE_SUFFIXES
from modeling_unipt.common.user_errors import UserError

from ..records.json_files import file_sha256
from ..records.layout import Sample, find_annotation, read_samples
from ..records.paths import ImageFolder, PathTally
from .layouts import LAYOUTS, SPLITS, BenchmarkLayout, Record

# So many entries say in which of several possible folders the images lie.
_FIRST_ENTRIES = 100


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read.

    Attributes:
        name: key of :data:`~dataset_builders.benchmarks.layouts.LAYOUTS`.
        layout: its layout.
        splits: those that go into the dataset: the chosen ones, or all that the annotation has.
        is_whole: whether all splits were asked for.
        paths: how the paths of the annotation fit the folder of the images.
        records: those of ``splits`` that have a caption, in the annotation's order.
        without_caption: those of ``splits`` all of whose captions are blank.
        remarks: what was found and is no reason to refuse the benchmark, as sentences.
        annotation: the annotation file, or the first of several.
        annotation_sha256: the SHA-256 of its bytes, or of several files' digests.
    """

    name: str
    layout: BenchmarkLayout
    splits: list[str]
    is_whole: bool
    paths: PathTally
    records: list[Record]
    without_caption: list[Record]
    remarks: list[str]
    annotation: Path
    annotation_sha256: str

    @property
    def images(self) -> Path:
        """The folder that paths are relative to."""
        return self.paths.images.folder


def read_benchmark(name: str, source: Path | str, splits: Sequence[str] = ()) -> Benchmark:
    """Read the annotation of a benchmark, and look whether its images are there. They are not opened.

    Args:
        name: key of :data:`~dataset_builders.benchmarks.layouts.LAYOUTS`.
        source: folder of the benchmark.
        splits: those to read; none stands for all.

    Raises:
        UserError: something is missing or not as the layout says; the message names it.
    """
    layout = LAYOUTS[name]
    files = _annotation_files(layout, Path(source))
    samples = read_samples(layout, files)
    first = list(itertools.islice(samples, _FIRST_ENTRIES))
    folder = _image_folder(layout, files[0], first)
    paths = PathTally(ImageFolder(folder, prefix=folder.name))
    merged = _Merged(files[0], layout, paths, splits or SPLITS)
    for sample in itertools.chain(first, samples):
        merged.add(sample)
    merged.check()
    records = merged.numbered()
    explained = layout.wrong_splits(records)
    if explained:
        raise UserError(f"{files[0]} {explained}")
    present = [split for split in SPLITS if any(record.split == split for record in records)]
    for split in splits:
        if split not in present:
            raise UserError(f"{files[0]} has no entry of the split '{split}'; it has {', '.join(present)}")
    chosen = [split for split in present if split in (splits or present)]
    wanted = [record for record in records if record.split in chosen]
    return Benchmark(
        name=name,
        layout=layout,
        splits=chosen,
        is_whole=not splits,
        paths=paths,
        records=[record for record in wanted if record.captions],
        without_caption=[record for record in wanted if not record.captions],
        remarks=merged.remarks(),
        annotation=files[0],
        annotation_sha256=_sha256(files),
    )


def _annotation_files(layout: BenchmarkLayout, source: Path) -> list[Path]:
    wanted = layout.annotations[0]
    images = f"{layout.images[0]}/" if layout.images[0] else "the folder images/"
    if not source.is_dir():
        what = f"{source} is a file" if source.exists() else f"folder {source} does not exist"
        raise UserError(f"{what}; give the folder that holds {wanted} and {images}")
    files = find_annotation(layout, source)
    if not files:
        explained = layout.wrong_file(source)
        if explained is None:
            others = sorted(path.name for path in source.glob("*.json*"))
            rename = f", or rename {' or '.join(others[:3])} if that is it" if others else ""
            explained = f"{source} holds no {wanted}; give the folder that holds {wanted} and {images}{rename}"
        raise UserError(explained)
    if len(files) > 1 and "+" not in wanted:
        raise UserError(
            f"{source} holds several annotation files, {', '.join(file.name for file in files)}; leave one, or name "
            f"the right one {wanted}"
        )
    return files


def _image_folder(layout: BenchmarkLayout, annotation: Path, samples: Iterable[Sample]) -> Path:
    """The first of the possible folders that holds one of the images, or else the first that is there."""
    folders = [annotation.parent / name for name in layout.images]
    there = [folder for folder in folders if folder.is_dir()]
    if not there:
        raise UserError(
            f"{annotation.parent} holds {annotation.name} and no folder {layout.images[0]}/ with the images"
        )
    if len(there) > 1:
        for folder in there:
            if any((folder / _with_suffix(layout, folder, sample.path)).is_file() for sample in samples):
                return folder
    return there[0]


def _with_suffix(layout: BenchmarkLayout, folder: Path, path: str) -> str:
    """The path of an image with the suffix that it has on disk, where the layout leaves suffixes out."""
    if not layout.suffixes or PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES:
        return path
    named = [path + suffix for suffix in layout.suffixes]
    return next((each for each in named if (folder / each).is_file()), named[0])


def _sha256(files: Sequence[Path]) -> str:
    digests = [file_sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


class _Merged:
    """The images that entries name: entries of the same image are put together.

    Args:
        paths: finds and counts the images.
        splits: those whose images are looked for.
    """

    def __init__(self, annotation: Path, layout: BenchmarkLayout, paths: PathTally, splits: Sequence[str]) -> None:
        self._annotation = annotation
        self._layout = layout
        self._paths = paths
        self._splits = splits
        # Path on disk, or else in the annotation -> its record, whose person_id may still be a text.
        self._records: dict[str, Record] = {}
        self._entries = 0
        self._disagreeing: dict[str, str] = {}

    def add(self, sample: Sample) -> None:
        """Take an entry.

        Raises:
            UserError: its list of captions is empty.
        """
        if not sample.written:
            raise UserError(f"{sample.where}: '{self._layout.captions[0]}' must be a list of texts that is not empty")
        self._entries += 1
        path = _with_suffix(self._layout, self._paths.images.folder, sample.path)
        found = self._paths.find(path) if sample.split in self._splits else None
        key = found or path
        known = self._records.get(key)
        if known is None:
            self._records[key] = Record(
                sample.where,
                sample.split,
                key,
                sample.person,
                sample.captions,
                sample.written,
                sample.kept,
                found is not None if sample.split in self._splits else None,
            )
            return
        difference = _difference(known, sample)
        if difference:
            self._disagreeing.setdefault(key, difference)
            return
        # The lists of a sample belong to nobody else.
        for text in sample.captions:
            if text not in known.captions:
                known.captions.append(text)
        for text in sample.written:
            if text not in known.written:
                known.written.append(text)
        for column, value in sample.kept.items():
            known.kept[column] = _joined(known.kept[column], value)

    def check(self) -> None:
        """Refuse entries that contradict each other.

        Raises:
            UserError: there are some.
        """
        if self._disagreeing:
            path, difference = next(iter(self._disagreeing.items()))
            raise UserError(
                f"{self._annotation} lists {len(self._disagreeing)} images more than once and says different things "
                f"of them, such as '{path}': {difference}; correct one of the entries"
            )

    def numbered(self) -> list[Record]:
        """The records, whose people have numbers. If an id is a text, people are numbered as they come."""
        records = list(self._records.values())
        if all(isinstance(record.person_id, int) for record in records):
            return records
        numbers: dict[str, int] = {}
        return [
            replace(record, person_id=numbers.setdefault(str(record.person_id), len(numbers))) for record in records
        ]

    def remarks(self) -> list[str]:
        """What was mended."""
        found = []
        repeated = self._entries - len(self._records)
        if repeated:
            found.append(
                f"entries that name the image of an earlier entry, and were put together with it: {repeated:,} of "
                f"{self._entries:,}"
            )
        texts = [record for record in self._records.values() if isinstance(record.person_id, str)]
        if texts:
            found.append(
                f"ids of people are texts, such as '{texts[0].person_id}'; people are numbered in the order of the "
                "annotation, from 0"
            )
        return found


def _difference(known: Record, sample: Sample) -> str | None:
    """In what two entries of an image contradict each other, or None."""
    for kind, before, now in (
        ("person", known.person_id, sample.person),
        ("split", known.split, sample.split),
        *((column, known.kept[column], value) for column, value in sample.kept.items()),
    ):
        if before != now and before is not None and now is not None and not isinstance(now, list):
            return f"{kind} {before} in {_entry(known.where)}, {now} in {_entry(sample.where)}"
    return None


def _entry(where: str) -> str:
    """An entry's name without that of its file."""
    return where.rpartition(": ")[2]


def _joined(before: object, now: object) -> object:
    if before is None or now is None:
        return now if before is None else before
    return before + [each for each in now if each not in before] if isinstance(now, list) else before
