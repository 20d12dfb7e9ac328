"""Nearest training prompts, and what happened to them: the search that every neighbour method shares."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric", "NeighbourSums", "Neighbours", "metrics_of", "nearest", "nearest_across_folds"]

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Neighbours = NDArray[np.int64]
"""Of each row: the indices of the training rows that are nearest."""

Metric = Literal["cosine", "correlation", "euclidean"]
"""Near in what sense: ``correlation`` is the cosine after the mean vector is taken out."""

_METRICS: Final[tuple[Metric, ...]] = ("cosine", "correlation", "euclidean")


def metrics_of(embeddings: Vectors) -> tuple[Metric, ...]:
    """Return the metrics that differ on these vectors."""
    norms = np.linalg.norm(embeddings, axis=1)
    unit = np.allclose(norms[norms > 0], 1.0, atol=1e-3)
    return _METRICS[:2] if unit else _METRICS  # on the unit sphere cosine and Euclidean distance rank alike


def nearest_across_folds(embeddings: Vectors, folds: NDArray[np.intp], k: int, metric: Metric) -> Neighbours:
    """Return the (n, k) nearest prompts of each prompt among those of the other folds, nearest first."""
    neighbours = np.empty((len(folds), k), dtype=np.int64)
    for fold in np.unique(folds):
        held_out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        neighbours[held_out] = rest[nearest(embeddings[rest], embeddings[held_out], k, metric)]
    return neighbours


def nearest(base: Vectors, queries: Vectors, k: int, metric: Metric) -> Neighbours:
    """Return (q, k) positions of the nearest base vectors of each query, nearest first."""
    import faiss

    base, queries = _transform(base, base, metric), _transform(base, queries, metric)
    index = faiss.IndexFlatL2(base.shape[1])
    index.add(base)
    found: Neighbours = index.search(queries, min(k, len(base)))[1]
    return found


def _transform(base: Vectors, vectors: Vectors, metric: Metric) -> Vectors:
    if metric == "euclidean":
        return np.ascontiguousarray(vectors, dtype=np.float32)
    centred = vectors - base.mean(axis=0) if metric == "correlation" else vectors
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.ascontiguousarray(centred / np.maximum(norms, 1e-12), dtype=np.float32)


class NeighbourSums:
    """Running sums over neighbours of the observed training outcomes, per query and model."""

    def __init__(self, values: Floats, n_queries: int = 0) -> None:
        observed = np.isfinite(values)
        self._filled = np.where(observed, values, 0.0)
        self._observed = None if observed.all() else observed.astype(float)
        with np.errstate(invalid="ignore"):
            self._prior = self._filled.sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
        self._sum = np.zeros((n_queries, values.shape[1]))
        self._n = np.zeros((n_queries, values.shape[1]))

    def add(self, neighbours: Neighbours) -> None:
        """Take in more (q, k) neighbours of every query."""
        from scipy.sparse import csr_array

        n, width = neighbours.shape
        if not len(self._sum):
            self._sum = self._n = np.zeros((n, self._filled.shape[1]))
        # One sparse product instead of gathering (n, k, m) values.
        parts = (np.ones(n * width), neighbours.ravel(), np.arange(0, n * width + 1, width))
        picks = csr_array(parts, shape=(n, len(self._filled)))
        self._sum = self._sum + picks @ self._filled
        self._n = self._n + (width if self._observed is None else picks @ self._observed)

    def means(self) -> Floats:
        """Return the means; a model that no neighbour saw gets its overall mean."""
        return np.where(self._n > 0, self._sum / np.maximum(self._n, 1.0), self._prior)
