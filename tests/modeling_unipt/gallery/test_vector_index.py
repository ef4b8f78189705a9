"""VectorIndex: exact where it says so, measured where it does not, and whole after a trip to disk."""

import numpy as np
import pytest

from modeling_unipt.gallery import vector_index
from modeling_unipt.gallery.constants import KINDS
from modeling_unipt.gallery.vector_index import VectorIndex


def clustered(rows, dim=32, centres=40, spread=0.6, seed=0):
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((centres, dim))[generator.integers(0, centres, rows)]
    vectors = vectors + spread * generator.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(vectors, query, top_k, mask=None):
    rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
    scores = vectors[rows] @ query
    return rows[np.lexsort((rows, -scores))][:top_k]


@pytest.mark.parametrize("seed", range(5))
def test_exact_is_exact_and_keeps_order_among_equals(seed):
    """Vectors of small whole numbers: sums are exact, and many are equal."""
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-1, 2, (200, 3)).astype(np.float32)
    index = VectorIndex.build(vectors, "exact")
    query = np.array([1, 0, 1], np.float32)
    for mask in (None, generator.random(200) < 0.4):
        for top_k in (1, 7, 40, 200, 999):
            scores, rows = index.search(query, top_k, mask)
            assert rows.tolist() == brute_force(vectors, query, top_k, mask).tolist()
            assert scores.tolist() == (vectors[rows] @ query).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact_under_a_filter(kind):
    vectors = clustered(3000)
    index, generator = VectorIndex.build(vectors, kind), np.random.default_rng(1)
    for share in (0.001, 0.05, 0.7):
        mask = generator.random(3000) < share
        for query in clustered(5, seed=2):
            rows = index.search(query, 10, mask, exact=True)[1]
            assert rows.tolist() == brute_force(vectors, query, 10, mask).tolist()


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_the_recall_told_is_the_recall_there_is(kind):
    vectors = clustered(4000)
    index = VectorIndex.build(vectors, kind)
    hits = []
    for row in np.random.default_rng(3).choice(4000, 300, replace=False):
        found, truth = index.search(vectors[row], 11)[1], brute_force(vectors, vectors[row], 11)
        hits.append(len(set(found[found != row][:10]) & set(truth[truth != row][:10])) / 10)
    assert 0.95 <= index.recall <= 1
    assert np.mean(hits) == pytest.approx(index.recall, abs=0.03)
    assert index.effort < (len(vectors) if kind == "hnsw" else index.index.nlist)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_added_later_are_found_and_removed_ones_are_not(kind):
    vectors = clustered(1500)
    index = VectorIndex.build(vectors[:1000], kind)
    index.add(vectors[1000:])
    assert len(index) == 1500
    np.testing.assert_array_equal(index.vectors(), vectors)
    np.testing.assert_array_equal(index.vector(1234), vectors[1234])
    assert index.search(vectors[1234], 1)[1].tolist() == [1234]
    mask = np.ones(1500, dtype=bool)
    mask[1234] = False
    assert 1234 not in index.search(vectors[1234], 20, mask)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_it_answers_alike(kind, tmp_path):
    vectors = clustered(800)
    index = VectorIndex.build(vectors, kind)
    index.write(tmp_path / "x.faiss")
    again = VectorIndex.read(tmp_path / "x.faiss", index.kind, index.effort, index.recall, index.built_for)
    for query in clustered(5, seed=4):
        for before, after in zip(index.search(query, 7), again.search(query, 7), strict=True):
            np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(again.vector(17), vectors[17])


def test_size_chooses_the_kind(monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 500)
    assert VectorIndex.build(clustered(500)).kind == "exact"
    large = VectorIndex.build(clustered(501))
    assert large.kind == "ivf"
    assert large.suits(1002) and not large.suits(1003) and not large.suits(400)
    assert VectorIndex.build(clustered(501), "hnsw").suits(10**7, "hnsw")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 30])
def test_few_rows(kind, rows):
    vectors = clustered(rows)
    index = VectorIndex.build(vectors, kind)
    assert sorted(index.search(vectors[0], 99)[1].tolist()) == list(range(rows))
    assert index.search(vectors[0], 5, np.zeros(rows, dtype=bool))[1].tolist() == []
