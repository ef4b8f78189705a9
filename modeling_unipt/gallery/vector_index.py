"""Nearest neighbours among a gallery's embeddings, by FAISS: exact, or faster and nearly exact.

* ``exact``: every embedding is compared. 100,000 of 256 numbers take some 4 ms on one core.
* ``hnsw``: a graph of neighbours is walked; quick to search and to extend, slow to build.
* ``ivf``: embeddings lie in clusters, and only the clusters nearest to the query are compared.

How far an approximate index looks is not asked of the user: it looks as far as it must to find `RECALL_WANTED` of the
ten true neighbours of the gallery's own embeddings, and what it then finds is measured on others of them.
"""

import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..common.user_errors import UserError
from .constants import EXACT_UP_TO

if TYPE_CHECKING:
    import faiss

RECALL_WANTED = 0.99
NEIGHBOURS = 10
# Rows that choose the effort, and as many others that measure the recall.
SAMPLE = 256
# Rows compared at once while the true neighbours are found; more would only take more memory.
BLOCK = 1 << 15
# Neighbours that each row of the graph knows; the graph's memory grows with it.
HNSW_LINKS = 32
# Candidates (hnsw) or clusters (ivf). The effort is doubled from the least until the recall is reached, or the most.
MOST_EFFORT = {"hnsw": 2048, "ivf": 1 << 20}
LEAST_EFFORT = {"hnsw": 16, "ivf": 1}
# FAISS warns when it forms clusters from fewer rows than that for each.
LEAST_ROWS_A_CLUSTER = 39
MOST_ROWS_A_CLUSTER = 64


