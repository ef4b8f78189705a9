"""Read a benchmark into a Parquet dataset with its splits, and write its card."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.sources.base import FolderSource
from modeling_unipt.sources.reading import SourceImage, fingerprint, readable

from ..checks.caption_oddities import Oddities
from ..output.parquet_dataset import Columns, Row
from ..output.splits import write_splits
from ..records.paths import coverage_line
from .card import write_benchmark_card
from .checks import check_counts, check_images, check_readable, verdicts
from .copies import Copy
from .layouts import BenchmarkLayout, Counts, Record
from .reading import Benchmark, read_benchmark

COLUMNS = {
    "image": "image",
    "image_id": "string",
    "person_id": "int64",
    "captions": ["string"],
    "file_path": "string",
}


@dataclass(frozen=True)
class BenchmarkOptions:
    """What the command line asks for.

    Attributes:
        benchmark: key of :data:`dataset_builders.benchmarks.layouts.LAYOUTS`.
        source: folder of the benchmark.
        output: folder of the dataset.
        splits: those to read; none stands for all.
        allow_partial: go on if images are missing or the numbers are not the published ones.
        fix_paths: take images whose path is spelled differently on disk.
        strict: refuse a benchmark with odd captions.
        workers: threads that read and decode images.
        license: named in the dataset card.
    """

    benchmark: str
    source: str
    output: str
    splits: Sequence[str] = ()
    allow_partial: bool = False
    fix_paths: bool = False
    strict: bool = False
    workers: int = 1
    license: str = "other"


@dataclass
class _Tally:
    """The people and captions of the rows of a split that were written."""

    people: set[int] = field(default_factory=set)
    captions: int = 0


def columns_of(layout: BenchmarkLayout) -> Columns:
    """The columns of a benchmark's dataset."""
    return COLUMNS | {column: kept.type for column, kept in layout.kept.items()}


def build(options: BenchmarkOptions) -> Copy | None:
    """Read the benchmark, check it and write the dataset.

    Returns:
        What was written, or None if the output is complete already.

    Raises:
        UserError: something is missing, differs from the published numbers, or cannot be read.
    """
    benchmark = read_benchmark(options.benchmark, options.source, options.splits)
    differing = check_counts(benchmark, options.allow_partial)
    respelled = benchmark.paths.check(benchmark.annotation, options.fix_paths)
    missing = check_images(benchmark, options.allow_partial)
    records = [record for record in benchmark.records if record.is_there]
    without_caption = [record for record in benchmark.without_caption if record.is_there]
    oddities = oddities_of([*records, *without_caption])
    if options.strict:
        oddities.refuse()
    settings = {
        "benchmark": options.benchmark,
        "annotation": benchmark.annotation_sha256[:12],
        "images": fingerprint(benchmark.images, [Path(record.file_path) for record in records]),
        "license": options.license,
    }
    if not benchmark.is_whole:
        settings["splits"] = benchmark.splits
    folder = start_output(options.output, settings, defaults={"license": BenchmarkOptions.license})
    if folder is None:
        return None
    remarks = [*benchmark.remarks, *(line for line in (respelled, _covered(benchmark)) if line)]
    try:
        copy = write_benchmark(folder, benchmark, records, options.workers, missing, differing, remarks, oddities)
        # Unreadable images are known only now; those that are missing were refused before.
        unreadable = copy.rejected[len(missing) + len(benchmark.without_caption) :]
        check_readable(benchmark, unreadable, options.allow_partial)
    except BaseException:
        shutil.rmtree(folder)
        raise
    write_rejected(folder / "rejected.jsonl", copy.rejected)
    write_benchmark_card(folder, copy, columns_of(benchmark.layout), options.license)
    finish_output(folder, options.output)
    return copy


def _covered(benchmark: Benchmark) -> str | None:
    """How much of its folder a benchmark names, unless a part of the benchmark was asked for."""
    if not benchmark.is_whole:
        return None
    records = [*benchmark.records, *benchmark.without_caption]
    there = sum(bool(record.is_there) for record in records)
    return coverage_line(benchmark.annotation, benchmark.paths.images, len(records), there)


def oddities_of(records: Sequence[Record]) -> Oddities:
    """What is odd in the captions of some records."""
    oddities = Oddities()
    for record in records:
        oddities.add(record.split, record.person_id, record.written, record.file_path)
    return oddities


def write_benchmark(
    folder: Path,
    benchmark: Benchmark,
    records: Sequence[Record],
    workers: int,
    missing: Sequence[Record],
    differing: Mapping[str, Sequence[str]],
    remarks: list[str],
    oddities: Oddities,
) -> Copy:
    """Write the splits of a benchmark below ``folder``. A split without an image is left out.

    Args:
        records: those whose image is there.
        missing: those whose image is not.
        differing: in what the annotation differs from the published numbers, for each split.
        remarks: what was mended, or is to be known.
        oddities: what is odd in the captions.

    Raises:
        UserError: no image of a split can be read.
    """
    source = FolderSource(benchmark.images, [Path(record.file_path) for record in records])
    positions: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        positions.setdefault(record.split, []).append(position)
    tallies = {split: _Tally() for split in benchmark.splits}

    def row_of(position: int, image: SourceImage) -> Row:
        record = records[position]
        tally = tallies[record.split]
        tally.people.add(record.person_id)
        tally.captions += len(record.captions)
        return {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": source.ids[position],
            "person_id": record.person_id,
            "captions": record.captions,
            "file_path": readable(record.file_path),
            **record.kept,
        }

    present = {split: positions[split] for split in benchmark.splits if split in positions}
    title = benchmark.layout.title
    written = write_splits(folder, columns_of(benchmark.layout), source, present, row_of, workers, title)
    counts = {}
    for split, tally in tallies.items():
        images = written.sizes[split]["num_examples"] if split in written.sizes else 0
        counts[split] = Counts(len(tally.people), images, tally.captions)
    split_of_name = {readable(record.file_path): record.split for record in records}
    left_out = Counter(split_of_name[name] for name, _ in written.rejected)
    left_out.update(record.split for record in [*missing, *benchmark.without_caption])
    return Copy(
        benchmark=benchmark,
        sizes=written.sizes,
        counts=counts,
        verdicts=verdicts(benchmark, differing, left_out),
        rejected=[
            *((readable(record.file_path), "missing") for record in missing),
            *((readable(record.file_path), "has no caption") for record in benchmark.without_caption),
            *written.rejected,
        ],
        differing=[phrase for phrases in differing.values() for phrase in phrases],
        remarks=remarks,
        oddities=oddities,
    )
