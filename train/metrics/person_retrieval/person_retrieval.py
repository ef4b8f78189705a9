"""Rank-k, mAP and mINP of person retrieval, as text-to-image person re-identification counts them (IRRA's protocol).

This file stands alone: it is an ``evaluate`` module and imports nothing of this project.

Only the ranks of the hits are needed, and the rank of a hit is one more than the number of gallery items before it. So
nothing is sorted: similarities are computed for a block of queries at a time, and for each hit they are counted.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
Every query embedding is compared with every gallery embedding by cosine similarity, in float32. A gallery item is a hit
when it has the query's person_id. An item's rank is 1 + the number of items of greater similarity + the number of items
of equal similarity and lower gallery index, so that ties are broken in favour of the lower index.
Rank-k: share of queries with a hit among the first k. AP: mean of the precision at each hit; mAP: its mean.
INP: number of hits / rank of the last hit; mINP: its mean. A query without any hit counts as 0 in all of them.
The trapezoidal AP of LGUR and older person search code is the mean over hits of (precision before the hit + precision
at the hit) / 2, where the precision before the first rank is 1. It is larger: never compare it with the mean.
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
BLOCK_VALUES = 1 << 24  # similarities in memory at once, of float32: 64 MiB


def _normalised(embeds):
    embeds = np.array(embeds, dtype=np.float32)
    if not np.isfinite(embeds).all():
        raise ValueError("embeddings hold NaN or infinity; nothing can be ranked by them")
    if embeds.ndim == 2:
        embeds /= np.maximum(np.linalg.norm(embeds, axis=1, keepdims=True), 1e-12)
    return embeds


def _hits(query_person_ids, gallery_person_ids):
    """For each query, the ascending gallery indices that have its person_id, as a list."""
    people, person = np.unique(gallery_person_ids, return_inverse=True)
    order = np.argsort(person, kind="stable")
    of_person = [part.tolist() for part in np.split(order, np.cumsum(np.bincount(person))[:-1])]
    known = np.minimum(np.searchsorted(people, query_person_ids), len(people) - 1)
    matches = people[known] == query_person_ids
    return [of_person[index] if match else [] for index, match in zip(known, matches, strict=True)]


def _ranks(row, hits, before):
    """Ascending 1-based ranks of the gallery indices ``hits`` by the similarities ``row`` (G,); ``before`` (G,) bool is
    memory to work in."""
    ranks = []
    for hit in hits:
        own = row[hit]
        np.greater_equal(row[:hit], own, out=before[:hit])
        np.greater(row[hit:], own, out=before[hit:])
        ranks.append(np.count_nonzero(before) + 1)
    return np.sort(ranks)


def query_scores(query_embeds, query_person_ids, gallery_embeds, gallery_person_ids):
    """The measures of every query; never holds more than a block of similarities.

    Args:
        query_embeds: (Q, D).  query_person_ids: (Q,).  gallery_embeds: (G, D).  gallery_person_ids: (G,).
    Returns:
        Dict of (Q,) arrays: ``first_rank``, the rank of the first hit and 0 where there is no hit, and
        ``average_precision``, ``trapezoidal_average_precision`` and ``inverse_negative_penalty`` from 0 to 1.
    Raises:
        ValueError: empty input, lengths or dimensions that do not agree, or embeddings that are not finite.
    """
    queries, gallery = _normalised(query_embeds), _normalised(gallery_embeds)
    query_person_ids, gallery_person_ids = np.asarray(query_person_ids), np.asarray(gallery_person_ids)
    if not len(queries) or not len(gallery):
        raise ValueError("retrieval needs at least one query and one gallery item")
    if len(queries) != len(query_person_ids) or len(gallery) != len(gallery_person_ids):
        raise ValueError("each embedding needs one person_id")
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"embeddings of shapes {queries.shape} and {gallery.shape} cannot be compared")

    first_rank = np.zeros(len(queries), dtype=np.int64)
    mean, trapezoidal, penalty = (np.zeros(len(queries)) for _ in range(3))
    hits = _hits(query_person_ids, gallery_person_ids)
    before = np.empty(len(gallery), dtype=bool)
    similarity = np.empty((min(len(queries), max(1, BLOCK_VALUES // len(gallery))), len(gallery)), dtype=np.float32)
    for start in range(0, len(queries), len(similarity)):
        some = queries[start : start + len(similarity)]
        for query, row in enumerate(np.matmul(some, gallery.T, out=similarity[: len(some)]), start):
            if not hits[query]:
                continue
            ranks = _ranks(row, hits[query], before)
            number = np.arange(1, len(ranks) + 1)
            at_hit = number / ranks
            before_hit = np.where(ranks > 1, (number - 1) / np.maximum(ranks - 1, 1), 1.0)
            first_rank[query] = ranks[0]
            mean[query] = at_hit.mean()
            trapezoidal[query] = (before_hit + at_hit).mean() / 2
            penalty[query] = at_hit[-1]
    return {
        "first_rank": first_rank,
        "average_precision": mean,
        "trapezoidal_average_precision": trapezoidal,
        "inverse_negative_penalty": penalty,
    }


def per_query_percent(scores, average_precision="mean"):
    """R1, R5, R10, mAP and mINP of every query in percent, whose means are the metrics: a dict of (Q,) arrays.

    Args:
        scores: of :func:`query_scores`.
        average_precision: see ``_KWARGS``.
    """
    if average_precision not in AVERAGE_PRECISIONS:
        raise ValueError(f"average_precision is {average_precision!r}; it must be one of {AVERAGE_PRECISIONS}")
    rank, kind = scores["first_rank"], "" if average_precision == "mean" else "trapezoidal_"
    values = {f"R{k}": (rank > 0) & (rank <= k) for k in (1, 5, 10)}
    values |= {"mAP": scores[f"{kind}average_precision"], "mINP": scores["inverse_negative_penalty"]}
    return {name: 100.0 * value for name, value in values.items()}


def retrieval_metrics(
    text_embeds,
    text_person_ids,
    image_embeds,
    image_person_ids,
    direction="text-to-image",
    average_precision="mean",
):
    """The metrics of ``_DESCRIPTION``; arguments and result as in ``_KWARGS``.

    Raises:
        ValueError: as :func:`query_scores`, or an option that does not exist.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {direction!r}; it must be one of {DIRECTIONS}")
    texts, images = (text_embeds, text_person_ids), (image_embeds, image_person_ids)
    scores = query_scores(*texts, *images) if direction == "text-to-image" else query_scores(*images, *texts)
    metrics = {name: float(values.mean()) for name, values in per_query_percent(scores, average_precision).items()}
    return metrics | {"queries_without_match": int(np.sum(scores["first_rank"] == 0))}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS)
class PersonRetrieval(evaluate.Metric):
    def _info(self):
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
        text_embeds,
        text_person_ids,
        image_embeds,
        image_person_ids,
        direction="text-to-image",
        average_precision="mean",
    ):
        """Texts and images differ in number, so they bypass ``evaluate``'s equal-length batching."""
        return retrieval_metrics(
            text_embeds, text_person_ids, image_embeds, image_person_ids, direction, average_precision
        )
