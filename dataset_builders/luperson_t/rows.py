"""The rows of LUPerson-T: images scored, phrases chosen, captions written, shard by shard."""

import io
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from modeling_unipt.common.parallel import map_ahead
from modeling_unipt.sources.base import read_batches

from ..output.parquet_dataset import ShardWriter, arrow_schema

CAPTION_BACKEND = "templates"


def columns_of(vocabulary):
    """The columns of LUPerson-T, name -> type as :mod:`dataset_builders.output.parquet_dataset` writes them."""
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


@dataclass
class Tools:
    """What describes images: the ``recipe``, a :class:`dataset_builders.conquer.scorer.PaperRecipe` or a
    :class:`dataset_builders.conquer.best_recipe.BestRecipe`, the ``captioner`` of templates and, or None, the
    ``image_captioner``; the ``check`` that refuses images while they are read, see
    :func:`modeling_unipt.sources.reading.read_source_image`, and the ``subject_check`` or None that refuses them when
    they are embedded, a :class:`dataset_builders.checks.subject_check.SubjectCheck`; ``lanes`` is the number of batches
    described at once.
    """

    recipe: object
    captioner: object
    image_captioner: object
    check: object
    subject_check: object
    lanes: int

    @property
    def scorer(self):
        return self.recipe.scorer


def write_shard(path, source, positions, tools, arguments, progress):
    """Describe the images at a range of positions of a source and write them to one Parquet file.

    Args:
        progress: called with the number of images done, used or refused, after each batch.
    Returns:
        What is remembered of the shard, JSON-able: ``used``, the positions of the images used, and their ``hashes``;
        ``rejected``, [position, reason] of those refused; ``bytes``, the size of its rows in memory.
    """
    record = {"used": [], "hashes": [], "rejected": []}
    batches = read_batches(source, positions, arguments.batch_size, arguments.workers, tools.recipe.pixels, tools.check)

    def described(batch):
        usable = [(source.ids[position], image) for position, image in batch if not isinstance(image, str)]
        made = iter(rows_of(usable, tools, arguments) if usable else [])
        return [(position, image, image if isinstance(image, str) else next(made)) for position, image in batch]

    with ShardWriter(path, arrow_schema(columns_of(tools.scorer.vocabulary))) as writer:
        for batch in map_ahead(described, batches, tools.lanes, 2 * tools.lanes):
            for position, image, row in batch:
                if isinstance(row, str):
                    record["rejected"].append([position, row])
                else:
                    record["used"].append(position)
                    record["hashes"].append(image.examined)
                    writer.write(row)
            progress(len(batch))
    return {**record, "bytes": writer.bytes}


def rows_of(usable, tools, arguments):
    """The rows of one batch: score the images, refuse some, choose phrases, write captions and score those.

    Args:
        usable: list of (image_id, SourceImage).
    Returns:
        List of dicts, as :func:`columns_of` names their keys, or the reason why the image is refused.
    """
    scorer = tools.scorer
    embeds, stored, chosen = tools.recipe.describe(np.stack([image.pixels for _, image in usable]))
    refusals = tools.subject_check.reasons(embeds) if tools.subject_check else [None] * len(usable)
    kept = [index for index, refusal in enumerate(refusals) if refusal is None]
    if not kept:
        return refusals
    captions = [
        tools.captioner.captions(chosen[index], arguments.seed, usable[index][0], arguments.captions_per_image)
        for index in kept
    ]
    backends = [[CAPTION_BACKEND] * len(texts) for texts in captions]
    if tools.image_captioner is not None:
        pictures = [Image.open(io.BytesIO(image.data)).convert("RGB") for _, image in map(usable.__getitem__, kept)]
        for texts, names, told in zip(captions, backends, tools.image_captioner.captions(pictures), strict=True):
            if told:
                texts.append(told)
                names.append(arguments.captioner)
    counts = torch.tensor([len(texts) for texts in captions], device=embeds.device)
    flat = list(itertools.chain.from_iterable(captions))
    scores = scorer.caption_scores(embeds[kept].repeat_interleave(counts, dim=0), flat)
    scores = np.split(scores, np.cumsum(counts.tolist())[:-1])
    rows = list(refusals)
    for number, index in enumerate(kept):
        image_id, image = usable[index]
        rows[index] = {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": image_id,
            "captions": captions[number],
            "caption_scores": scores[number],
            "caption_backends": backends[number],
            "attributes": {name: choice.phrase if choice else None for name, choice in chosen[index].items()},
            "attribute_probabilities": {
                name: {part: table[index] for part, table in values.items()}
                if isinstance(values, dict)
                else values[index]
                for name, values in stored.items()
            },
            "duplicate_of": None,
        }
    return rows
