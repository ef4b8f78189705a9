"""Build LUPerson-T: unlabelled person images -> pseudo-texts, by divide, conquer and combine (UniPT, section 3.1).

    python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 --output my-luperson-t

The images are read (source_images), refused where asked (image_checks), described and written shard by shard
(write_shard); then near-duplicates are marked in the finished shards from their hashes (near_duplicates).
"""

import hashlib
import itertools
import os
import re
import shutil
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modeling_unipt.image_files import write_rejected
from modeling_unipt.output_folders import finish_output, start_output
from modeling_unipt.user_errors import UserError, run_command

from .agreement import agreement_of_dataset, match_truth, read_truth
from .combine import Captioner
from .divide import load_vocabulary
from .image_checks import Exclusion, ImageChecks
from .image_sources import open_source
from .luperson_t_card import statistics_of, write_luperson_t_card
from .luperson_t_options import parse
from .near_duplicates import find_duplicates, mark_shard
from .parquet_dataset import SHARD_ROWS, ShardWriter, arrow_schema, shard_paths
from .source_images import read_batches

CAPTION_BACKEND = "templates"
SCORER_FILES = {".safetensors", ".bin", ".json", ".txt", ".model"}


def columns_of(vocabulary):
    """The columns of LUPerson-T, name -> type as :mod:`dataset_builders.parquet_dataset` writes them."""
    return {
        "image": "image",
        "image_id": "string",
        "captions": ["string"],
        "caption_scores": ["float32"],
        "caption_backends": ["string"],
        "attributes": {name: "string" for name in vocabulary.attributes},
        "attribute_probabilities": {
            name: {part: ["float32"] for part in attribute.parts} if attribute.parts else ["float32"]
            for name, attribute in vocabulary.attributes.items()
        },
        "duplicate_of": "string",
    }


def scorer_identity(name):
    """The scorer's name and, for a folder, a hash of its files' content.

    Raises:
        UserError: ``name`` can be neither a folder that exists nor a name on the Hub.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
            raise UserError(f"scorer '{name}' is neither a folder with a CLIP model nor a name on the Hub")
        return name
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in SCORER_FILES and path.is_file():
            digest.update(path.name.encode())
            with open(path, "rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{os.path.basename(os.path.abspath(name))}, {digest.hexdigest()[:12]}"


@dataclass
class Shard:
    """What is remembered of a shard: positions in the source and hashes of the images used, (position, reason) of those
    refused, and the size of its rows in memory. 16 bytes an image used."""

    path: Path
    used: array = field(default_factory=lambda: array("Q"))
    hashes: array = field(default_factory=lambda: array("Q"))
    rejected: list = field(default_factory=list)
    bytes: int = 0


def build(folder, arguments, vocabulary, captioner, source, check):
    """Fill the work folder: shards, ``rejected.jsonl``, ``statistics.json``, card. Returns the :class:`Statistics`."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    from tqdm import tqdm

    from .conquer import Scorer

    scorer = Scorer(arguments.scorer, vocabulary, dtype=getattr(torch, arguments.dtype))
    columns, shards = columns_of(vocabulary), []
    schema = arrow_schema(columns)
    with tqdm(total=len(source), desc="LUPerson-T", unit="image") as bar:
        for number, relative in enumerate(shard_paths("train", len(source))):
            positions = range(len(source))[number * SHARD_ROWS : (number + 1) * SHARD_ROWS]
            shards.append(
                write_shard(
                    folder / relative, schema, source, positions, scorer, captioner, arguments, check, bar.update
                )
            )
    rejected = sorted(itertools.chain.from_iterable(shard.rejected for shard in shards))
    if len(rejected) == len(source):
        raise UserError(
            f"none of the {len(source)} images in {arguments.images} can be used; the first, "
            f"{source.name(rejected[0][0])}, is refused because: {rejected[0][1]}"
        )
    rejected += mark_duplicates(shards, schema, source, arguments)
    write_rejected(folder / "rejected.jsonl", [(source.name(at), reason) for at, reason in sorted(rejected)])
    statistics = statistics_of([shard.path for shard in shards], vocabulary)
    statistics.rejected, statistics.bytes = len(rejected), sum(shard.bytes for shard in shards)
    statistics.write(folder / "statistics.json")
    table = agreement_of_dataset(folder, arguments.truth, vocabulary) if arguments.truth else None
    revision = getattr(scorer.model.config, "_commit_hash", None)
    write_luperson_t_card(folder, arguments, columns, vocabulary, captioner, statistics, revision, table)
    return statistics


def write_shard(path, schema, source, positions, scorer, captioner, arguments, check, progress):
    """Describe the images at a range of positions of a source and write them to one Parquet file.

    Args:
        check: see :func:`dataset_builders.source_images.read_source_image`.
        progress: called with the number of images done, used or refused, after each batch.
    Returns:
        :class:`Shard`.
    """
    shard = Shard(path)
    batches = read_batches(source, positions, arguments.batch_size, arguments.workers, scorer.pixels, check)
    with ShardWriter(path, schema) as writer:
        for batch in batches:
            usable = [(position, image) for position, image in batch if not isinstance(image, str)]
            shard.rejected += [(position, reason) for position, reason in batch if isinstance(reason, str)]
            shard.used.extend(position for position, _ in usable)
            shard.hashes.extend(image.hash for _, image in usable)
            named = [(source.ids[position], image) for position, image in usable]
            for row in rows_of(named, scorer, captioner, arguments) if named else ():
                writer.write(row)
            progress(len(batch))
    shard.bytes = writer.bytes
    return shard


