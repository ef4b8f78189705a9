"""Retrieval metrics of a model on a split: embed every caption and every image, then rank one side by the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import PreTrainedModel

from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import by_length, embed_images, embed_texts
from modeling_unipt.image_processing_unipt import to_rgb
from unipt_train.evaluation.confidence import identity_intervals
from unipt_train.evaluation.origin import last_training
from unipt_train.metrics.person_retrieval.person_retrieval import per_query_percent, query_scores


@dataclass(frozen=True)
class Embedded:
    """A split as a model sees it.

    Attributes:
        text_embeds: (captions, D) float32, rows of length 1.
        text_person_ids: (captions,) the person whom each caption describes.
        image_embeds: (images, D) float32, rows of length 1.
        image_person_ids: (images,) the person whom each image shows.
        captions: the texts, in the order of ``text_embeds``.
        blank_captions: captions of the split that hold no text, and are no queries.
        query_people: (captions,) whom each query shows, where ``text_person_ids`` are those of what is sought instead.
    """

    text_embeds: np.ndarray
    text_person_ids: np.ndarray
    image_embeds: np.ndarray
    image_person_ids: np.ndarray
    captions: list[str]
    blank_captions: int = 0
    query_people: np.ndarray | None = None


def embed_rows(
    model: PreTrainedModel,
    processor: Callable[..., Any],
    rows: Dataset,
    batch_size: int = 64,
    dtype: str = "auto",
    accelerator: Accelerator | None = None,
) -> Embedded:
    """Embed every caption and every image of a split.

    Args:
        model: a UniPT model, or another one that :func:`unipt_train.evaluation.models.load_model` gives.
        processor: makes the model's inputs of texts and images.
        rows: a split with the columns ``image`` (of any Pillow mode), ``captions`` and ``person_id``.
        batch_size: images or captions in one forward pass.
        dtype: number format in which the model computes, see :func:`modeling_unipt.precision.pick_dtype`.
        accelerator: shares the batches among its processes, each of which must call this and gets the whole. They are
            the batches of one process, so that the numbers are its numbers too.

    Raises:
        UserError: no image has a caption.
    """
    captions = []
    text_person_ids = []
    image_person_ids = []
    blank = 0
    for record in rows.select_columns(["captions", "person_id"]):
        image_person_ids.append(record["person_id"])
        told = [caption for caption in record["captions"] if normal_caption(caption)]
        captions += told
        text_person_ids += [record["person_id"]] * len(told)
        blank += len(record["captions"]) - len(told)
    if not captions:
        raise UserError("none of the images has a caption, so there is nothing to search by")
    processes = accelerator.num_processes if accelerator else 1
    process = accelerator.process_index if accelerator else 0
    own_captions = share_of_batches(by_length(captions), batch_size, process, processes)
    own_images = share_of_batches(range(len(rows)), batch_size, process, processes)
    texts = [captions[index] for index in own_captions]
    text_embeds = embed_texts(model, processor, texts, batch_size, dtype)
    pictured = rows.select_columns(["image"])
    if processes > 1:
        pictured = pictured.select(own_images)
    images = (to_rgb(row["image"]) for row in pictured)
    total = len(own_images) if process == 0 else None
    image_embeds = embed_images(model, processor, images, batch_size, total, dtype)
    text_embeds = _whole(text_embeds, own_captions, len(captions), accelerator)
    image_embeds = _whole(image_embeds, own_images, len(rows), accelerator)
    return Embedded(text_embeds, np.array(text_person_ids), image_embeds, np.array(image_person_ids), captions, blank)


def share_of_batches(indices: Sequence[int], batch_size: int, process: int, processes: int) -> list[int]:
    """Those of the ``indices`` that one of several processes takes: of every ``processes`` batches one."""
    own = []
    for start in range(process * batch_size, len(indices), processes * batch_size):
        own += indices[start : start + batch_size]
    return own


def _whole(own: np.ndarray, places: list[int], count: int, accelerator: Accelerator | None) -> np.ndarray:
    """(len(places), D) of each process to (count, D) of all; row i of a process stands at its ``places[i]``."""
    rows = np.zeros((count, own.shape[1]), dtype=own.dtype)
    rows[places] = own
    if accelerator is None or accelerator.num_processes == 1:
        return rows
    # Each row is zero in all processes but one, so that the sum is exact. Shares need not be equal.
    return accelerator.reduce(torch.from_numpy(rows).to(accelerator.device), "sum").cpu().numpy()


def measure(
    embedded: Embedded,
    direction: str = "text-to-image",
    average_precision: str = "mean",
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """The metrics of an embedded split.

    Args:
        direction: "image-to-text", or else the texts, or texts with images, are the queries.
        average_precision: "mean" or "trapezoidal"; see the metric's own description.
        bootstrap: how often people are drawn for the confidence intervals; 0 gives none.
        seed: seed of these draws.

    Returns:
        R1, R5, R10, mAP and mINP in percent; their ``intervals`` at 95 % (name -> [low, high], or None); and the counts
        ``queries``, ``gallery``, ``identities`` and ``queries_without_match``.

    Raises:
        ValueError: the embeddings are not finite.
    """
    queries = (embedded.text_embeds, embedded.text_person_ids)
    gallery = (embedded.image_embeds, embedded.image_person_ids)
    if direction == "image-to-text":
        queries, gallery = gallery, queries
    scores = query_scores(*queries, *gallery)
    values = per_query_percent(scores, average_precision)
    query_people = queries[1] if embedded.query_people is None else embedded.query_people
    metrics = {name: float(of_queries.mean()) for name, of_queries in values.items()}
    return metrics | {
        "intervals": identity_intervals(values, query_people, bootstrap, seed),
        "queries": len(query_people),
        "gallery": len(gallery[1]),
        "identities": len(np.unique(query_people)),
        "queries_without_match": int(np.sum(scores["first_rank"] == 0)),
    }


def training_setting(model: str, dataset: str) -> str:
    """How a UniPT model met a dataset in its training, as the model's own folder says it, whatever folder we are in.

    Args:
        model: folder of the model.
        dataset: folder or Hub name of the dataset that it is measured on.

    Returns:
        "untrained"; "direct transfer" if it was pre-trained only; "fine-tuned" on this very dataset;
        "fine-tuned on NAME"; or "" if the folder does not say it.
    """
    training = last_training(model)
    if training is None or training.command not in ("pretrain", "finetune"):
        return ""
    if training.command == "pretrain":
        return "direct transfer" if training.steps else "untrained"
    return "fine-tuned" if training.was_on(dataset) else f"fine-tuned on {training.title or training.dataset}"
