"""The retrieval metric against a brute-force reference, closed forms, and through `evaluate.load`."""

from pathlib import Path

import numpy as np
import pytest

from metrics.person_retrieval.person_retrieval import retrieval_metrics

METRIC_FOLDER = Path(__file__).parents[1] / "train" / "metrics" / "person_retrieval"


def brute_force(text_embeds, text_person_ids, image_embeds, image_person_ids):
    """One query at a time, in plain Python: sort by (-similarity, index), then read the definitions off the ranking."""
    texts = text_embeds / np.linalg.norm(text_embeds, axis=1, keepdims=True)
    images = image_embeds / np.linalg.norm(image_embeds, axis=1, keepdims=True)
    similarities = texts @ images.T
    rows = {"R1": [], "R5": [], "R10": [], "mAP": [], "mINP": []}
    for similarity, person in zip(similarities, text_person_ids, strict=True):
        ranking = sorted(range(len(similarity)), key=lambda index: (-similarity[index], index))
        hit_ranks = [rank for rank, index in enumerate(ranking, 1) if image_person_ids[index] == person]
        for k in (1, 5, 10):
            rows[f"R{k}"].append(bool(hit_ranks) and hit_ranks[0] <= k)
        rows["mAP"].append(np.mean([n / rank for n, rank in enumerate(hit_ranks, 1)]) if hit_ranks else 0.0)
        rows["mINP"].append(len(hit_ranks) / hit_ranks[-1] if hit_ranks else 0.0)
    return {name: 100 * np.mean(values) for name, values in rows.items()}


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force_on_random_data_with_ties(seed):
    rng = np.random.default_rng(seed)
    # Few distinct directions of exact norm, so that many similarities are exactly equal.
    corners = np.array([[a, b, c, d] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for d in (-1, 1)], dtype=float)
    texts, images = corners[rng.integers(16, size=700)], corners[rng.integers(16, size=150)]
    text_ids, image_ids = rng.integers(0, 30, size=700), rng.integers(0, 28, size=150)
    found = retrieval_metrics(texts, text_ids, images, image_ids)
    for name, value in brute_force(texts, text_ids, images, image_ids).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert found["queries_without_match"] == np.sum(~np.isin(text_ids, image_ids))


def test_closed_form():
    # Hits at ranks 1 and 3 of 3: AP = (1 + 2/3) / 2, INP = 2/3.
    found = retrieval_metrics([[1.0, 0.0]], [7], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [7, 8, 7])
    assert found == pytest.approx(
        {"R1": 100, "R5": 100, "R10": 100, "mAP": 250 / 3, "mINP": 200 / 3, "queries_without_match": 0}
    )


def test_tie_goes_to_the_lower_gallery_index():
    images = [[1.0, 0.0], [1.0, 0.0]]
    assert retrieval_metrics([[1.0, 0.0]], [1], images, [1, 2])["R1"] == 100
    assert retrieval_metrics([[1.0, 0.0]], [1], images, [2, 1])["R1"] == 0


def test_query_without_match_counts_as_zero_and_is_reported():
    found = retrieval_metrics(np.eye(2), [1, 9], np.eye(2), [1, 2])
    assert (found["R1"], found["mAP"], found["mINP"], found["queries_without_match"]) == (50, 50, 50, 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], [], np.eye(2), [1, 2]), "at least one query"),
        ((np.eye(2), [1], np.eye(2), [1, 2]), "one person_id"),
        ((np.eye(2), [1, 2], np.eye(3), [1, 2, 3]), "cannot be compared"),
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
