"""What happened to the k nearest training rows, in the space of the standardised features."""

from __future__ import annotations

from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.nearest import NeighbourSums, nearest, nearest_across_folds

__all__ = ["fit_neighbours"]

_K_GRID: Final = (10, 20, 40, 80, 160, 320)


def fit_neighbours(problem: Problem) -> FamilyFit:
    """Fit means over the k nearest rows by cosine; k by cross-validation."""
    vectors = problem.inputs.astype(np.float32)
    sizes = np.unique(problem.folds, return_counts=True)[1]
    ks = sorted({min(k, int(len(vectors) - sizes.max())) for k in _K_GRID})
    neighbours = nearest_across_folds(vectors, problem.folds, ks[-1], "cosine")
    sums, done = NeighbourSums(problem.targets, len(vectors)), 0
    best: tuple[float, int, Floats] | None = None
    for k in ks:
        sums.add(neighbours[:, done:k])
        done = k
        means = sums.means()
        error = float(np.nanmean((means - problem.targets) ** 2))
        if best is None or error < best[0]:
            best = error, k, means
    assert best is not None  # noqa: S101  there is at least one k
    _, k, out_of_fold = best

    def predict(rows: Rows) -> Floats:
        found = NeighbourSums(problem.targets)
        found.add(nearest(vectors, problem.standardise(rows).astype(np.float32), k, "cosine"))
        return found.means()

    return FamilyFit("neighbours", out_of_fold, predict, {"k": float(k)})
