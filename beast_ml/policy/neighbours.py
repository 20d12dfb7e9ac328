"""The nearest-neighbour router: what happened to the k most similar training prompts will happen to this one.

Simple, hard to beat, and so the baseline that every learned router is held to. The number of neighbours and the
metric are tuned by cross-validation over questions, on the training data alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.policy.frontier import CostRange, router_frontier
from beast_ml.policy.utility import Predictions, choose, willingness_grid

__all__ = ["Metric", "NeighbourRouter", "tune_neighbours"]

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Neighbours = NDArray[np.int64]
Metric = Literal["cosine", "correlation", "euclidean"]

_K_GRID: Final = (5, 10, 20, 40, 80, 160, 320)
_METRICS: Final[tuple[Metric, ...]] = ("cosine", "correlation", "euclidean")
_TUNING_POINTS: Final = 16


@dataclass(frozen=True)
class NeighbourRouter:
    """Means over the k nearest training prompts, per model, of what was observed.

    Parameters
    ----------
    models
        The m candidates.
    embeddings
        (n, d) vectors of the training prompts.
    quality, cost
        (n, m) training outcomes, NaN where not observed.
    k, metric
        How many neighbours, and near in what sense: ``correlation`` is the cosine after the mean vector is taken
        out.
    out_of_fold
        What the same k and metric predict for each training prompt from the other folds.
    """

    models: tuple[str, ...]
    embeddings: Vectors
    quality: Floats
    cost: Floats
    k: int
    metric: Metric
    out_of_fold: Predictions

    def predict(self, embeddings: Vectors) -> Predictions:
        """Return the expected quality and cost of every candidate for prompts with these (n, d) vectors."""
        neighbours = _search(self.embeddings, embeddings, self.k, self.metric)
        quality, cost = _Sums(self.quality), _Sums(self.cost)
        quality.add(neighbours)
        cost.add(neighbours)
        return Predictions(self.models, quality.means(), cost.means())


def tune_neighbours(
    models: tuple[str, ...], embeddings: Vectors, quality: Floats, cost: Floats, folds: NDArray[np.intp]
) -> NeighbourRouter:
    """Return the router whose k and metric have the highest out-of-fold AIQ.

    Parameters
    ----------
    folds
        (n,) fold of each training prompt; equal questions in equal folds.

    Raises
    ------
    NotEnoughDataError
        If all prompts are in one fold.
    """
    sizes = np.unique(folds, return_counts=True)[1]
    if len(sizes) < 2:
        raise NotEnoughDataError(
            f"{len(folds)} training queries fall into one fold: nearest neighbours need more distinct questions"
        )
    most = int(len(folds) - sizes.max())
    ks = sorted({min(k, most) for k in _K_GRID})
    best: tuple[float, int, Metric, Predictions] | None = None
    for metric in _metrics(embeddings):
        neighbours = _across_folds(embeddings, folds, ks[-1], metric)
        for k, predictions in _predictions_by_k(models, neighbours, quality, cost, ks):
            score = _score(predictions, quality, cost)
            if best is None or score > best[0]:
                best = score, k, metric, predictions
    assert best is not None  # noqa: S101  there is at least one metric and one k
    _, k, metric, out_of_fold = best
    return NeighbourRouter(models, embeddings, quality, cost, k, metric, out_of_fold)


def _metrics(embeddings: Vectors) -> tuple[Metric, ...]:
    norms = np.linalg.norm(embeddings, axis=1)
    unit = np.allclose(norms[norms > 0], 1.0, atol=1e-3)
    return _METRICS[:2] if unit else _METRICS  # on the unit sphere cosine and Euclidean distance rank alike


def _across_folds(embeddings: Vectors, folds: NDArray[np.intp], k: int, metric: Metric) -> Neighbours:
    """Return the (n, k) nearest prompts of each prompt among those of the other folds, nearest first."""
    neighbours = np.empty((len(folds), k), dtype=np.int64)
    for fold in np.unique(folds):
        held_out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        neighbours[held_out] = rest[_search(embeddings[rest], embeddings[held_out], k, metric)]
    return neighbours


def _search(base: Vectors, queries: Vectors, k: int, metric: Metric) -> Neighbours:
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


def _predictions_by_k(
    models: tuple[str, ...], neighbours: Neighbours, quality: Floats, cost: Floats, ks: list[int]
) -> Iterator[tuple[int, Predictions]]:
    quality_sums, cost_sums = _Sums(quality, len(neighbours)), _Sums(cost, len(neighbours))
    done = 0
    for k in ks:
        quality_sums.add(neighbours[:, done:k])
        cost_sums.add(neighbours[:, done:k])
        done = k
        yield k, Predictions(models, quality_sums.means(), cost_sums.means())


def _score(predictions: Predictions, quality: Floats, cost: Floats) -> float:
    """Return the AIQ of the decisions; without fully observed prompts, minus the squared error of quality."""
    complete = np.isfinite(quality).all(axis=1) & np.isfinite(cost).all(axis=1)
    if not complete.any():
        return -float(np.nanmean((predictions.quality - quality) ** 2))
    quality, cost = quality[complete], cost[complete]
    seen = Predictions(predictions.models, predictions.quality[complete], predictions.cost[complete])
    choices = np.stack([choose(seen, w) for w in willingness_grid(seen, _TUNING_POINTS)])
    rows = np.arange(len(quality))
    costs = CostRange.of_single_models(cost.mean(axis=0), quality.mean(axis=0))
    point_cost, point_quality = cost[rows, choices].mean(axis=1), quality[rows, choices].mean(axis=1)
    if costs.high <= costs.low:
        return float(point_quality[-1])
    return costs.aiq(router_frontier(point_cost, point_quality, costs))


class _Sums:
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
