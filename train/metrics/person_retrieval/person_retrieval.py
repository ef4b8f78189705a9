"""Rank-k, mAP and mINP of person retrieval, as text-to-image person re-identification counts them (IRRA's protocol).

This file stands alone: it is an ``evaluate`` module and imports nothing of this project.

Only the ranks of the hits are needed, and the rank of a hit is one more than the number of gallery items before it. So
nothing is sorted: similarities are computed for a block of queries at a time, and for each hit the items before it are
counted.
"""

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike

_DESCRIPTION = """\
Every query embedding is compared with every gallery embedding by cosine similarity, in float32. A gallery item is a hit
if it has the query's person_id. An item's rank is 1 + the number of items of greater similarity + the number of items
of equal similarity and lower gallery index, so that ties are broken in favour of the lower index.
Rank-k: share of queries with a hit among the first k. AP: mean of the precision at each hit; mAP: its mean.
INP: number of hits / rank of the last hit; mINP: its mean. A query without any hit counts as 0 in all of them.
The trapezoidal AP of LGUR and older person search code is the mean over hits of (precision before the hit + precision
at the hit) / 2, where the precision before the first rank is 1. It is larger than the mean: never compare the two.
"""

_CITATION = """\
@inproceedings{jiang2023irra,
  title = {Cross-Modal Implicit Relation Reasoning and Aligning for Text-to-Image Person Retrieval},
  author = {Jiang, Ding and Ye, Mang},
  booktitle = {CVPR},
  year = {2023}
}
"""

_KWARGS = """\
Args:
    text_embeds: (T, D), need not be normalised.
    text_person_ids: (T,) person_id of each text.
    image_embeds: (I, D), need not be normalised.
    image_person_ids: (I,) person_id of each image.
    direction: "text-to-image" (texts are the queries, images the gallery) or "image-to-text".
    average_precision: "mean" (IRRA's) or "trapezoidal" (LGUR's).
Returns:
    R1, R5, R10, mAP, mINP in percent, and queries_without_match, a count.
Example:
    >>> metric = evaluate.load("train/metrics/person_retrieval")
    >>> metric.compute(text_embeds=[[1.0, 0.0]], text_person_ids=[7], image_embeds=[[0.9, 0.1]], image_person_ids=[7])
"""

DIRECTIONS = ("text-to-image", "image-to-text")
AVERAGE_PRECISIONS = ("mean", "trapezoidal")
RANKS = (1, 5, 10)
# Similarities in memory at once, of float32: 64 MiB.
BLOCK_VALUES = 1 << 24


def _normalised(embeds: ArrayLike) -> np.ndarray:
    """(N, D) float32, rows of length 1.

    Raises:
        ValueError: an embedding is not finite.
    """
    embeds = np.array(embeds, dtype=np.float32)
    if not np.isfinite(embeds).all():
        raise ValueError("embeddings hold NaN or infinity; nothing can be ranked by them")
    if embeds.ndim == 2:
        # An embedding of zeros stays so: it is similar to nothing.
        embeds /= np.maximum(np.linalg.norm(embeds, axis=1, keepdims=True), 1e-12)
    return embeds


def _hits(query_person_ids: np.ndarray, gallery_person_ids: np.ndarray) -> list[list[int]]:
    """For each query, the ascending gallery indices that have its person_id."""
    people, person = np.unique(gallery_person_ids, return_inverse=True)
    # A stable sort by person keeps the gallery indices of each person ascending.
    order = np.argsort(person, kind="stable")
    of_person = [part.tolist() for part in np.split(order, np.cumsum(np.bincount(person))[:-1])]
    # searchsorted gives the place where an unknown person would stand, which may be behind the end.
    known = np.minimum(np.searchsorted(people, query_person_ids), len(people) - 1)
    matches = people[known] == query_person_ids
    return [of_person[index] if match else [] for index, match in zip(known, matches, strict=True)]


def _ranks(similarities: np.ndarray, hits: list[int], before: np.ndarray) -> np.ndarray:
    """Ascending 1-based ranks of the gallery indices ``hits``.

    Args:
        similarities: (G,), of one query.
        before: (G,) bool, memory to work in.
    """
    ranks = []
    for hit in hits:
        own = similarities[hit]
        # Of equally similar items, the one of lower index stands before.
        np.greater_equal(similarities[:hit], own, out=before[:hit])
        np.greater(similarities[hit:], own, out=before[hit:])
        ranks.append(np.count_nonzero(before) + 1)
    return np.sort(ranks)


