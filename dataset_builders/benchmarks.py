"""Read a benchmark of text-to-image person retrieval in its official layout into a Parquet dataset with its splits.

    python -m dataset_builders.benchmarks cuhk-pedes --source CUHK-PEDES --output cuhk-pedes

Each row is one image: ``image``, ``image_id``, ``person_id``, ``captions``, ``file_path``.
"""

import argparse
import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modeling_unipt.image_files import write_rejected
from modeling_unipt.output_folders import finish_output, start_output
from modeling_unipt.user_errors import UserError, run_command

from .image_sources import FolderSource
from .parquet_dataset import SHARD_ROWS, ShardWriter, arrow_schema, shard_paths, write_card
from .source_images import fingerprint, read_batches, readable

COLUMNS = {
    "image": "image",
    "image_id": "string",
    "person_id": "int64",
    "captions": ["string"],
    "file_path": "string",
}
SPLITS = ("train", "val", "test")
BATCH = 64


@dataclass(frozen=True)
class Record:
    """One annotated image; ``file_path`` is relative to the benchmark's image folder."""

    split: str
    file_path: str
    person_id: int
    captions: list


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read: its records in the annotation's order, their image folder, the annotation file's hash."""

    title: str
    images: Path
    records: list
    annotation_sha256: str


def read_cuhk_pedes(source):
    """CUHK-PEDES: ``reid_raw.json`` beside ``imgs/``, a list of {split, captions, file_path, processed_tokens, id}.

    Raises:
        UserError: a file or key is missing or not what it should be.
    """
    source = Path(source)
    if not source.is_dir():
        raise UserError(f"folder {source} does not exist; give the folder that holds reid_raw.json and imgs/")
    annotation = source / "reid_raw.json"
    if not annotation.is_file():
        if (source / "caption_all.json").is_file():
            raise UserError(
                f"{source} holds caption_all.json, which does not say the split of an image; "
                "the loader needs reid_raw.json, which the benchmark's authors ship beside it"
            )
        raise UserError(f"{source} holds no reid_raw.json; give the folder that holds reid_raw.json and imgs/")
    if not (source / "imgs").is_dir():
        raise UserError(f"{source} holds reid_raw.json and no folder imgs/ with the images")
    content = annotation.read_bytes()
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise UserError(f"{annotation} is not valid JSON ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{annotation} must be a JSON list of images that is not empty")
    records = [_record(annotation, number, entry) for number, entry in enumerate(entries)]
    twice = [path for path, times in Counter(record.file_path for record in records).items() if times > 1]
    if twice:
        raise UserError(f"{annotation} lists {len(twice)} images more than once, such as '{twice[0]}'")
    return Benchmark("CUHK-PEDES", source / "imgs", records, hashlib.sha256(content).hexdigest())


def _record(annotation, number, entry):
    where = f"{annotation}: entry {number} (counted from 0)"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a mapping")
    for key in ("split", "captions", "file_path", "id"):
        if key not in entry:
            hint = "; caption_all.json has no splits, give reid_raw.json" if key == "split" else ""
            raise UserError(f"{where} lacks the key '{key}'{hint}")
    split, captions, path, person = (entry[key] for key in ("split", "captions", "file_path", "id"))
    if split not in SPLITS:
        raise UserError(f"{where} has the split '{split}', which is none of {', '.join(SPLITS)}")
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        raise UserError(f"{where}: 'captions' must be a list of texts that is not empty")
    if not isinstance(person, int) or isinstance(person, bool):
        raise UserError(f"{where}: 'id' must be a whole number, not {person!r}")
    if not isinstance(path, str) or not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{where}: 'file_path' must be a path below imgs/, not {path!r}")
    return Record(split, path, person, [text.strip() for text in captions])


READERS = {"cuhk-pedes": read_cuhk_pedes}


def build(folder, benchmark, paths, workers):
    """Write the splits of ``benchmark`` to ``folder``; ``paths``: index of a usable record -> relative path.

    Returns:
        (split -> number of rows, list of (file, reason) refused).
    """
    from tqdm import tqdm

    records = [benchmark.records[index] for index in paths]
    source = FolderSource(benchmark.images, list(paths.values()))
    schema, rejected, splits, counts = arrow_schema(COLUMNS), [], {}, {}
    present = [split for split in SPLITS if any(record.split == split for record in benchmark.records)]
    with tqdm(total=len(paths), desc=benchmark.title, unit="image") as bar:
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


def write_benchmark_card(folder, benchmark, splits, counts, rejected, license_name):
    rows = "\n".join(
        f"| {split} | {count['identities']} | {count['images']} | {count['captions']} |"
        for split, count in counts.items()
    )
    incomplete = (
        f"\n**Incomplete**: {len(rejected)} annotated images are missing or unreadable (`rejected.jsonl`). Scores on "
        "this copy are not comparable with published ones.\n"
        if rejected
        else ""
    )
    body = f"""\
# {benchmark.title}

Images of people with captions, read from the benchmark's official layout by
`python -m dataset_builders.benchmarks`; the captions and splits are the annotation file's own (sha256
`{benchmark.annotation_sha256[:12]}`). One row is one image; every caption of a test image is a query.
{incomplete}
| split | identities | images | captions |
|---|---|---|---|
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
        "pretty_name": benchmark.title,
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
    for name, reader in READERS.items():
        summary = reader.__doc__.splitlines()[0].replace("``", "")
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--source", required=True, help="folder of the benchmark as its authors ship it")
        command.add_argument("--output", required=True, help="folder for the dataset; must be new")
        command.add_argument("--allow-partial", action="store_true", help="go on where annotated images are missing")
        command.add_argument("--workers", type=int, default=1, help="threads that read and decode images (default: 1)")
        command.add_argument("--license", default="other", help="licence named in the dataset card (default: other)")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers} must be at least 1")
    return arguments


def main(argv=None):
    arguments = parse(argv)
    benchmark = READERS[arguments.benchmark](arguments.source)
    listed = {index: Path(record.file_path) for index, record in enumerate(benchmark.records)}
    paths = {index: path for index, path in listed.items() if (benchmark.images / path).is_file()}
    missing = [str(path) for index, path in listed.items() if index not in paths]
    if missing and not (arguments.allow_partial and paths):
        hint = "; complete the images, or pass --allow-partial to go on without them" if paths else ""
        raise UserError(
            f"{len(missing)} of {len(listed)} annotated images are missing in {benchmark.images}, "
            f"such as {missing[0]}{hint}"
        )
    settings = {
        "benchmark": arguments.benchmark,
        "annotation": benchmark.annotation_sha256[:12],
        "images": fingerprint(benchmark.images, list(paths.values())),
        "license": arguments.license,
    }
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        splits, counts, rejected = build(folder, benchmark, paths, arguments.workers)
    except UserError:
        shutil.rmtree(folder)
        raise
    rejected = [(path, "missing") for path in missing] + rejected
    write_rejected(folder / "rejected.jsonl", [(readable(path), reason) for path, reason in rejected])
    write_benchmark_card(folder, benchmark, splits, counts, rejected, arguments.license)
    finish_output(folder, arguments.output)
    told = ", ".join(
        f"{split} {count['images']} images of {count['identities']} people" for split, count in counts.items()
    )
    refused = (
        f"; {len(rejected)} annotated images are missing or unreadable (rejected.jsonl), so scores are not comparable "
        "with published ones"
        if rejected
        else ""
    )
    print(f"wrote {arguments.output}: {told}{refused}")


if __name__ == "__main__":
    run_command(main)
