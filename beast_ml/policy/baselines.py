"""What a learned router must beat: the best model per task, and a coin between the cheapest and the best model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.policy.utility import Predictions

__all__ = ["TaskMeans", "cross_fit_task_means", "model_means", "predict_tasks", "random_mix", "weak_and_strong"]

Floats = NDArray[np.float64]
Tasks = NDArray[np.str_]


def model_means(values: Floats) -> Floats:
    """Return the (m,) means of (n, m) outcomes over what was observed; 0 for a model that never was."""
    observed = np.isfinite(values)
    return np.asarray(np.where(observed, values, 0.0).sum(axis=0) / np.maximum(observed.sum(axis=0), 1))


@dataclass(frozen=True)
class TaskMeans:
    """Mean quality and cost of every model on every task: knows the task, and nothing else of a prompt.

    Parameters
    ----------
    models
        The m candidates.
    tasks
        The t tasks, sorted.
    quality, cost
        (t + 1, m): one row per task, and last the row for any other task, the overall means.
    """

    models: tuple[str, ...]
    tasks: Tasks
    quality: Floats
    cost: Floats

    @classmethod
    def fit(cls, models: tuple[str, ...], tasks: Tasks, quality: Floats, cost: Floats) -> TaskMeans:
        """Return the means of (n, m) outcomes by task; a model not seen on a task gets its overall mean there."""
        names, rows = np.unique(tasks, return_inverse=True)
        return cls(models, names, _means_by_row(quality, rows, len(names)), _means_by_row(cost, rows, len(names)))

    def predict(self, tasks: Tasks) -> Predictions:
        """Return the means of each query's task."""
        positions = np.minimum(np.searchsorted(self.tasks, tasks), len(self.tasks) - 1)
        rows = np.where(self.tasks[positions] == tasks, positions, len(self.tasks))
        return Predictions(self.models, self.quality[rows], self.cost[rows])


def cross_fit_task_means(
    models: tuple[str, ...], tasks: Tasks, quality: Floats, cost: Floats, folds: NDArray[np.intp]
) -> Predictions:
    """Return predictions for every training query from the task means of the other folds."""
    out_quality, out_cost = np.empty_like(quality), np.empty_like(cost)
    for fold in np.unique(folds):
        held_out = folds == fold
        means = TaskMeans.fit(models, tasks[~held_out], quality[~held_out], cost[~held_out])
        predictions = means.predict(tasks[held_out])
        out_quality[held_out], out_cost[held_out] = predictions.quality, predictions.cost
    return Predictions(models, out_quality, out_cost)


def predict_tasks(embeddings: NDArray[np.float32], tasks: Tasks, queries: NDArray[np.float32]) -> Tasks:
    """Return the task of each query as a linear classifier on training embeddings sees it."""
    if len(np.unique(tasks)) == 1:
        return np.full(len(queries), tasks[0])
    from sklearn.linear_model import RidgeClassifier

    return np.asarray(RidgeClassifier(alpha=0.1).fit(embeddings, tasks).predict(queries), dtype=np.str_)


def weak_and_strong(quality: Floats, cost: Floats) -> tuple[int, int]:
    """Return the indices of the cheapest model (the worst, when several cost the same) and of the best one.

    Parameters
    ----------
    quality, cost
        (n, m) outcomes; means over what was observed decide. Of equally good models the cheaper is the best.
    """
    mean_quality, mean_cost = model_means(quality), model_means(cost)
    return int(np.lexsort((mean_quality, mean_cost))[0]), int(np.lexsort((mean_cost, -mean_quality))[0])


def random_mix(weak: int, strong: int, shares: Floats, n_queries: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return (k, n) choices that send a share of the queries, drawn by lot, to the strong model.

    The draws are nested: a query that goes to the strong model keeps going there as the share grows.
    """
    lots = rng.random(n_queries)
    return np.where(lots[None, :] < shares[:, None], strong, weak).astype(np.intp)


def _means_by_row(values: Floats, rows: NDArray[np.intp], n_rows: int) -> Floats:
    observed = np.isfinite(values)
    sums, counts = np.zeros((n_rows, values.shape[1])), np.zeros((n_rows, values.shape[1]))
    np.add.at(sums, rows, np.where(observed, values, 0.0))
    np.add.at(counts, rows, observed)
    overall = model_means(values)
    return np.vstack([np.where(counts > 0, sums / np.maximum(counts, 1.0), overall), overall])
