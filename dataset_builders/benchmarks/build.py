"""Read a benchmark into a Parquet dataset with its splits, and write its card."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.words import markdown_table
from modeling_unipt.sources.base import FolderSource
from modeling_unipt.sources.reading import SourceImage, fingerprint, readable

from ..output.parquet_dataset import Row, SplitSize, write_card
from ..output.splits import write_splits
from .checks import check_counts, check_images, check_readable
from .layouts import SPLITS, Benchmark, Counts, Record, read_benchmark

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
        allow_partial: go on if images are missing or the numbers are not the published ones.
        workers: threads that read and decode images.
        license: named in the dataset card.
    """

    benchmark: str
    source: str
    output: str
    allow_partial: bool = False
    workers: int = 1
    license: str = "other"


@dataclass(frozen=True)
class Copy:
    """A copy of a benchmark, as it was written.

    Attributes:
        benchmark: as read.
        sizes: split -> its size.
        counts: split -> what it holds.
        rejected: (path, reason) of each annotated image that is missing or unreadable.
        differing: in what it differs from the published numbers.
    """

    benchmark: Benchmark
    sizes: dict[str, SplitSize]
    counts: dict[str, Counts]
    rejected: list[tuple[str, str]]
    differing: list[str]


@dataclass
class _Tally:
    """The people and captions of the rows of a split that were written."""

    people: set[int] = field(default_factory=set)
    captions: int = 0


def build(options: BenchmarkOptions) -> Copy | None:
    """Read the benchmark, check it and write the dataset.

    Returns:
        What was written, or None if the output is complete already.

    Raises:
        UserError: something is missing, differs from the published numbers, or cannot be read.
    """
    benchmark = read_benchmark(options.benchmark, options.source)
    differing = check_counts(benchmark, options.allow_partial)
    records = [record for record in benchmark.records if (benchmark.images / record.file_path).is_file()]
    missing = check_images(benchmark, records, options.allow_partial)
    settings = {
        "benchmark": options.benchmark,
        "annotation": benchmark.annotation_sha256[:12],
        "images": fingerprint(benchmark.images, [Path(record.file_path) for record in records]),
        "license": options.license,
    }
    folder = start_output(options.output, settings, defaults={"license": BenchmarkOptions.license})
    if folder is None:
        return None
    try:
        copy = write_benchmark(folder, benchmark, records, options.workers, missing, differing)
        # Unreadable images are known only now; those that are missing were refused before.
        check_readable(benchmark, copy.rejected[len(missing) :], options.allow_partial)
    except BaseException:
        shutil.rmtree(folder)
        raise
    write_rejected(folder / "rejected.jsonl", copy.rejected)
    write_benchmark_card(folder, copy, options.license)
    finish_output(folder, options.output)
    return copy


def write_benchmark(
    folder: Path,
    benchmark: Benchmark,
    records: list[Record],
    workers: int,
    missing: list[str],
    differing: list[str],
) -> Copy:
    """Write the splits of a benchmark below ``folder``.

    Args:
        records: those whose image is there.
        missing: paths of the images that are not.
        differing: in what the annotation differs from the published numbers.

    Raises:
        UserError: no image of a split can be read.
    """
    source = FolderSource(benchmark.images, [Path(record.file_path) for record in records])
    # A split all of whose images are missing is to be an error, so the whole annotation says which splits there are.
    present = [split for split in SPLITS if any(record.split == split for record in benchmark.records)]
    positions = {split: [i for i, record in enumerate(records) if record.split == split] for split in present}
    tallies = {split: _Tally() for split in present}

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
        }

    written = write_splits(folder, COLUMNS, source, positions, row_of, workers, benchmark.layout.title)
    counts = {}
    for split, tally in tallies.items():
        counts[split] = Counts(len(tally.people), written.sizes[split]["num_examples"], tally.captions)
    rejected = [(readable(path), "missing") for path in missing] + written.rejected
    return Copy(benchmark, written.sizes, counts, rejected, differing)


def write_benchmark_card(folder: Path, copy: Copy, license_name: str) -> None:
    """Write the dataset card of a copy.

    Args:
        license_name: the licence, by its name on the Hub.
    """
    layout = copy.benchmark.layout
    title = layout.title
    head = ["split"]
    for kind in Counts._fields:
        head += [kind, "official"]
    rows = []
    for split, counts in copy.counts.items():
        official = layout.official.get(split, Counts(None, None, None))
        row = [split]
        for number, published in zip(counts, official, strict=True):
            row += [f"{number:,}", "unknown" if published is None else f"{published:,}"]
        rows.append(row)
    warnings = ""
    if copy.rejected:
        warnings += (
            f"\n**Incomplete**: {len(copy.rejected)} annotated images are missing or unreadable (`rejected.jsonl`). "
            "Scores on this copy are not comparable with published ones.\n"
        )
    if copy.differing:
        warnings += (
            f"\n**Not the official {title}** but data in its layout: {'; '.join(copy.differing)}. Scores on it are not "
            "comparable with published ones.\n"
        )
    column_texts = [
        ("`image`", "the image"),
        ("`image_id`", "`file_path` without its suffix"),
        ("`person_id`", "the benchmark's number of the person"),
        ("`captions`", "descriptions of this very image"),
        ("`file_path`", "path in the benchmark's image folder"),
    ]
    body = f"""\
# {title}

Images of people with captions, read from the benchmark's official layout by
`python -m dataset_builders.benchmarks`. The captions and splits are those of the annotation file (sha256
`{copy.benchmark.annotation_sha256[:12]}`). Each row holds one image; every caption of a test image is a query.
{warnings}
{markdown_table(head, rows)}

{markdown_table(("column", "content"), column_texts)}

## Licence, use, privacy

The benchmark's own terms bind whoever uses this copy. It is for measuring retrieval in research. It shows people who
did not choose to be in it, so do not publish the images further than those terms allow, and do not use it to identify
anybody.
"""
    about = {
        "pretty_name": f"Data in {title}'s layout" if copy.differing else title,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["text-to-image", "image-to-text"],
        "tags": ["person-retrieval", "text-to-image-person-re-identification"],
    }
    write_card(folder, COLUMNS, copy.sizes, about, body)