def query_scores(
    query_embeds: ArrayLike,
    query_person_ids: ArrayLike,
    gallery_embeds: ArrayLike,
    gallery_person_ids: ArrayLike,
) -> dict[str, np.ndarray]:
    """The measures of every query; never holds more than a block of similarities.

    Args:
        query_embeds: (Q, D), need not be normalised.
        query_person_ids: (Q,).
        gallery_embeds: (G, D), need not be normalised.
        gallery_person_ids: (G,).

    Returns:
        (Q,) arrays: ``first_rank``, the rank of the first hit and 0 where there is no hit; and
        ``average_precision``, ``trapezoidal_average_precision`` and ``inverse_negative_penalty`` from 0 to 1.

    Raises:
        ValueError: empty input, lengths or dimensions that do not agree, or embeddings that are not finite.
    """
    queries = _normalised(query_embeds)
    gallery = _normalised(gallery_embeds)
    query_person_ids = np.asarray(query_person_ids)
    gallery_person_ids = np.asarray(gallery_person_ids)
    if not len(queries) or not len(gallery):
        raise ValueError("retrieval needs at least one query and one gallery item")
    if len(queries) != len(query_person_ids) or len(gallery) != len(gallery_person_ids):
        raise ValueError("each embedding needs one person_id")
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"embeddings of shapes {queries.shape} and {gallery.shape} cannot be compared")

    scores = {
        "first_rank": np.zeros(len(queries), dtype=np.int64),
        "average_precision": np.zeros(len(queries)),
        "trapezoidal_average_precision": np.zeros(len(queries)),
        "inverse_negative_penalty": np.zeros(len(queries)),
    }
    hits = _hits(query_person_ids, gallery_person_ids)
    # Both are used again for every block, which costs less than asking the system for memory each time.
    before = np.empty(len(gallery), dtype=bool)
    block = min(len(queries), max(1, BLOCK_VALUES // len(gallery)))
    similarity = np.empty((block, len(gallery)), dtype=np.float32)
    for start in range(0, len(queries), block):
        some = queries[start : start + block]
        np.matmul(some, gallery.T, out=similarity[: len(some)])
        for query, similarities in enumerate(similarity[: len(some)], start):
            if not hits[query]:
                continue
            ranks = _ranks(similarities, hits[query], before)
            number = np.arange(1, len(ranks) + 1)
            at_hit = number / ranks
            # Nothing stands before the first rank; the precision there is 1 by definition.
            before_hit = np.where(ranks > 1, (number - 1) / np.maximum(ranks - 1, 1), 1.0)
            scores["first_rank"][query] = ranks[0]
            scores["average_precision"][query] = at_hit.mean()
            scores["trapezoidal_average_precision"][query] = (before_hit + at_hit).mean() / 2
            scores["inverse_negative_penalty"][query] = at_hit[-1]
    return scores


def per_query_percent(scores: dict[str, np.ndarray], average_precision: str = "mean") -> dict[str, np.ndarray]:
    """R1, R5, R10, mAP and mINP of every query in percent, as (Q,) arrays; the metrics are their means.

    Args:
        scores: of :func:`query_scores`.
        average_precision: "mean" or "trapezoidal"; see ``_KWARGS``.

    Raises:
        ValueError: there is no such average precision.
    """
    if average_precision not in AVERAGE_PRECISIONS:
        raise ValueError(f"average_precision is {average_precision!r}; it must be one of {AVERAGE_PRECISIONS}")
    rank = scores["first_rank"]
    kind = "" if average_precision == "mean" else "trapezoidal_"
    values = {f"R{k}": (rank > 0) & (rank <= k) for k in RANKS}
    values["mAP"] = scores[f"{kind}average_precision"]
    values["mINP"] = scores["inverse_negative_penalty"]
    return {name: 100.0 * value for name, value in values.items()}


def retrieval_metrics(
    text_embeds: ArrayLike,
    text_person_ids: ArrayLike,
    image_embeds: ArrayLike,
    image_person_ids: ArrayLike,
    direction: str = "text-to-image",
    average_precision: str = "mean",
) -> dict[str, float]:
    """The metrics of ``_DESCRIPTION``; arguments and result as in ``_KWARGS``.

    Raises:
        ValueError: as :func:`query_scores`, or an option that does not exist.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {direction!r}; it must be one of {DIRECTIONS}")
    queries = (text_embeds, text_person_ids)
    gallery = (image_embeds, image_person_ids)
    if direction == "image-to-text":
        queries, gallery = gallery, queries
    scores = query_scores(*queries, *gallery)
    metrics = {name: float(values.mean()) for name, values in per_query_percent(scores, average_precision).items()}
    return metrics | {"queries_without_match": int(np.sum(scores["first_rank"] == 0))}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS)
class PersonRetrieval(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS,
            features=datasets.Features(
                {
                    "text_embeds": datasets.Sequence(datasets.Value("float32")),
                    "text_person_ids": datasets.Value("int64"),
                    "image_embeds": datasets.Sequence(datasets.Value("float32")),
                    "image_person_ids": datasets.Value("int64"),
                }
            ),
        )

    def compute(
        self,
        *,
        text_embeds: ArrayLike,
        text_person_ids: ArrayLike,
        image_embeds: ArrayLike,
        image_person_ids: ArrayLike,
        direction: str = "text-to-image",
        average_precision: str = "mean",
    ) -> dict[str, float]:
        """The metrics. Texts and images differ in number, so they bypass ``evaluate``'s equal-length batching."""
        return retrieval_metrics(
            text_embeds, text_person_ids, image_embeds, image_person_ids, direction, average_precision
        )
