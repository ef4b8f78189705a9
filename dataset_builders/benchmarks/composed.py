"""ITCPR, whose queries are an image with words: a dataset with the splits ``query`` and ``gallery``.

A query is an image of a person with words for what the person wears in the image that is sought. The gallery holds the
images sought, which have the query's ``instance_id``, and distractors, whose ``instance_id`` is -1.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import markdown_table
from modeling_unipt.sources.base import FolderSource
from modeling_unipt.sources.reading import SourceImage, fingerprint, readable

from ..checks.caption_oddities import Oddities
from ..output.parquet_dataset import Row, SplitSize, write_card
from ..output.splits import write_splits
from ..records.json_files import file_sha256
from ..records.layout import Kept, Layout, Sample, find_annotation, read_samples
from ..records.paths import ImageFolder, PathTally
from .build import BenchmarkOptions
from .layouts import Counts

NAME = "itcpr"
TITLE = "ITCPR"
DISTRACTOR = -1
_KEPT = {
    "source": Kept("datasets", "string", "the dataset that the image comes from"),
    "source_person_id": Kept("person_id", "string", "the person's id in that dataset"),
}
LAYOUTS = {
    "query": Layout(title=TITLE, annotations=("query.json",), person=("instance_id",), kept=_KEPT),
    "gallery": Layout(title=TITLE, annotations=("gallery.json",), captions=(), person=("instance_id",), kept=_KEPT),
}
OFFICIAL_GALLERY = 20_510
# Pairs of a query and an image of the gallery that is sought by it.
OFFICIAL_TRIPLETS = 2_225
COLUMNS = {
    "image": "image",
    "image_id": "string",
    "instance_id": "int64",
    "person_id": "int64",
    "captions": ["string"],
    "file_path": "string",
    **{column: kept.type for column, kept in _KEPT.items()},
}
_COLUMN_TEXTS = {
    "image": "the image",
    "image_id": "`file_path` without its suffix",
    "instance_id": "equal for a query and the images that it seeks; -1 for a distractor",
    "person_id": "number of the person, of all sources together",
    "captions": "of a query, what the person wears in the image sought; of the gallery, nothing",
    "file_path": "path in the benchmark's folder",
    **{column: kept.about for column, kept in _KEPT.items()},
}


@dataclass(frozen=True)
class _Entry:
    """One entry of a file, with the path of its image on disk, or None."""

    split: str
    sample: Sample
    path: str | None

    @property
    def name(self) -> str:
        return readable(self.path or self.sample.path)


@dataclass(frozen=True)
class ComposedCopy:
    """A copy of the benchmark, as it was written.

    Attributes:
        sizes: split -> its size.
        counts: split -> what it holds.
        differing: in what it differs from the published benchmark, as phrases.
        rejected: (path, reason) of each entry that was left out.
        remarks: what was mended, as sentences.
        oddities: what is odd in the captions.
    """

    sizes: dict[str, SplitSize]
    counts: dict[str, Counts]
    differing: list[str]
    rejected: list[tuple[str, str]]
    remarks: list[str]
    oddities: Oddities

    def lines(self) -> Iterator[str]:
        """What the user is told, a sentence each."""
        yield from self.remarks
        yield from self.oddities.lines()
        if self.rejected:
            yield f"{len(self.rejected)} entries were left out (rejected.jsonl)"
        if self.differing:
            yield f"not the official {TITLE}, so scores on it are not comparable: {'; '.join(self.differing)}"
        else:
            yield f"the official {TITLE}, so scores on it are comparable with published ones"


def build_composed(options: BenchmarkOptions) -> ComposedCopy | None:
    """Read the benchmark, check it and write the dataset.

    Returns:
        What was written, or None if the output is complete already.

    Raises:
        UserError: something is missing, differs from the published numbers, or cannot be read.
    """
    source = Path(options.source)
    files = {split: _annotation(source, split) for split in LAYOUTS}
    paths = PathTally(ImageFolder(source))
    entries = []
    for split, layout in LAYOUTS.items():
        for sample in read_samples(layout, [files[split]]):
            _check_instance(split, sample)
            entries.append(_Entry(split, sample, paths.find(sample.path)))
    respelled = paths.check(source, options.fix_paths)
    differing = _differences(entries)
    missing = [entry for entry in entries if entry.path is None]
    wordless = [entry for entry in entries if entry.path and entry.split == "query" and not entry.sample.captions]
    _check_whole(source, entries, differing, missing, options.allow_partial)
    usable = [entry for entry in entries if entry.path and (entry.split == "gallery" or entry.sample.captions)]
    if all(entry.split == "gallery" for entry in usable):
        raise UserError(f"none of the queries in {files['query']} has words, so there is nothing to search by")
    oddities = Oddities()
    for entry in entries:
        # Several queries may have the same words beside different images, so the person is not told.
        oddities.add(entry.split, None, entry.sample.written, entry.name)
    if options.strict:
        oddities.refuse()
    settings = {
        "benchmark": options.benchmark,
        "annotation": hashlib.sha256("".join(map(file_sha256, files.values())).encode()).hexdigest()[:12],
        "images": fingerprint(source, [Path(entry.path) for entry in usable]),
        "license": options.license,
    }
    folder = start_output(options.output, settings, defaults={"license": BenchmarkOptions.license})
    if folder is None:
        return None
    rejected = [(entry.name, "missing") for entry in missing] + [(entry.name, "has no words") for entry in wordless]
    try:
        copy = _write(folder, source, usable, options.workers, differing, rejected, oddities, respelled)
        unreadable = copy.rejected[len(rejected) :]
        if unreadable and not options.allow_partial:
            raise UserError(
                f"{len(unreadable)} annotated images in {source} cannot be read, such as {unreadable[0][0]} "
                f"({unreadable[0][1]}); replace them, or pass --allow-partial to go on without them"
            )
    except BaseException:
        shutil.rmtree(folder)
        raise
    write_rejected(folder / "rejected.jsonl", copy.rejected)
    _write_card(folder, copy, options.license)
    finish_output(folder, options.output)
    return copy


def _annotation(source: Path, split: str) -> Path:
    wanted = LAYOUTS[split].annotations[0]
    if not source.is_dir():
        raise UserError(f"folder {source} does not exist; give the folder that holds query.json and gallery.json")
    files = find_annotation(LAYOUTS[split], source)
    if not files:
        raise UserError(f"{source} holds no {wanted}; give the folder that holds query.json and gallery.json")
    return files[0]


def _check_instance(split: str, sample: Sample) -> None:
    instance = sample.person
    if not isinstance(instance, int):
        raise UserError(f"{sample.where}: 'instance_id' must be a whole number, not {instance!r}")
    if split == "query" and instance < 0:
        raise UserError(
            f"{sample.where}: 'instance_id' is {instance}, which stands for a distractor; a query must name the "
            "instance that it seeks"
        )


def _differences(entries: Sequence[_Entry]) -> list[str]:
    """In what the annotation differs from the published benchmark."""
    sought = Counter(entry.sample.person for entry in entries if entry.split == "gallery")
    queries = [entry for entry in entries if entry.split == "query"]
    differing = []
    for number, official, what in (
        (sought.total(), OFFICIAL_GALLERY, "images in the gallery"),
        (sum(sought[query.sample.person] for query in queries), OFFICIAL_TRIPLETS, "triplets"),
    ):
        if number != official:
            differing.append(f"{number:,} {what}, expected {official:,}")
    lost = [query for query in queries if not sought[query.sample.person]]
    if lost:
        differing.append(f"{len(lost):,} queries seek nothing in the gallery, such as {lost[0].name}")
    return differing


def _check_whole(
    source: Path, entries: Sequence[_Entry], differing: list[str], missing: Sequence[_Entry], allow_partial: bool
) -> None:
    """Refuse what is not the whole benchmark, unless that is allowed; note what is missing in ``differing``."""
    if differing and not allow_partial:
        raise UserError(
            f"{source} is not the whole {TITLE}: {'; '.join(differing)}; get the authors' own files, or pass "
            "--allow-partial to go on with these"
        )
    for split in LAYOUTS:
        if all(entry.path is None for entry in entries if entry.split == split):
            raise UserError(
                f"none of the images of {split}.json is in {source}, such as {missing[0].name}; put the folders of the "
                "three datasets that they come from beside it"
            )
    if missing:
        if not allow_partial:
            raise UserError(
                f"{len(missing)} of {len(entries)} annotated images are missing in {source}, such as "
                f"{missing[0].name}; complete the images, or pass --allow-partial to go on without them"
            )
        differing.append(f"{len(missing):,} annotated images are missing")


def _write(
    folder: Path,
    source: Path,
    entries: Sequence[_Entry],
    workers: int,
    differing: list[str],
    rejected: list[tuple[str, str]],
    oddities: Oddities,
    respelled: str | None,
) -> ComposedCopy:
    images = FolderSource(source, [Path(entry.path) for entry in entries])
    positions = {split: [i for i, entry in enumerate(entries) if entry.split == split] for split in LAYOUTS}
    # (source, id there) -> number of the person.
    people: dict[tuple[str, str], int] = {}
    shown: dict[str, set[int]] = {split: set() for split in LAYOUTS}
    captions: Counter[str] = Counter()

    def row_of(position: int, image: SourceImage) -> Row:
        entry = entries[position]
        kept = entry.sample.kept
        # Without an id nobody knows whether two images show one person.
        known = (kept["source"] or entry.name.partition("/")[0], kept["source_person_id"] or entry.name)
        person = people.setdefault(known, len(people))
        shown[entry.split].add(person)
        captions[entry.split] += len(entry.sample.captions)
        return {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": images.ids[position],
            "instance_id": max(entry.sample.person, DISTRACTOR),
            "person_id": person,
            "captions": entry.sample.captions,
            "file_path": entry.name,
            **kept,
        }

    written = write_splits(folder, COLUMNS, images, positions, row_of, workers, TITLE)
    counts = {}
    for split, size in written.sizes.items():
        counts[split] = Counts(len(shown[split]), size["num_examples"], captions[split])
    if written.rejected:
        differing.append(f"{len(written.rejected):,} annotated images cannot be read")
    remarks = [respelled] if respelled else []
    return ComposedCopy(written.sizes, counts, differing, rejected + written.rejected, remarks, oddities)


def _write_card(folder: Path, copy: ComposedCopy, license_name: str) -> None:
    rows = [(split, *(f"{number:,}" for number in counts)) for split, counts in copy.counts.items()]
    warning = ""
    if copy.differing:
        warning = (
            f"\n**Not the official {TITLE}** but data in its layout: {'; '.join(copy.differing)}. Scores on it are not "
            "comparable with published ones.\n"
        )
    odd = copy.oddities.card_section()
    body = f"""\
# {TITLE}

Images of people to be searched by an image with words, read from the benchmark's official layout by
`python -m dataset_builders.benchmarks`. `train/evaluate_retrieval.py` measures a model on it.
{warning}
{markdown_table(("split", *Counts._fields), rows)}

{markdown_table(("column", "content"), [(f"`{column}`", text) for column, text in _COLUMN_TEXTS.items()])}
{f"{chr(10)}{odd}" if odd else ""}
## Licence, use, privacy

The terms of the datasets that the images come from bind whoever uses this copy. It is for measuring retrieval in
research. It shows people who did not choose to be in it, so do not publish the images further than those terms allow,
and do not use it to identify anybody.
"""
    about = {
        "pretty_name": f"Data in {TITLE}'s layout" if copy.differing else TITLE,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["text-to-image"],
        "tags": ["person-retrieval", "composed-image-retrieval"],
    }
    write_card(folder, COLUMNS, copy.sizes, about, body)
