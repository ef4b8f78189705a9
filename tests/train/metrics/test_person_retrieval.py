"""The retrieval metric against a brute-force reference, closed forms, and through `evaluate.load`."""

import itertools

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from unipt_train.metrics.person_retrieval import person_retrieval
from unipt_train.metrics.person_retrieval.person_retrieval import per_query_percent, query_scores, retrieval_metrics
from unipt_train.speed.ranking import argsort_metrics, embeddings

METRIC_FOLDER = ROOT / "train" / "metrics" / "person_retrieval"


def brute_force(text_embeds, text_person_ids, image_embeds, image_person_ids):
    """One query at a time, in plain Python: sort by (-similarity, index), then read the definitions off the ranking."""
    texts = text_embeds / np.linalg.norm(text_embeds, axis=1, keepdims=True)
    images = image_embeds / np.linalg.norm(image_embeds, axis=1, keepdims=True)
    similarities = texts @ images.T
    rows = {"R1": [], "R5": [], "R10": [], "mAP": [], "mINP": [], "trapezoidal": []}
    for similarity, person in zip(similarities, text_person_ids, strict=True):
        ranking = sorted(range(len(similarity)), key=lambda index: (-similarity[index], index))
        hit_ranks = [rank for rank, index in enumerate(ranking, 1) if image_person_ids[index] == person]
        for k in (1, 5, 10):
            rows[f"R{k}"].append(bool(hit_ranks) and hit_ranks[0] <= k)
        rows["mAP"].append(np.mean([n / rank for n, rank in enumerate(hit_ranks, 1)]) if hit_ranks else 0.0)
        hit_at = [image_person_ids[index] == person for index in ranking]
        precision = [1.0] + [sum(hit_at[:rank]) / rank for rank in range(1, len(ranking) + 1)]
        steps = [(precision[rank - 1] + precision[rank]) / 2 for rank in hit_ranks]
        rows["trapezoidal"].append(np.mean(steps) if steps else 0.0)
        rows["mINP"].append(len(hit_ranks) / hit_ranks[-1] if hit_ranks else 0.0)
    return {name: 100 * np.mean(values) for name, values in rows.items()}


def data_with_ties(seed, texts=160, images=70):
    """Few distinct directions of exact norm, so that many similarities are exactly equal; people without any image."""
    rng = np.random.default_rng(seed)
    corners = np.array([[a, b, c, d] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for d in (-1, 1)], dtype=float)
    text_ids, image_ids = rng.integers(0, 30, size=texts), rng.integers(0, 28, size=images)
    return corners[rng.integers(16, size=texts)], text_ids, corners[rng.integers(16, size=images)], image_ids


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force_on_random_data_with_ties_whatever_the_block(seed, monkeypatch):
    texts, text_ids, images, image_ids = data_with_ties(seed)
    for direction, expected in (
        ("text-to-image", brute_force(texts, text_ids, images, image_ids)),
        ("image-to-text", brute_force(images, image_ids, texts, text_ids)),
    ):
        for block_values, own in itertools.product((1, 70 * 64, 1 << 24), ("mean", "trapezoidal")):
            monkeypatch.setattr(person_retrieval, "BLOCK_VALUES", block_values)
            found = retrieval_metrics(texts, text_ids, images, image_ids, direction, own)
            for name in ("R1", "R5", "R10", "mINP"):
                assert found[name] == pytest.approx(expected[name], abs=1e-9), name
            assert found["mAP"] == pytest.approx(expected["mAP" if own == "mean" else own], abs=1e-9)
    assert retrieval_metrics(texts, text_ids, images, image_ids)["queries_without_match"] == np.sum(
        ~np.isin(text_ids, image_ids)
    )


def test_equals_a_full_sort_of_the_whole_matrix():
    texts, images, person_ids = embeddings(2500)
    found = retrieval_metrics(texts, person_ids, images, person_ids)
    assert 10 < found["R1"] < 90
    for name, value in argsort_metrics(texts, images, person_ids).items():
        assert found[name] == pytest.approx(value, abs=1e-5), name  # the full sort's sums are in float32


