"""Nearest neighbours among a gallery's embeddings, by FAISS: exact, or faster and nearly exact.

* ``exact``: every embedding is compared. 100,000 of 256 numbers take some 4 ms on one core.
* ``hnsw``: a graph of neighbours is walked; quick to search and to extend, slow to build.
* ``ivf``: embeddings lie in clusters, and only the clusters nearest to the query are compared.

How far an approximate index looks is not asked of the user: it looks as far as it must to find `RECALL_WANTED` of the
ten true neighbours of the gallery's own embeddings, and what it then finds is measured on others of them.
"""

import math
from pathlib import Path

import numpy as np

from ..common.user_errors import UserError

KINDS = ("exact", "hnsw", "ivf")
EXACT_UP_TO = 500_000  # rows; more of them get an ivf index, unless another is asked for by name
RECALL_WANTED, NEIGHBOURS, SAMPLE = 0.99, 10, 256
BLOCK = 1 << 15
HNSW_LINKS = 32
MOST_EFFORT = {"hnsw": 2048, "ivf": 1 << 20}


def import_faiss():
    """The faiss module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise UserError("a gallery needs FAISS, which is not installed; run: pip install 'unipt[gallery]'") from None
    return faiss


def kind_for(rows, kind=None):
    """The kind of index for so many rows: ``kind``, or the one that their number suggests."""
    return kind or ("exact" if rows <= EXACT_UP_TO else "ivf")


class VectorIndex:
    """(N, dim) float32 rows of length 1 and the way they are searched; a row's number is its place in order of adding.

    Attributes:
        kind: one of `KINDS`.
        effort: candidates (hnsw) or clusters (ivf) looked at per query; None for exact.
        recall: share of the ten nearest neighbours found, measured on the index's own rows; 1.0 for exact.
        built_for: number of rows when it was built.
    """

    def __init__(self, index, kind, effort=None, recall=1.0, built_for=0):
        self.faiss = import_faiss()
        self.index, self.kind, self.effort, self.recall, self.built_for = index, kind, effort, recall, built_for

    @classmethod
    def empty(cls, dim):
        """An exact index without rows."""
        return cls(import_faiss().IndexFlatIP(dim), "exact")

    @classmethod
    def build(cls, vectors, kind=None):
        """Index the rows of ``vectors``; ``kind`` None chooses by their number (see `EXACT_UP_TO`)."""
        faiss = import_faiss()
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        rows, dim = vectors.shape
        kind = kind_for(rows, kind)
        if kind == "exact":
            index = faiss.IndexFlatIP(dim)
        elif kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        else:
            clusters = max(1, min(int(4 * math.sqrt(rows)), rows // 39))  # FAISS wants 39 rows a cluster or more
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, clusters, faiss.METRIC_INNER_PRODUCT)
            index.cp.spherical, index.cp.max_points_per_centroid = True, 64
            if rows:
                index.train(vectors)
            index.make_direct_map(True)
        built = cls(index, kind, built_for=rows)
        if rows:
            index.add(vectors)
        built.measure()
        return built

    def __len__(self):
        return self.index.ntotal

    def suits(self, rows, kind=None):
        """Whether an index of ``rows`` rows made by ``build`` would be no better than this one, extended."""
        if self.kind != kind_for(rows, kind):
            return False
        return self.kind == "exact" or (self.built_for > 0 and (self.kind == "hnsw" or rows <= 2 * self.built_for))

    def add(self, vectors):
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def vector(self, row):
        """The (dim,) float32 array of one row."""
        return self.index.reconstruct(int(row))

    def vectors(self):
        """All rows as an (N, dim) float32 array, a copy."""
        if not len(self):
            return np.empty((0, self.index.d), dtype=np.float32)
        return self.index.reconstruct_n(0, len(self))

    def search(self, query, top_k, mask=None, exact=False):
        """The rows with the highest inner products; of equal ones the earlier rows come first.

        Args:
            query: (dim,) float32 array.
            mask (bool array of shape (N,), *optional*): rows that count.
            exact: compare every row that counts, whatever the kind of index.

        Returns:
            (scores, rows), best first; fewer than ``top_k`` where there are not so many.
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
            scores, rows = scores[0][rows[0] >= 0], rows[0][rows[0] >= 0]
            if fetched == most or len(rows) < fetched or scores[-1] < scores[top_k - 1]:
                break
            fetched = min(2 * fetched, most)
        order = np.lexsort((rows, -scores))[:top_k]
        return scores[order], rows[order]

    def _search(self, queries, count, bits=None, exact=False, effort=None):
        faiss, index = self.faiss, self.index
        options = {} if bits is None else {"sel": faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))}
        effort = effort or self.effort
        if self.kind == "ivf":
            probes = index.nlist if exact else min(effort, index.nlist)
            parameters = faiss.SearchParametersIVF(nprobe=probes, **options)
        elif self.kind == "hnsw" and not exact:
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, count), **options)
        else:
            index = index if self.kind == "exact" else faiss.downcast_index(index.storage)
            parameters = faiss.SearchParameters(**options)
        return index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=parameters)

    def measure(self):
        """Set ``effort`` to the least that finds `RECALL_WANTED`, and ``recall`` to what it finds on other rows."""
        if self.kind == "exact" or len(self) == 0:
            self.effort, self.recall = (None, 1.0) if self.kind == "exact" else (16, 1.0)
            return
        chosen = np.random.default_rng(0).permutation(len(self))[: 2 * SAMPLE]
        truth = self._true_neighbours(chosen)
        half = len(chosen) // 2
        self.effort, most = (16 if self.kind == "hnsw" else 1), min(MOST_EFFORT[self.kind], 2 * len(self))
        while self._recall(chosen[:half], truth[:half]) < RECALL_WANTED and self.effort < most:
            self.effort *= 2
        self.recall = self._recall(chosen[half:], truth[half:])

    def _true_neighbours(self, chosen):
        """The set of rows nearest to each chosen row, itself left out."""
        queries = np.stack([self.vector(row) for row in chosen])
        scores, rows = np.empty((len(chosen), 0), dtype=np.float32), np.empty((len(chosen), 0), dtype=np.int64)
        for start in range(0, len(self), BLOCK):
            block = self.index.reconstruct_n(start, min(BLOCK, len(self) - start))
            count = min(NEIGHBOURS + 1, len(block))
            found = self.faiss.knn(queries, block, count, metric=self.faiss.METRIC_INNER_PRODUCT)
            scores, rows = np.hstack([scores, found[0]]), np.hstack([rows, found[1] + start])
            best = np.argsort(-scores, axis=1)[:, : NEIGHBOURS + 1]
            scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
        return [set(near[near != row][:NEIGHBOURS].tolist()) for near, row in zip(rows, chosen, strict=True)]

    def _recall(self, chosen, truth):
        """Share of the ``truth`` that a search by each chosen row finds."""
        wanted = sum(map(len, truth))
        if not wanted:
            return 1.0
        queries = np.stack([self.vector(row) for row in chosen])
        hits = 0
        for rows, row, true in zip(self._search(queries, NEIGHBOURS + 1)[1], chosen, truth, strict=True):
            hits += len(true & set(rows[rows != row][:NEIGHBOURS].tolist()))
        return hits / wanted

    def write(self, path):
        self.faiss.write_index(self.index, str(path))

    @classmethod
    def read(cls, path, kind, effort, recall, built_for):
        """What `write` wrote.

        Raises:
            RuntimeError: it is not a FAISS index.
        """
        return cls(import_faiss().read_index(str(Path(path))), kind, effort, recall, built_for)
