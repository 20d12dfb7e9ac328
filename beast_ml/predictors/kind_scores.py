"""How good a classifier of kinds is: confusion, F1 of every kind and its mean, calibration error."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["calibration_error", "confusion", "f1_by_kind", "macro_f1"]

_BINS: Final = 15


def confusion(truth: NDArray[np.intp], predicted: NDArray[np.intp], n_kinds: int) -> NDArray[np.int64]:
    """Return (k, k) counts, true kinds down, predicted ones across.

    Examples
    --------
    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.bincount(truth * n_kinds + predicted, minlength=n_kinds * n_kinds)
    return cells.reshape(n_kinds, n_kinds)


def f1_by_kind(table: NDArray[np.int64]) -> Floats:
    """Return (k,) F1 = 2 right / (true + predicted) of a confusion table; NaN for a kind that is in neither."""
    right, both = np.diagonal(table).astype(float), table.sum(axis=0) + table.sum(axis=1)
    return np.asarray(np.divide(2.0 * right, both, out=np.full(len(table), np.nan), where=both > 0))


def macro_f1(table: NDArray[np.int64]) -> float:
    """Return the mean F1 over the kinds that some query truly has.

    Examples
    --------
    >>> round(macro_f1(np.array([[1, 1], [0, 1]])), 4)
    0.6667
    """
    return float(f1_by_kind(table)[table.sum(axis=1) > 0].mean())


def calibration_error(posterior: Floats, truth: NDArray[np.intp]) -> float:
    """Return the expected calibration error of the most probable kind: 15 bins of equal mass (Guo et al. 2017)."""
    confidence = posterior.max(axis=1)
    gap = confidence - (posterior.argmax(axis=1) == truth)
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(_BINS, len(truth)))
    return float(sum(abs(gap[rows].sum()) for rows in bins) / len(truth))
