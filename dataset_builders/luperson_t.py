"""Build LUPerson-T: unlabelled person images -> pseudo-texts, by divide, conquer and combine (UniPT, section 3.1).

python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 --output my-luperson-t
"""

import argparse
import hashlib
import itertools
import os
import re
import shutil
from pathlib import Path

from modeling_unipt.image_files import find_images, write_rejected
from modeling_unipt.output_folders import finish_output, start_output
from modeling_unipt.user_errors import UserError, run_command

from .agreement import agreement_of_dataset, match_truth, read_truth
from .combine import Captioner
from .divide import load_vocabulary
from .luperson_t_card import Statistics, write_luperson_t_card
from .parquet_dataset import SHARD_ROWS, ShardWriter, arrow_schema, shard_paths
from .source_images import fingerprint, image_ids, read_batches, readable

CAPTION_BACKEND = "templates"
SCORER_FILES = {".safetensors", ".bin", ".json", ".txt", ".model"}
DTYPES = ("float32", "bfloat16", "float16")


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


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.luperson_t",
        description="Write descriptions of unlabelled person images. A frozen CLIP scores the phrases of 14 attributes "
        "against each image, and sentence templates make captions of the phrases that fit best. The result is a folder "
        "of Parquet shards with a dataset card, for load_dataset and for train/pretrain.py.",
        epilog="example: python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 "
        "--output my-luperson-t --workers 4",
    )
    parser.add_argument("--images", required=True, help="folder of person crops, searched with all its sub-folders")
    parser.add_argument(
        "--scorer", required=True, help="CLIP- or SigLIP-style model, a folder or a name on the Hugging Face Hub"
    )
    parser.add_argument("--output", required=True, help="folder for the dataset; must be new")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the drawing of templates and synonyms (default: %(default)s)"
    )
    parser.add_argument(
        "--captions-per-image", type=int, default=1, metavar="K", help="each by another template (default: %(default)s)"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="ATTRIBUTE",
        help="an attribute that is neither scored nor written, such as gender or age; may be repeated",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images scored at once (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=1, help="threads that read and decode images (default: %(default)s)"
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="precision of the scorer's matrix products (default: %(default)s)",
    )
    parser.add_argument(
        "--license", default="other", help="licence of the images, as the Hub names it (default: %(default)s)"
    )
    parser.add_argument(
        "--truth",
        metavar="FILE",
        help="truth.jsonl with the known attributes of these images; adds a table of agreement to the dataset card and "
        "changes nothing else",
    )
    arguments = parser.parse_args(argv)
    for name in ("captions_per_image", "batch_size", "workers"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(arguments, name)} must be at least 1")
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed} must not be negative")
    return arguments


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


def build(folder, arguments, vocabulary, captioner, paths):
    """Fill the work folder: shards, ``rejected.jsonl``, ``statistics.json``, card. Returns the :class:`Statistics`."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    from tqdm import tqdm

    from .conquer import Scorer

    scorer = Scorer(arguments.scorer, vocabulary, dtype=getattr(torch, arguments.dtype))
    columns, ids = columns_of(vocabulary), image_ids(paths)
    schema, statistics, rejected = arrow_schema(columns), Statistics(vocabulary), []
    with tqdm(total=len(paths), desc="LUPerson-T", unit="image") as bar:
        for shard, relative in enumerate(shard_paths("train", len(paths))):
            begin = shard * SHARD_ROWS
            shard_images = paths[begin : begin + SHARD_ROWS]
            with ShardWriter(folder / relative, schema) as writer:
                batches = read_batches(
                    arguments.images, shard_images, arguments.batch_size, arguments.workers, scorer.pixels
                )
                for batch in batches:
                    usable = [(ids[begin + position], image) for position, image in batch if not isinstance(image, str)]
                    rejected += [
                        (readable(shard_images[position]), reason)
                        for position, reason in batch
                        if isinstance(reason, str)
                    ]
                    for row in rows_of(usable, scorer, captioner, arguments) if usable else ():
                        writer.write(row)
                        statistics.add(row)
                    bar.update(len(batch))
            statistics.bytes += writer.bytes
    write_rejected(folder / "rejected.jsonl", rejected)
    statistics.rejected = len(rejected)
    if not statistics.images:
        raise UserError(
            f"none of the {len(paths)} image files in {arguments.images} can be used; the first, {rejected[0][0]}, "
            f"is refused because: {rejected[0][1]}"
        )
    statistics.write(folder / "statistics.json")
    table = agreement_of_dataset(folder, arguments.truth, vocabulary) if arguments.truth else None
    revision = getattr(scorer.model.config, "_commit_hash", None)
    write_luperson_t_card(folder, arguments, columns, vocabulary, captioner, statistics, revision, table)
    return statistics


def rows_of(usable, scorer, captioner, arguments):
    """The rows of one batch: score the images, choose phrases, write captions and score those.

    Args:
        usable: list of (image_id, SourceImage).
    """
    import numpy as np

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
    paths = find_images(arguments.images)
    settings = {
        "images": fingerprint(arguments.images, paths),
        "scorer": scorer_identity(arguments.scorer),
        "seed": arguments.seed,
        "captions_per_image": arguments.captions_per_image,
        "without": sorted(set(arguments.without)),
        "dtype": arguments.dtype,
        "license": arguments.license,
        "vocabulary": whole_vocabulary.sha256[:12],
        "templates": captioner.template_set.sha256[:12],
        "truth": None,
    }
    if arguments.truth:
        match_truth(image_ids(paths), read_truth(arguments.truth), arguments.truth)
        settings["truth"] = hashlib.sha256(Path(arguments.truth).read_bytes()).hexdigest()[:12]
    folder = start_output(arguments.output, settings)
    if folder is None:
        return
    try:
        statistics = build(folder, arguments, vocabulary, captioner, paths)
    except UserError:
        shutil.rmtree(folder)
        raise
    finish_output(folder, arguments.output)
    refused = f"; {statistics.rejected} files were refused, see rejected.jsonl in it" if statistics.rejected else ""
    print(f"wrote {arguments.output}: {statistics.images} images, {statistics.captions} captions{refused}")


if __name__ == "__main__":
    run_command(main)
