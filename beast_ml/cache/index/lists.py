"""Inverted lists over the rows of a large partition: a fast search for rows that are probably nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import MissingExtraError
from beast_ml.features.encoder import Vectors

__all__ = ["InvertedLists"]

Rows = NDArray[np.int64]
AnyVectors = NDArray[np.float16] | NDArray[np.float32]

_LISTS_PER_ROOT: Final = 2.0
_TRAINING_PER_LIST: Final = 40
_ROUNDS: Final = 8
_SAMPLE: Final = 200
_QUERY_COSINE: Final = 0.8
"""How near an entry the queries are by which ``nprobe`` is chosen: below that, an answer is hardly ever right."""


@dataclass(frozen=True)
class InvertedLists:
    """FAISS's inverted lists with 8-bit codes: they find rows, whose similarity is then computed exactly.

    A row that is added again, with another vector, is found under both: whoever asks looks at the row itself.

    Parameters
    ----------
    index
        A ``faiss.IndexIVFScalarQuantizer`` over inner products of unit vectors.
    n_trained
        How many rows they were trained on.
    recall
        Share of sampled queries whose nearest row is found; see `train`.
    """

    index: Any
    n_trained: int
    recall: float

    @classmethod
    def train(
        cls, vectors: AnyVectors, rows: Rows, rng: np.random.Generator, recall: float = 0.99, chunk: int = 16_384
    ) -> InvertedLists:
        """Return lists over some rows, that look into as few lists as reach a recall.

        The queries for that are made from the vectors: each at cosine 0.8 from one of them, off in the direction of
        another, as a paraphrase is off towards other things that are said here.

        Parameters
        ----------
        vectors
            (n, dim), of unit length; float16 will do.
        rows
            (n,) their rows.
        rng
            Draws the training sample and the queries.
        recall
            Least share of the queries whose nearest vector is to be found.
        chunk
            How many vectors are looked at in one go.

        Raises
        ------
        MissingExtraError
            If FAISS is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise MissingExtraError("a semantic cache of more than some thousand entries", "serve") from error
        faiss.omp_set_num_threads(1)  # a second one costs single queries milliseconds
        n, dim = vectors.shape
        n_lists = max(1, ceil(_LISTS_PER_ROOT * sqrt(n)))
        quantizer = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, n_lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter, index.cp.seed, index.cp.spherical = _ROUNDS, int(rng.integers(2**31)), True
        index.cp.min_points_per_centroid = 1
        sample = np.sort(rng.choice(n, min(n, n_lists * _TRAINING_PER_LIST), replace=False))
        index.train(vectors[sample].astype(np.float32))
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            index.add_with_ids(vectors[part].astype(np.float32), rows[part].astype(np.int64))
        queries = _queries(vectors, rng)
        nearest = _nearest(vectors, rows, queries, chunk)
        reached = 0.0
        for n_probe in _doubling(n_lists):
            index.nprobe = n_probe
            _, found = index.search(queries, 4)
            reached = float((found == nearest[:, None]).any(axis=1).mean())
            if reached >= recall:
                break
        return cls(index, n, reached)

    def __len__(self) -> int:
        """How many vectors were added, those of rows that changed since included."""
        return int(self.index.ntotal)

    @property
    def n_probe(self) -> int:
        """How many lists a search looks into."""
        return int(self.index.nprobe)

    def add(self, vector: Vectors, row: int) -> None:
        """Add a row."""
        self.index.add_with_ids(vector[None], np.array([row], dtype=np.int64))

    def find(self, query: Vectors, n: int) -> Sequence[int]:
        """Return up to n rows that are probably nearest, in no particular order, each once."""
        _, found = self.index.search(query[None], n)
        return sorted({int(row) for row in found[0] if row >= 0})


def _doubling(last: int) -> list[int]:
    return [*(2**power for power in range(last.bit_length()) if 2**power < last), last]


def _queries(vectors: AnyVectors, rng: np.random.Generator) -> Vectors:
    at, towards = rng.choice(len(vectors), (2, _SAMPLE)) if len(vectors) else np.zeros((2, 0), dtype=np.int64)
    origin, other = vectors[at].astype(np.float32), vectors[towards].astype(np.float32)
    aside = other - (other * origin).sum(axis=1, keepdims=True) * origin
    aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-9
    queries = _QUERY_COSINE * origin + sqrt(1 - _QUERY_COSINE**2) * aside
    return np.ascontiguousarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), dtype=np.float32)


def _nearest(vectors: AnyVectors, rows: Rows, queries: Vectors, chunk: int) -> Rows:
    """Return each query's nearest row, by looking at all of them."""
    best = np.full(len(queries), -np.inf, dtype=np.float32)
    nearest = np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(vectors), chunk):
        similarity = queries @ vectors[start : start + chunk].astype(np.float32).T
        top = similarity.argmax(axis=1)
        value = similarity[np.arange(len(queries)), top]
        better = value > best
        best[better], nearest[better] = value[better], rows[start + top[better]]
    return nearest