def test_never_more_than_a_block_of_similarities_is_in_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    embeds, ids = rng.standard_normal((6000, 8), dtype=np.float32), np.arange(6000) % 3000
    tracemalloc.start()
    retrieval_metrics(embeds, ids, embeds, ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * person_retrieval.BLOCK_VALUES + 20e6 < 4 * 6000 * 6000


def test_the_mean_of_the_queries_own_measures_is_the_metric():
    texts, text_ids, images, image_ids = data_with_ties(0)
    scores = query_scores(texts, text_ids, images, image_ids)
    assert {name: len(values) for name, values in scores.items()} == dict.fromkeys(scores, 160)
    assert np.array_equal(scores["first_rank"] == 0, ~np.isin(text_ids, image_ids))
    found = retrieval_metrics(texts, text_ids, images, image_ids)
    for name, values in per_query_percent(scores).items():
        assert values.mean() == pytest.approx(found[name])


def test_closed_form():
    # Hits at ranks 1 and 3 of 3: AP = (1 + 2/3) / 2, INP = 2/3.
    found = retrieval_metrics([[1.0, 0.0]], [7], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [7, 8, 7])
    assert found == pytest.approx(
        {"R1": 100, "R5": 100, "R10": 100, "mAP": 250 / 3, "mINP": 200 / 3, "queries_without_match": 0}
    )
    # Trapezoidal: at rank 1 (1 + 1) / 2, at rank 3 (1/2 + 2/3) / 2, of which the mean.
    data = [[1.0, 0.0]], [7], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [7, 8, 7]
    assert retrieval_metrics(*data, average_precision="trapezoidal")["mAP"] == pytest.approx(100 * (1 + 7 / 12) / 2)


def test_tie_goes_to_the_lower_gallery_index():
    images = [[1.0, 0.0], [1.0, 0.0]]
    assert retrieval_metrics([[1.0, 0.0]], [1], images, [1, 2])["R1"] == 100
    assert retrieval_metrics([[1.0, 0.0]], [1], images, [2, 1])["R1"] == 0


def test_query_without_match_counts_as_zero_and_is_reported():
    found = retrieval_metrics(np.eye(2), [1, 9], np.eye(2), [1, 2])
    assert (found["R1"], found["mAP"], found["mINP"], found["queries_without_match"]) == (50, 50, 50, 1)
    none = retrieval_metrics(np.eye(2), [8, 9], np.eye(2), [1, 2])
    assert none == {"R1": 0, "R5": 0, "R10": 0, "mAP": 0, "mINP": 0, "queries_without_match": 2}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], [], np.eye(2), [1, 2]), "at least one query"),
        ((np.eye(2), [1], np.eye(2), [1, 2]), "one person_id"),
        ((np.eye(2), [1, 2], np.eye(3), [1, 2, 3]), "cannot be compared"),
        (([1.0, 2.0], [1, 2], np.eye(2), [1, 2]), "cannot be compared"),
        ((np.full((2, 2), np.nan), [1, 2], np.eye(2), [1, 2]), "NaN or infinity"),
        ((np.eye(2), [1, 2], np.full((2, 2), np.inf), [1, 2]), "NaN or infinity"),
        ((np.eye(2), [1, 2], np.eye(2), [1, 2], "both"), "direction is 'both'"),
        ((np.eye(2), [1, 2], np.eye(2), [1, 2], "text-to-image", "max"), "average_precision is 'max'"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(*arguments)


def test_loads_as_an_evaluate_module(monkeypatch, tmp_path):
    import evaluate

    metric = evaluate.load(str(METRIC_FOLDER), cache_dir=str(tmp_path))
    rng = np.random.default_rng(0)
    texts, images = rng.normal(size=(20, 8)), rng.normal(size=(12, 8))
    text_ids, image_ids = rng.integers(0, 5, size=20), rng.integers(0, 5, size=12)
    found = metric.compute(text_embeds=texts, text_person_ids=text_ids, image_embeds=images, image_person_ids=image_ids)
    assert found == retrieval_metrics(texts, text_ids, images, image_ids)
    options = {"direction": "image-to-text", "average_precision": "trapezoidal"}
    found = metric.compute(
        text_embeds=texts, text_person_ids=text_ids, image_embeds=images, image_person_ids=image_ids, **options
    )
    assert found == retrieval_metrics(texts, text_ids, images, image_ids, **options)
