"""The nearest-neighbour router: what happened to the k most similar training prompts will happen to this one.

Simple, hard to beat, and so the baseline that every learned router is held to. The number of neighbours and the
metric are tuned by cross-validation over questions, on the training data alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.policy.frontier import CostRange, router_frontier
from beast_ml.policy.utility import Predictions, choose, willingness_grid
from beast_ml.predictors.nearest import (
    Metric,
    Neighbours,
    NeighbourSums,
    metrics_of,
    nearest,
    nearest_across_folds,
)

__all__ = ["NeighbourRouter", "tune_neighbours"]

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

_K_GRID: Final = (5, 10, 20, 40, 80, 160, 320)
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
        neighbours = nearest(self.embeddings, embeddings, self.k, self.metric)
        quality, cost = NeighbourSums(self.quality), NeighbourSums(self.cost)
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
    for metric in metrics_of(embeddings):
        neighbours = nearest_across_folds(embeddings, folds, ks[-1], metric)
        for k, predictions in _predictions_by_k(models, neighbours, quality, cost, ks):
            score = _score(predictions, quality, cost)
            if best is None or score > best[0]:
                best = score, k, metric, predictions
    assert best is not None  # noqa: S101  there is at least one metric and one k
    _, k, metric, out_of_fold = best
    return NeighbourRouter(models, embeddings, quality, cost, k, metric, out_of_fold)


def _predictions_by_k(
    models: tuple[str, ...], neighbours: Neighbours, quality: Floats, cost: Floats, ks: list[int]
) -> Iterator[tuple[int, Predictions]]:
    quality_sums, cost_sums = NeighbourSums(quality, len(neighbours)), NeighbourSums(cost, len(neighbours))
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
