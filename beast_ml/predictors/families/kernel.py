"""Kernel ridge regression on what simpler predictions leave over, by a Nystrom approximation."""

from __future__ import annotations

from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.families.linear import cross_ridge

__all__ = ["fit_kernel"]

_LANDMARKS: Final = 700
_WIDTHS: Final = (1.0, 3.0)
_PENALTIES: Final = {"probability": (3.0, 10.0, 30.0, 100.0), "squared": (0.1, 0.3, 1.0, 3.0)}
_SMALLEST: Final = 1e-6
_SAMPLE: Final = 1000
_BLOCK: Final = 8192


def fit_kernel(problem: Problem, base: FamilyFit, rng: np.random.Generator) -> FamilyFit:
    """Fit a Gaussian kernel to the residuals of a base family; width and penalty by cross-validation.

    The kernel is spanned by up to 700 rows drawn at random (Williams, Seeger 2001), so that time grows linearly with
    the number of rows.

    Parameters
    ----------
    base
        What is improved upon.
    rng
        Draws the landmarks.
    """
    inputs = problem.inputs
    landmarks = inputs[rng.permutation(len(inputs))[:_LANDMARKS]]
    typical = float(np.median(_squared_distances(inputs[:_SAMPLE], landmarks))) or 1.0
    best: tuple[float, float, float, Floats, Floats, Floats, Floats] | None = None
    for width in _WIDTHS:
        rate = width / typical
        spanning = _whitening(landmarks, rate)
        features = _features(inputs, landmarks, rate, spanning)
        penalty, out_of_fold, weights, intercepts = cross_ridge(
            features, problem, base.out_of_fold, _PENALTIES[problem.loss]
        )
        error = float(np.nanmean((out_of_fold - problem.targets) ** 2))
        if best is None or error < best[0]:
            best = error, width, penalty, out_of_fold, spanning, weights, intercepts
    assert best is not None  # noqa: S101  there is at least one width
    _, width, penalty, out_of_fold, spanning, weights, intercepts = best
    coefficients = spanning @ weights

    def predict(rows: Rows) -> Floats:
        near = np.exp(-width / typical * _squared_distances(problem.standardise(rows), landmarks))
        return problem.bounded(base.predict(rows) + near @ coefficients + intercepts)

    return FamilyFit("kernel", problem.bounded(out_of_fold), predict, {"width": width, "penalty": penalty})


def _features(inputs: Floats, landmarks: Floats, rate: float, spanning: Floats) -> Floats:
    """Return (n, r) features, a block of rows after the other: on a large log they are most of what is in memory."""
    out = np.empty((len(inputs), spanning.shape[1]))
    for start in range(0, len(inputs), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = np.exp(-rate * _squared_distances(inputs[block], landmarks)) @ spanning
    return out


def _squared_distances(rows: Floats, landmarks: Floats) -> Floats:
    cross = rows @ landmarks.T
    squared = (rows**2).sum(axis=1)[:, None] - 2.0 * cross + (landmarks**2).sum(axis=1)
    return np.asarray(np.maximum(squared, 0.0))


def _whitening(landmarks: Floats, rate: float) -> Floats:
    """Return (l, r) weights that turn kernel values at the landmarks into features with the kernel as inner product."""
    kernel = np.exp(-rate * _squared_distances(landmarks, landmarks))
    values, vectors = np.linalg.eigh(kernel)
    kept = values > _SMALLEST * values[-1]
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]))
