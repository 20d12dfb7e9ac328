"""Shrink what the network says towards what is known of tasks and models, by as much as the data ask for."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["DEFAULT_MIXTURE", "choose_mixture", "cross_task_means", "task_means"]

_PRIOR_QUERIES: Final = 20.0

DEFAULT_MIXTURE: Final = (0.5, 0.5, 0.0)
"""Shares of (network, task mean, model mean): half-way was best or near it on every public set."""

_MIXTURES: Final = tuple((a / 4, b / 4, (4 - a - b) / 4) for a in range(5) for b in range(5 - a))


def task_means(quality: Floats, tasks: NDArray[np.intp], n_tasks: int) -> Floats:
    """Return (n_tasks, m) mean qualities, each shrunk to its model's mean as if by 20 more queries.

    A model's own mean is shrunk the same way to the mean over all models. NaN cells are left out.
    """
    seen = ~np.isnan(quality)
    values = np.where(seen, quality, 0.0)
    grand = values.sum() / max(int(seen.sum()), 1)
    of_model = (values.sum(axis=0) + _PRIOR_QUERIES * grand) / (seen.sum(axis=0) + _PRIOR_QUERIES)
    sums = np.zeros((n_tasks, quality.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, tasks, values)
    np.add.at(counts, tasks, seen)
    return np.asarray((sums + _PRIOR_QUERIES * of_model) / (counts + _PRIOR_QUERIES))


def cross_task_means(
    quality: Floats, tasks: NDArray[np.intp], posterior: Floats, folds: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Return out-of-fold posterior-task means and model means, (n, m) each.

    ``posterior`` is (n, n_tasks), itself out of fold.
    """
    by_task, by_model = np.empty_like(quality), np.empty_like(quality)
    one_task = np.zeros_like(tasks)
    for fold in np.unique(folds):
        held = folds == fold
        by_task[held] = posterior[held] @ task_means(quality[~held], tasks[~held], posterior.shape[1])
        by_model[held] = task_means(quality[~held], one_task[~held], 1)[0]
    return by_task, by_model


def choose_mixture(parts: tuple[Floats, Floats, Floats], quality: Floats) -> tuple[float, float, float]:
    """Return the shares of (network, task mean, model mean) that out-of-fold squared error asks for.

    The default is left only for a mixture that is better by more than one standard error of the paired difference:
    on small data the best of fifteen is mostly luck.
    """

    def loss(mixture: tuple[float, float, float]) -> Floats:
        mixed = sum(share * part for share, part in zip(mixture, parts, strict=True))
        return np.asarray(np.nanmean((mixed - quality) ** 2, axis=1))

    usable = ~np.isnan(quality).all(axis=1)
    parts = (parts[0][usable], parts[1][usable], parts[2][usable])
    quality = quality[usable]
    losses = {mixture: loss(mixture) for mixture in _MIXTURES}
    best = min(losses, key=lambda mixture: float(losses[mixture].mean()))
    gain = losses[DEFAULT_MIXTURE] - losses[best]
    if len(gain) < 2:
        return DEFAULT_MIXTURE
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return best if gain.mean() > error else DEFAULT_MIXTURE
