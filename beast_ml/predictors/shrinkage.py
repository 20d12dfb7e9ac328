"""What is known of tasks and models without looking at a prompt: means that little data cannot lead astray."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["PRIOR_QUERIES", "group_tasks", "task_means"]

PRIOR_QUERIES: Final = 20.0
"""Queries that a mean counts for towards which others are shrunk, unless said otherwise."""

_MIN_TASK_QUERIES: Final = 10
_MAX_TASKS: Final = 256
_OTHER: Final = ""


def task_means(quality: Floats, tasks: NDArray[np.intp], n_tasks: int, prior_queries: float = PRIOR_QUERIES) -> Floats:
    """Return (n_tasks, m) mean qualities, each shrunk to its model's mean as if by so many more queries.

    A model's own mean is shrunk the same way to the mean over all models. NaN cells are left out.
    """
    seen = ~np.isnan(quality)
    values = np.where(seen, quality, 0.0)
    grand = values.sum() / max(int(seen.sum()), 1)
    of_model = (values.sum(axis=0) + prior_queries * grand) / (seen.sum(axis=0) + prior_queries)
    sums = np.zeros((n_tasks, quality.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, tasks, values)
    np.add.at(counts, tasks, seen)
    return np.asarray((sums + prior_queries * of_model) / (counts + prior_queries))


def group_tasks(tasks: NDArray[np.str_]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Return task names and each query's index; tasks of fewer than ten queries are put together."""
    names, index, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_MAX_TASKS]
    kept = sorted(str(names[i]) for i in frequent if counts[i] >= _MIN_TASK_QUERIES)
    position = {name: i for i, name in enumerate(kept)}
    if all(str(name) in position for name in names):
        lookup = np.array([position[str(name)] for name in names])
        return tuple(kept), lookup[index]
    if _OTHER not in position:
        position[_OTHER] = len(kept)
        kept.append(_OTHER)
    lookup = np.array([position.get(str(name), position[_OTHER]) for name in names])
    return tuple(kept), lookup[index]
