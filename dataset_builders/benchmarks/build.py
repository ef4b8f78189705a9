"""Read a benchmark of text-to-image person retrieval in its official layout into a Parquet dataset with its splits.

    python -m dataset_builders.benchmarks cuhk-pedes --source CUHK-PEDES --output cuhk-pedes
    python -m dataset_builders.benchmarks icfg-pedes --source ICFG-PEDES --output icfg-pedes
    python -m dataset_builders.benchmarks rstpreid --source RSTPReid --output rstpreid
    python -m dataset_builders.benchmarks ufine6926 --source UFine6926 --output ufine6926

Each row is one image: ``image``, ``image_id``, ``person_id``, ``captions``, ``file_path``. The numbers of people,
images and captions of each split must be the published ones; ``--allow-partial`` goes on without, and the card says so.
"""

import argparse
import shutil
from pathlib import Path

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import read_batches
from modeling_unipt.sources.open import FolderSource
from modeling_unipt.sources.reading import fingerprint, readable

from ..output.parquet_dataset import SHARD_ROWS, ShardWriter, arrow_schema, shard_paths, write_card
from .checks import OFFICIAL, check_counts, check_images, check_readable
from .layouts import LAYOUTS, SPLITS, read_benchmark

COLUMNS = {
    "image": "image",
    "image_id": "string",
    "person_id": "int64",
    "captions": ["string"],
    "file_path": "string",
}
BATCH = 64


def build(folder, benchmark, records, workers):
    """Write the splits of ``benchmark`` to ``folder``; ``records``: those whose image is there.

    Returns:
        (split -> rows and bytes, split -> identities, images and captions, list of (file, reason) refused).
    """
    from tqdm import tqdm

    source = FolderSource(benchmark.images, [Path(record.file_path) for record in records])
    schema, rejected, splits, counts = arrow_schema(COLUMNS), [], {}, {}
    present = [split for split in SPLITS if any(record.split == split for record in benchmark.records)]
    with tqdm(total=len(records), desc=benchmark.title, unit="image") as bar:
        for split in present:
            positions = [position for position, record in enumerate(records) if record.split == split]
            splits[split] = {"num_bytes": 0, "num_examples": 0}
            people, captions = set(), 0
            for shard, relative in enumerate(shard_paths(split, len(positions))):
                in_shard = positions[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS]
                with ShardWriter(folder / relative, schema) as writer:
                    for batch in read_batches(source, in_shard, BATCH, workers):
                        for position, image in batch:
                            record = records[position]
                            if isinstance(image, str):
                                rejected.append((record.file_path, image))
                                continue
                            people.add(record.person_id)
                            captions += len(record.captions)
                            writer.write(
                                {
                                    "image": {"bytes": image.data, "path": image.file_name},
                                    "image_id": source.ids[position],
                                    "person_id": record.person_id,
                                    "captions": record.captions,
                                    "file_path": readable(record.file_path),
                                }
                            )
                        bar.update(len(batch))
                splits[split]["num_bytes"] += writer.bytes
                splits[split]["num_examples"] += writer.rows
            counts[split] = {"identities": len(people), "images": splits[split]["num_examples"], "captions": captions}
    for split, count in counts.items():
        if not count["images"]:
            raise UserError(f"no image of the split '{split}' can be read; the first reason: {rejected[0][1]}")
    return splits, counts, rejected


