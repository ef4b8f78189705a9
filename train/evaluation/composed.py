"""Queries that are an image with words, as ITCPR has them: loaded, and embedded beside their gallery.

The embedding of such a query is ``(1 - w) * words + w * image``, of the unit embeddings of both. Its inner product with
an image of the gallery is thus the weighted mean of both cosines. With w = 0.5 this is how a gallery is searched by
text and image, and the order is that of the sum of both embeddings, which ITCPR's authors call "fuse".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel

from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.image_processing_unipt import to_rgb
from unipt_train.data.loading import rows_of
from unipt_train.evaluation.measure import Embedded

DIRECTION = "image+text-to-image"
QUERY = "query"
GALLERY = "gallery"
QUERY_COLUMNS = ("image", "captions", "instance_id", "person_id")
GALLERY_COLUMNS = ("image", "instance_id")


@dataclass(frozen=True)
class ComposedRows:
    """The two splits of a dataset whose queries are an image with words.

    Attributes:
        queries: with the columns ``QUERY_COLUMNS``.
        gallery: with the columns ``GALLERY_COLUMNS``; distractors have an ``instance_id`` below 0.
    """

    queries: Dataset
    gallery: Dataset


def is_composed(splits: Mapping[str, Dataset], split: str) -> bool:
    """Whether a dataset is measured by images with words: it has these splits, and not the one that was asked for."""
    return split not in splits and QUERY in splits and GALLERY in splits


def composed_rows(splits: Mapping[str, Dataset], name: str) -> ComposedRows:
    """The two splits of a loaded dataset.

    Args:
        name: how messages call the dataset.

    Raises:
        UserError: a column is missing, a split is empty, or a query names no instance.
    """
    queries = rows_of(splits, name, QUERY, QUERY_COLUMNS)
    gallery = rows_of(splits, name, GALLERY, GALLERY_COLUMNS)
    for split, rows in ((QUERY, queries), (GALLERY, gallery)):
        if any(instance is None for instance in rows["instance_id"]):
            raise UserError(f"split '{split}' of dataset '{name}' has rows whose instance_id is empty; leave them out")
    if min(queries["instance_id"]) < 0:
        raise UserError(
            f"split '{QUERY}' of dataset '{name}' has an instance_id below 0, which stands for a distractor; leave "
            "such queries out"
        )
    return ComposedRows(queries, gallery)


def embed_composed(
    model: PreTrainedModel,
    processor: Callable[..., Any],
    rows: ComposedRows,
    image_weight: float = 0.5,
    batch_size: int = 64,
    dtype: str = "auto",
) -> Embedded:
    """Embed every query and every image of the gallery.

    A query image with several captions is a query with each of them.

    Args:
        image_weight: w of the query's embedding, from 0 (words alone) to 1 (image alone).
        batch_size: images or captions in one forward pass.
        dtype: number format in which the model computes, see :func:`modeling_unipt.precision.pick_dtype`.

    Raises:
        UserError: no query has words.
    """
    captions = []
    of_row = []
    blank = 0
    for row, texts in enumerate(rows.queries["captions"]):
        for text in texts:
            if normal_caption(text):
                captions.append(text)
                of_row.append(row)
            else:
                blank += 1
    if not captions:
        raise UserError("none of the queries has words, so there is nothing to search by")
    words = embed_texts(model, processor, captions, batch_size, dtype)
    shown = _embed_column(model, processor, rows.queries, batch_size, dtype)
    return Embedded(
        text_embeds=(1 - image_weight) * words + image_weight * shown[of_row],
        text_person_ids=np.array(rows.queries["instance_id"])[of_row],
        image_embeds=_embed_column(model, processor, rows.gallery, batch_size, dtype),
        image_person_ids=np.array(rows.gallery["instance_id"]),
        captions=captions,
        blank_captions=blank,
        query_people=np.array(rows.queries["person_id"])[of_row],
    )


def _embed_column(
    model: PreTrainedModel, processor: Callable[..., Any], rows: Dataset, batch_size: int, dtype: str
) -> np.ndarray:
    """(rows, D) unit embeddings of the images."""
    images = (to_rgb(row["image"]) for row in rows.select_columns(["image"]))
    return embed_images(model, processor, images, batch_size, len(rows), dtype)
