"""Rank-k, mAP and mINP of person retrieval, as text-to-image person re-identification counts them (IRRA's protocol).

This file stands alone: it is an ``evaluate`` module and imports nothing of this project.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
Every query embedding is compared with every gallery embedding by cosine similarity. A gallery item is a hit when it has
the query's person_id; ties in similarity are broken in favour of the lower gallery index.
Rank-k: share of queries with a hit among the first k. AP: mean of the precision at each hit; mAP: its mean.
INP: number of hits / rank of the last hit; mINP: its mean. A query without any hit counts as 0 in all of them.
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
    text_embeds: (Q, D) query embeddings, need not be normalised.
    text_person_ids: (Q,) person_id of each query.
    image_embeds: (G, D) gallery embeddings.
    image_person_ids: (G,) person_id of each gallery item.
Returns:
    R1, R5, R10, mAP, mINP in percent, and queries_without_match, a count.
Example:
    >>> metric = evaluate.load("train/metrics/person_retrieval")
    >>> metric.compute(text_embeds=[[1.0, 0.0]], text_person_ids=[7], image_embeds=[[0.9, 0.1]], image_person_ids=[7])
"""

BLOCK_ROWS = 512


def _normalise(embeds):
    embeds = np.asarray(embeds, dtype=np.float32)
    norms = np.linalg.norm(embeds, axis=1, keepdims=True)
    return embeds / np.maximum(norms, 1e-12)


def hit_ranks(similarity, hits):
    """1-based rank of every hit of every query, ties to the lower gallery index.

    Args:
        similarity: (B, G) float.
        hits: (B, G) bool.
    Returns:
        (rows, ranks): for each hit, in row order and ascending rank within a row, its query row and its rank.
    """
    rows, columns = np.nonzero(hits)
    ranks = np.empty(len(rows), dtype=np.int64)
    chunk = max(1, 4_000_000 // similarity.shape[1])
    index = np.arange(similarity.shape[1])
    for start in range(0, len(rows), chunk):
        r, c = rows[start : start + chunk], columns[start : start + chunk]
        row_scores, own = similarity[r], similarity[r, c][:, None]
        before = (row_scores > own) | ((row_scores == own) & (index[None, :] < c[:, None]))
        ranks[start : start + chunk] = before.sum(axis=1) + 1
    order = np.lexsort((ranks, rows))
    return rows[order], ranks[order]


def retrieval_metrics(text_embeds, text_person_ids, image_embeds, image_person_ids):
    """The metrics of ``_DESCRIPTION`` as a dict of floats in percent; never holds more than a block of similarities.

    Raises:
        ValueError: empty input, or lengths or dimensions that do not agree.
    """
    text_person_ids, image_person_ids = np.asarray(text_person_ids), np.asarray(image_person_ids)
    text_embeds, image_embeds = np.asarray(text_embeds), np.asarray(image_embeds)
    if not len(text_embeds) or not len(image_embeds):
        raise ValueError("retrieval needs at least one query and one gallery item")
    if len(text_embeds) != len(text_person_ids) or len(image_embeds) != len(image_person_ids):
        raise ValueError("each embedding needs one person_id")
    if text_embeds.ndim != 2 or image_embeds.ndim != 2 or text_embeds.shape[1] != image_embeds.shape[1]:
        raise ValueError(f"embeddings of shapes {text_embeds.shape} and {image_embeds.shape} cannot be compared")
    texts, images = _normalise(text_embeds), _normalise(image_embeds)

    total = len(texts)
    first_rank = np.full(total, np.iinfo(np.int64).max)
    average_precision, inverse_negative_penalty = np.zeros(total), np.zeros(total)
    for start in range(0, total, BLOCK_ROWS):
        block = slice(start, min(start + BLOCK_ROWS, total))
        similarity = texts[block] @ images.T
        rows, ranks = hit_ranks(similarity, text_person_ids[block, None] == image_person_ids[None, :])
        counts = np.bincount(rows, minlength=similarity.shape[0])
        matched = np.nonzero(counts)[0]
        if not len(matched):
            continue
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])[matched]
        nth_hit = np.arange(len(rows)) - np.repeat(firsts, counts[matched]) + 1
        precision_sum = np.bincount(rows, weights=nth_hit / ranks, minlength=similarity.shape[0])
        first_rank[start + matched] = ranks[firsts]
        average_precision[start + matched] = precision_sum[matched] / counts[matched]
        inverse_negative_penalty[start + matched] = counts[matched] / ranks[firsts + counts[matched] - 1]
    metrics = {f"R{k}": 100.0 * float(np.mean(first_rank <= k)) for k in (1, 5, 10)}
    metrics["mAP"] = 100.0 * float(average_precision.mean())
    metrics["mINP"] = 100.0 * float(inverse_negative_penalty.mean())
    metrics["queries_without_match"] = int(np.sum(first_rank == np.iinfo(np.int64).max))
    return metrics


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

    def compute(self, *, text_embeds, text_person_ids, image_embeds, image_person_ids):
        """Queries and gallery differ in length, so they bypass ``evaluate``'s equal-length batching."""
        return retrieval_metrics(text_embeds, text_person_ids, image_embeds, image_person_ids)
