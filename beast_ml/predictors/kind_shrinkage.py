"""Shrink what is known of a task towards what is known of its kind, and that towards what is known of the models.

Two things are told apart. How hard a task is, its level, is much the same for all models, so it is learnt from all of
them together and little data tells it; the level is shrunk task -> kind -> nothing. How models differ on a task
decides routing and is harder to tell: a task's mean per model is shrunk towards that model's own mean at the task's
level, so few data change the level and leave the models' order alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats
from beast_ml.predictors.shrinkage import PRIOR_QUERIES, task_means

__all__ = ["kind_task_means", "kinds_of_tasks", "name_rare_tasks_by_kind"]

_MIN_TASK_QUERIES: Final = 10


def kind_task_means(
    values: Floats,
    tasks: NDArray[np.intp],
    n_tasks: int,
    kinds: NDArray[np.intp] | None = None,
    prior_queries: float = PRIOR_QUERIES,
) -> Floats:
    """Return (n_tasks, m) means, each shrunk to its model's mean at the level of its task and kind.

    Parameters
    ----------
    values
        (n, m); NaN cells are left out.
    tasks
        (n,) task of each query.
    n_tasks
        How many tasks there are; one without queries has its kind's level.
    kinds
        (n_tasks,) kind of each task, -1 where it has none; None: no kinds. See `kinds_of_tasks`.
    prior_queries
        Every step shrinks as if by so many more queries.

    Notes
    -----
    With ``kinds`` None and one task this is `task_means`, up to the
    level of all queries.
    """
    seen = ~np.isnan(values)
    if not seen.any():
        return task_means(values, tasks, n_tasks, prior_queries)
    of_model = task_means(values, np.zeros_like(tasks), 1, prior_queries)[0]
    residual = np.where(seen, values - of_model, 0.0).sum(axis=1)
    n_seen = seen.sum(axis=1)
    prior_cells = prior_queries * n_seen.sum() / (n_seen > 0).sum()  # queries of as many answers as there are
    level = _shrunk(residual, n_seen, tasks, np.zeros(n_tasks), prior_cells)
    if kinds is not None and (kinds >= 0).any():
        of_query = kinds[tasks]
        known = of_query >= 0
        none = np.zeros(int(kinds.max()) + 1)
        of_kind = _shrunk(residual[known], n_seen[known], of_query[known], none, prior_cells)
        level = _shrunk(residual, n_seen, tasks, np.where(kinds >= 0, of_kind[kinds], 0.0), prior_cells)
    target = np.clip(of_model + level[:, None], values[seen].min(), values[seen].max())
    sums, counts = np.zeros_like(target), np.zeros_like(target)
    np.add.at(sums, tasks, np.where(seen, values, 0.0))
    np.add.at(counts, tasks, seen)
    return np.asarray((sums + prior_queries * target) / (counts + prior_queries))


def kinds_of_tasks(tasks: NDArray[np.intp], n_tasks: int, kinds: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return (n_tasks,) the position of each task's most frequent kind among the sorted kinds, -1 where it has none.

    Parameters
    ----------
    tasks
        (n,) task of each query.
    kinds
        (n,) kind of each query, "" where none is known.

    Examples
    --------
    >>> kinds_of_tasks(np.array([0, 0, 1, 2]), 3, np.array(["law", "law", "", "code"])).tolist()
    [1, -1, 0]
    """
    names, index = np.unique(kinds, return_inverse=True)
    first = int(len(names) > 0 and names[0] == "")
    counts = np.zeros((n_tasks, len(names) - first), dtype=np.intp)
    known = index >= first
    np.add.at(counts, (tasks[known], index[known] - first), 1)
    if counts.shape[1] == 0:
        return np.full(n_tasks, -1, dtype=np.intp)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)


def name_rare_tasks_by_kind(tasks: NDArray[np.str_], kinds: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return (n,) task names in which those of fewer than ten queries go by ``kind:...``, where their kind is known.

    Put before tasks are grouped, it keeps rare tasks of different kinds apart.

    Examples
    --------
    >>> name_rare_tasks_by_kind(np.array(["mmlu/virology", "odd"]), np.array(["medicine", ""])).tolist()
    ['kind:medicine', 'odd']
    """
    _, index, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    rare = (counts[index] < _MIN_TASK_QUERIES) & (kinds != "")
    return np.asarray(np.where(rare, np.char.add("kind:", kinds), tasks))


def _shrunk(residual: Floats, n_seen: NDArray[np.intp], groups: NDArray[np.intp], to: Floats, prior: float) -> Floats:
    """Return each group's mean residual, shrunk to ``to`` as if by so many more cells."""
    sums = np.bincount(groups, residual, minlength=len(to))
    return np.asarray((sums + prior * to) / (np.bincount(groups, n_seen, minlength=len(to)) + prior))
