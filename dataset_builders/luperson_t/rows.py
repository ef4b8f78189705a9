"""The rows of LUPerson-T: images are scored, phrases chosen, captions written, shard by shard."""

import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_unipt.common.parallel import map_ahead
from modeling_unipt.sources.base import Source, read_batches
from modeling_unipt.sources.reading import SourceImage

from ..checks.image_checks import ImageChecks
from ..checks.subject_check import SubjectCheck
from ..combine.captioner import Captioner
from ..combine.image_captioner import ImageCaptioner
from ..conquer.base import Recipe, StoredProbabilities
from ..divide.vocabulary import Chosen
from ..output.parquet_dataset import Row, ShardWriter, arrow_schema
from ..output.shards import Record
from .columns import columns_of

# What the column caption_backends says of a caption that was made from a template.
CAPTION_BACKEND = "templates"


@dataclass(frozen=True)
class Tools:
    """What describes images, and how.

    Attributes:
        images: where the images are, as the user named it.
        recipe: says what is seen in an image.
        captioner: makes captions of that, by templates.
        seed: seed of the choice among templates and synonyms.
        captions_per_image: number of captions by templates.
        image_captioner: a model that writes one more caption from the image itself, or None.
        image_captioner_name: what caption_backends says of that caption.
        checks: refuse images while they are read.
        subject_check: refuses images once they are embedded, or None.
        batch_size: images scored at once.
        lanes: batches scored at once.
        workers: threads that read and decode images.
    """

    images: str
    recipe: Recipe
    captioner: Captioner
    seed: int
    captions_per_image: int
    image_captioner: ImageCaptioner | None
    image_captioner_name: str | None
    checks: ImageChecks
    subject_check: SubjectCheck | None
    batch_size: int
    lanes: int
    workers: int


def write_shard(
    path: Path, source: Source, positions: Sequence[int], tools: Tools, progress: Callable[[int], object]
) -> Record:
    """Describe the images at some positions of a source and write their rows to one Parquet file.

    Args:
        progress: called after each batch with the number of its images, used or refused.

    Returns:
        What is remembered of the shard, JSON-able: ``used``, the positions of the images used, and their ``hashes``;
        ``rejected``, [position, reason] of each image refused; ``bytes``, the size of the rows in memory.
    """
    recipe = tools.recipe
    used, hashes, rejected = [], [], []
    unnamed = []
    for position in positions:
        # Before it is read: the names of images cost nothing.
        reason = tools.checks.exclusion.reason_of_name(source.name(position), tools.images)
        if reason is None:
            unnamed.append(position)
        else:
            rejected.append([position, reason])
    progress(len(rejected))

    def described(batch: list[tuple[int, SourceImage | str]]) -> list[tuple[int, SourceImage | str, Row | str]]:
        """(position, image, row) of each image; a reason instead of the row, and of an unread image, where refused."""
        read = [(source.ids[position], image) for position, image in batch if isinstance(image, SourceImage)]
        rows = iter(rows_of(read, tools) if read else [])
        return [(position, image, next(rows) if isinstance(image, SourceImage) else image) for position, image in batch]

    batches = read_batches(source, unnamed, tools.batch_size, tools.workers, recipe.pixels, tools.checks)
    with ShardWriter(path, arrow_schema(columns_of(recipe.scorer.vocabulary))) as writer:
        # Twice as many batches as lanes: a lane that is done finds its next batch read.
        for batch in map_ahead(described, batches, tools.lanes, 2 * tools.lanes):
            for position, image, row in batch:
                if isinstance(row, str):
                    rejected.append([position, row])
                else:
                    used.append(position)
                    hashes.append(image.examined)
                    writer.write(row)
            progress(len(batch))
    return {"used": used, "hashes": hashes, "rejected": rejected, "bytes": writer.bytes}


def rows_of(images: Sequence[tuple[str, SourceImage]], tools: Tools) -> list[Row | str]:
    """The rows of one batch: score the images, refuse some, choose phrases, write captions and score those.

    Args:
        images: pairs of image_id and image, whose ``pixels`` the recipe has made.

    Returns:
        For each image its row, whose keys :func:`columns_of` names, or the reason why it is refused.
    """
    scorer = tools.recipe.scorer
    seen = tools.recipe.describe(np.stack([image.pixels for _, image in images]))
    rows: list[Row | str | None] = [None] * len(images)
    if tools.subject_check is not None:
        rows = tools.subject_check.reasons(seen.embeds)
    kept = [index for index, refusal in enumerate(rows) if refusal is None]
    if not kept:
        return rows
    captions, backends = _write_captions([(*images[index], seen.chosen[index]) for index in kept], tools)
    # Every caption meets the embedding of its own image: image i stands there as often as it has captions.
    counts = torch.tensor([len(texts) for texts in captions], device=seen.embeds.device)
    embeds = seen.embeds[kept].repeat_interleave(counts, dim=0)
    scores = scorer.caption_scores(embeds, list(itertools.chain.from_iterable(captions)))
    scores_by_image = np.split(scores, np.cumsum(counts.tolist())[:-1])
    for number, index in enumerate(kept):
        image_id, image = images[index]
        rows[index] = {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": image_id,
            "captions": captions[number],
            "caption_scores": scores_by_image[number],
            "caption_backends": backends[number],
            "attributes": {name: choice.phrase if choice else None for name, choice in seen.chosen[index].items()},
            "attribute_probabilities": _probabilities_of(seen.probabilities, index),
            # The end of the build fills this in; only then are all images known.
            "duplicate_of": None,
        }
    return rows


def _write_captions(
    images: Iterable[tuple[str, SourceImage, Chosen]], tools: Tools
) -> tuple[list[list[str]], list[list[str]]]:
    """The captions of each image, and who wrote each of them.

    Args:
        images: (image_id, image, what is said of it).
    """
    images = list(images)
    captions, backends = [], []
    for image_id, _, chosen in images:
        texts = tools.captioner.captions(chosen, tools.seed, image_id, tools.captions_per_image)
        captions.append(texts)
        backends.append([CAPTION_BACKEND] * len(texts))
    if tools.image_captioner is not None:
        decoded = [Image.open(io.BytesIO(image.data)).convert("RGB") for _, image, _ in images]
        for texts, names, text in zip(captions, backends, tools.image_captioner.captions(decoded), strict=True):
            # An empty text means that the model said nothing usable.
            if text:
                texts.append(text)
                names.append(tools.image_captioner_name)
    return captions, backends


def _probabilities_of(probabilities: StoredProbabilities, index: int) -> Row:
    """The value of the column attribute_probabilities for the image number ``index`` of a batch."""
    row = {}
    for name, table in probabilities.items():
        if isinstance(table, dict):
            row[name] = {part: values[index] for part, values in table.items()}
        else:
            row[name] = table[index]
    return row