def write_benchmark_card(folder, benchmark, splits, counts, rejected, differing, license_name):
    def cells(split, count):
        official = OFFICIAL[benchmark.name].get(split, (None,) * 3)
        told = ["unknown" if number is None else f"{number:,}" for number in official]
        return " | ".join(f"{number:,} | {should}" for number, should in zip(count.values(), told, strict=True))

    rows = "\n".join(f"| {split} | {cells(split, count)} |" for split, count in counts.items())
    incomplete = ""
    if rejected:
        incomplete += (
            f"\n**Incomplete**: {len(rejected)} annotated images are missing or unreadable (`rejected.jsonl`). Scores "
            "on this copy are not comparable with published ones.\n"
        )
    if differing:
        incomplete += (
            f"\n**Not the official {benchmark.title}** but data in its layout: {'; '.join(differing)}. Scores on it "
            "are not comparable with published ones.\n"
        )
    body = f"""\
# {benchmark.title}

Images of people with captions, read from the benchmark's official layout by
`python -m dataset_builders.benchmarks`; the captions and splits are the annotation file's own (sha256
`{benchmark.annotation_sha256[:12]}`). One row is one image; every caption of a test image is a query.
{incomplete}
| split | identities | official | images | official | captions | official |
|---|---|---|---|---|---|---|
{rows}

| column | content |
|---|---|
| `image` | the picture |
| `image_id` | `file_path` without its suffix |
| `person_id` | the benchmark's number of the person |
| `captions` | descriptions of this very image |
| `file_path` | path in the benchmark's image folder |

## Licence, use, privacy

The benchmark's own terms bind whoever uses this copy. It is for measuring retrieval in research; it shows people who
did not choose to be in it, so do not publish the images further than those terms allow, and do not use it to identify
anybody.
"""
    about = {
        "pretty_name": f"Data in {benchmark.title}'s layout" if differing else benchmark.title,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["text-to-image", "image-to-text"],
        "tags": ["person-retrieval", "text-to-image-person-re-identification"],
    }
    write_card(folder, COLUMNS, splits, about, body)


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.benchmarks",
        description="Read a benchmark in its official layout into a folder of Parquet shards with its splits, for "
        "load_dataset, train/finetune.py and train/evaluate_retrieval.py.",
        epilog="example: python -m dataset_builders.benchmarks cuhk-pedes --source CUHK-PEDES --output cuhk-pedes",
    )
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, layout in LAYOUTS.items():
        beside = f"{layout.annotations[0]} beside {layout.images or 'images'}/"
        command = commands.add_parser(name, help=f"{layout.title}: {beside}", description=f"{layout.title}: {beside}.")
        command.add_argument("--source", required=True, help="folder of the benchmark as its authors ship it")
        command.add_argument("--output", required=True, help="folder for the dataset; must be new")
        command.add_argument(
            "--allow-partial",
            action="store_true",
            help="go on where images are missing or unreadable or the numbers are not the published ones: a subset, or "
            "other data in this layout",
        )
        command.add_argument("--workers", type=int, default=1, help="threads that read and decode images (default: 1)")
        command.add_argument("--license", default="other", help="licence named in the dataset card (default: other)")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers} must be at least 1")
    return arguments


def main(argv=None):
    arguments = parse(argv)
    benchmark = read_benchmark(arguments.benchmark, arguments.source)
    differing = check_counts(benchmark, arguments.allow_partial)
    records = [record for record in benchmark.records if (benchmark.images / record.file_path).is_file()]
    missing = check_images(benchmark, records, arguments.allow_partial)
    settings = {
        "benchmark": arguments.benchmark,
        "annotation": benchmark.annotation_sha256[:12],
        "images": fingerprint(benchmark.images, [Path(record.file_path) for record in records]),
        "license": arguments.license,
    }
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        splits, counts, rejected = build(folder, benchmark, records, arguments.workers)
        check_readable(benchmark, rejected, arguments.allow_partial)
    except BaseException:
        shutil.rmtree(folder)
        raise
    rejected = [(path, "missing") for path in missing] + rejected
    write_rejected(folder / "rejected.jsonl", [(readable(path), reason) for path, reason in rejected])
    write_benchmark_card(folder, benchmark, splits, counts, rejected, differing, arguments.license)
    finish_output(folder, arguments.output)
    told = ", ".join(
        f"{split} {count['images']} images of {count['identities']} people" for split, count in counts.items()
    )
    print(f"wrote {arguments.output}: {told}")
    if rejected:
        print(f"{len(rejected)} annotated images are missing or unreadable (rejected.jsonl): scores are not comparable")
    if differing:
        print(f"not the official {benchmark.title}, so scores are not comparable: {differing[0]}")