def import_faiss() -> ModuleType:
    """The faiss module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise UserError("a gallery needs FAISS, which is not installed; run: pip install 'unipt[gallery]'") from None
    return faiss


def kind_for(rows: int, kind: str | None = None) -> str:
    """The kind of index for so many rows: ``kind``, or the one that their number suggests."""
    return kind or ("exact" if rows <= EXACT_UP_TO else "ivf")


class VectorIndex:
    """(N, dim) float32 rows of length 1 and the way they are searched; a row's number is its place in order of adding.

    Attributes:
        kind: one of `constants.KINDS`.
        effort: candidates (hnsw) or clusters (ivf) looked at for each query; None for exact.
        recall: share of the ten nearest neighbours found, measured on the index's own rows; 1.0 for exact.
        built_for: number of rows when it was built.
    """

    def __init__(
        self, index: "faiss.Index", kind: str, effort: int | None = None, recall: float = 1.0, built_for: int = 0
    ) -> None:
        self.faiss = import_faiss()
        self.index = index
        self.kind = kind
        self.effort = effort
        self.recall = recall
        self.built_for = built_for

    @classmethod
    def empty(cls, dim: int) -> "VectorIndex":
        """An exact index without rows."""
        return cls(import_faiss().IndexFlatIP(dim), "exact")

    @classmethod
    def build(cls, vectors: np.ndarray, kind: str | None = None) -> "VectorIndex":
        """Index the rows of ``vectors``, an (N, dim) array.

        Args:
            kind: one of `constants.KINDS`; None chooses by the number of rows, see `EXACT_UP_TO`.
        """
        faiss = import_faiss()
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        rows, dim = vectors.shape
        kind = kind_for(rows, kind)
        if kind == "exact":
            index = faiss.IndexFlatIP(dim)
        elif kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        else:
            clusters = max(1, min(int(4 * math.sqrt(rows)), rows // LEAST_ROWS_A_CLUSTER))
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, clusters, faiss.METRIC_INNER_PRODUCT)
            # Embeddings lie on a sphere, and so must the centres: else inner products would favour long centres.
            index.cp.spherical = True
            # A quarter of FAISS's default, because most of the time of indexing goes into forming the clusters.
            index.cp.max_points_per_centroid = MOST_ROWS_A_CLUSTER
            if rows:
                index.train(vectors)
            # Without this map, a row could not be read back by its number.
            index.make_direct_map(True)
        built = cls(index, kind, built_for=rows)
        if rows:
            index.add(vectors)
        built.measure()
        return built

    def __len__(self) -> int:
        return self.index.ntotal

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self.index.d

    def suits(self, rows: int, kind: str | None = None) -> bool:
        """Whether an index of ``rows`` rows made by ``build`` would be no better than this one, extended."""
        if self.kind != kind_for(rows, kind):
            return False
        if self.kind == "exact":
            return True
        # The clusters of ivf stay as they were formed; those of twice as many rows are worth forming anew.
        return self.built_for > 0 and (self.kind == "hnsw" or rows <= 2 * self.built_for)

    def add(self, vectors: np.ndarray) -> None:
        """Add the rows of an (N, dim) array behind those that are there."""
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def vector(self, row: int) -> np.ndarray:
        """The (dim,) float32 array of one row."""
        return self.index.reconstruct(int(row))

    def vectors(self) -> np.ndarray:
        """All rows as an (N, dim) float32 array, a copy."""
        if not len(self):
            return np.empty((0, self.dim), dtype=np.float32)
        return self.index.reconstruct_n(0, len(self))

    def search(
        self, query: np.ndarray, top_k: int, mask: np.ndarray | None = None, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows with the highest inner products; of equal ones the earlier rows come first.

        Args:
            query: (dim,) float32 array.
            mask: bool array of shape (N,), the rows that count; None for all.
            exact: compare every row that counts, whatever the kind of index.

        Returns:
            (scores, rows), both of shape (results,), best first; fewer than ``top_k`` where there are not so many.
        """
        most = len(self) if mask is None else int(np.count_nonzero(mask))
        top_k = min(top_k, most)
        if top_k == 0:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        bits = None if mask is None else np.packbits(mask, bitorder="little")
        # One more than asked for shows whether the last has equals, of which FAISS keeps any.
        fetched = min(top_k + 1, most)
        while True:
            scores, rows = self._search(query[None], fetched, bits, exact)
            # FAISS fills up with row -1 where it found fewer.
            found = rows[0] >= 0
            scores = scores[0][found]
            rows = rows[0][found]
            if fetched == most or len(rows) < fetched or scores[-1] < scores[top_k - 1]:
                break
            fetched = min(2 * fetched, most)
        order = np.lexsort((rows, -scores))[:top_k]
        return scores[order], rows[order]

    def _search(
        self, queries: np.ndarray, count: int, bits: np.ndarray | None = None, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """FAISS's search by (Q, dim) queries, among the rows whose ``bits`` are set: two arrays of shape (Q, count)."""
        faiss = self.faiss
        index = self.index
        options = {} if bits is None else {"sel": faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))}
        if self.kind == "ivf":
            probes = index.nlist if exact else min(self.effort, index.nlist)
            parameters = faiss.SearchParametersIVF(nprobe=probes, **options)
        elif self.kind == "hnsw" and not exact:
            parameters = faiss.SearchParametersHNSW(efSearch=max(self.effort, count), **options)
        else:
            if self.kind == "hnsw":
                # The graph's own rows, without the graph.
                index = faiss.downcast_index(index.storage)
            parameters = faiss.SearchParameters(**options)
        return index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=parameters)

    def measure(self) -> None:
        """Set ``effort`` to the least that finds `RECALL_WANTED`, and ``recall`` to what it finds on other rows."""
        if self.kind == "exact":
            self.effort = None
            self.recall = 1.0
            return
        if len(self) == 0:
            self.effort = LEAST_EFFORT[self.kind]
            self.recall = 1.0
            return
        chosen = np.random.default_rng(0).permutation(len(self))[: 2 * SAMPLE]
        truth = self._true_neighbours(chosen)
        half = len(chosen) // 2
        most = min(MOST_EFFORT[self.kind], 2 * len(self))
        self.effort = LEAST_EFFORT[self.kind]
        while self._recall(chosen[:half], truth[:half]) < RECALL_WANTED and self.effort < most:
            self.effort *= 2
        self.recall = self._recall(chosen[half:], truth[half:])

    def _true_neighbours(self, chosen: np.ndarray) -> list[set[int]]:
        """The set of rows nearest to each chosen row, itself left out."""
        queries = np.stack([self.vector(row) for row in chosen])
        scores = np.empty((len(chosen), 0), dtype=np.float32)
        rows = np.empty((len(chosen), 0), dtype=np.int64)
        for start in range(0, len(self), BLOCK):
            block = self.index.reconstruct_n(start, min(BLOCK, len(self) - start))
            # One more than wanted, because each row is its own nearest.
            count = min(NEIGHBOURS + 1, len(block))
            block_scores, block_rows = self.faiss.knn(queries, block, count, metric=self.faiss.METRIC_INNER_PRODUCT)
            scores = np.hstack([scores, block_scores])
            rows = np.hstack([rows, block_rows + start])
            best = np.argsort(-scores, axis=1)[:, : NEIGHBOURS + 1]
            scores = np.take_along_axis(scores, best, axis=1)
            rows = np.take_along_axis(rows, best, axis=1)
        return [set(near[near != row][:NEIGHBOURS].tolist()) for near, row in zip(rows, chosen, strict=True)]

    def _recall(self, chosen: np.ndarray, truth: list[set[int]]) -> float:
        """Share of the ``truth`` that a search by each chosen row finds."""
        wanted = sum(map(len, truth))
        if not wanted:
            return 1.0
        queries = np.stack([self.vector(row) for row in chosen])
        _, found = self._search(queries, NEIGHBOURS + 1)
        hits = 0
        for rows, row, true in zip(found, chosen, truth, strict=True):
            hits += len(true & set(rows[rows != row][:NEIGHBOURS].tolist()))
        return hits / wanted

    def write(self, path: Path | str) -> None:
        """Write a file for `read`.

        Raises:
            RuntimeError: FAISS cannot write it.
        """
        self.faiss.write_index(self.index, str(path))

    @classmethod
    def read(cls, path: Path | str, kind: str, effort: int | None, recall: float, built_for: int) -> "VectorIndex":
        """What `write` wrote.

        Raises:
            RuntimeError: it is not a FAISS index.
        """
        return cls(import_faiss().read_index(str(path)), kind, effort, recall, built_for)