def mark_duplicates(shards, schema, source, arguments):
    """The last pass, over the hashes alone: fill ``duplicate_of`` in the finished shards, or leave duplicates out.

    Returns:
        (position, reason) of the images left out.
    """
    used = np.concatenate([np.frombuffer(shard.used, np.uint64) for shard in shards])
    hashes = np.concatenate([np.frombuffer(shard.hashes, np.uint64) for shard in shards])
    originals, begin, dropped = find_duplicates(hashes, arguments.duplicate_distance), 0, []
    for shard in shards:
        part = originals[begin : begin + len(shard.used)]
        begin += len(shard.used)
        repeats = {
            position: source.ids[used[original]]
            for position, original in zip(shard.used, part, strict=True)
            if original >= 0
        }
        by_id = {source.ids[position]: original for position, original in repeats.items()}
        size = mark_shard(shard.path, schema, by_id, arguments.drop_duplicates)
        shard.bytes = shard.bytes if size is None else size
        if arguments.drop_duplicates:
            dropped += [(position, f"near-duplicate of {original}") for position, original in repeats.items()]
    return dropped


def rows_of(usable, scorer, captioner, arguments):
    """The rows of one batch: score the images, choose phrases, write captions and score those.

    Args:
        usable: list of (image_id, SourceImage).
    """
    from .conquer import decide

    embeds = scorer.embed_pixels(np.stack([image.pixels for _, image in usable]))
    probabilities = scorer.probabilities_of(embeds)
    chosen = decide(probabilities, scorer.vocabulary)
    count = arguments.captions_per_image
    captions = [
        captioner.captions(choices, arguments.seed, image_id, count)
        for (image_id, _), choices in zip(usable, chosen, strict=True)
    ]
    flat = list(itertools.chain.from_iterable(captions))
    scores = scorer.caption_scores(embeds.repeat_interleave(count, dim=0), flat).reshape(len(usable), count)
    stored = {
        name: attribute.marginals(probabilities[name]) if attribute.parts else probabilities[name]
        for name, attribute in scorer.vocabulary.attributes.items()
    }
    for index, (image_id, image) in enumerate(usable):
        yield {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": image_id,
            "captions": captions[index],
            "caption_scores": scores[index],
            "caption_backends": [CAPTION_BACKEND] * count,
            "attributes": {name: choice.phrase if choice else None for name, choice in chosen[index].items()},
            "attribute_probabilities": {
                name: {part: table[index] for part, table in values.items()}
                if isinstance(values, dict)
                else values[index]
                for name, values in stored.items()
            },
            "duplicate_of": None,
        }


def main(argv=None):
    arguments = parse(argv)
    whole_vocabulary = load_vocabulary()
    vocabulary = whole_vocabulary.without(arguments.without)
    captioner = Captioner(whole_vocabulary)
    source = open_source(arguments.images)
    benchmarks = [(Path(spec).name, open_source(spec)) for spec in arguments.exclude]
    settings = {
        "images": source.fingerprint,
        "scorer": scorer_identity(arguments.scorer),
        "seed": arguments.seed,
        "captions_per_image": arguments.captions_per_image,
        "without": sorted(set(arguments.without)),
        "dtype": arguments.dtype,
        "license": arguments.license,
        "vocabulary": whole_vocabulary.sha256[:12],
        "templates": captioner.template_set.sha256[:12],
        "truth": None,
        "quality": {name: limit for name, limit in vars(arguments.quality).items() if limit is not None} or None,
        "exclude": [[label, benchmark.fingerprint] for label, benchmark in benchmarks] or None,
        "duplicate_distance": arguments.duplicate_distance,
        "drop_duplicates": arguments.drop_duplicates or None,
    }
    if arguments.truth:
        match_truth(source.ids, read_truth(arguments.truth), arguments.truth)
        settings["truth"] = hashlib.sha256(Path(arguments.truth).read_bytes()).hexdigest()[:12]
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        exclusion = Exclusion(arguments.duplicate_distance)
        for label, benchmark in benchmarks:
            if unread := exclusion.add(label, benchmark, arguments.workers):
                print(f"{unread} images of {label} cannot be read, so their copies cannot be refused")
        check = ImageChecks(arguments.quality, exclusion)
        statistics = build(folder, arguments, vocabulary, captioner, source, check)
    except UserError:
        shutil.rmtree(folder)
        raise
    finish_output(folder, arguments.output)
    refused = f"; {statistics.rejected} files were refused, see rejected.jsonl in it" if statistics.rejected else ""
    refused += f"; {statistics.duplicates} are near-duplicates of others" if statistics.duplicates else ""
    print(f"wrote {arguments.output}: {statistics.images} images, {statistics.captions} captions{refused}")


if __name__ == "__main__":
    run_command(main)
