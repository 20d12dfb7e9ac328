"""Moments of a variant's units as they were after each look, in one pass over the observations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beast_ml.experiments.moments import UnitMoments

__all__ = ["running_moments"]

Floats = NDArray[np.float64]


def running_moments(unit: NDArray[np.intp], observed: Floats, weight: Floats, looks: NDArray[np.intp]) -> UnitMoments:
    """Return what was known of a variant's units at each look.

    When a unit is observed again its totals grow, and its old share of the sums makes place for the new one: each sum
    is over units at every moment.

    Parameters
    ----------
    unit
        (n,) who was observed, in order of time.
    observed
        (n, 1 + k) the value, and k covariates.
    weight
        (n,) what each observation counts for.
    looks
        (t,) how many observations had been made; not decreasing; 0 where there was none yet.
    """
    rows = np.concatenate([observed[:, :1], np.ones((len(observed), 1)), observed[:, 1:]], axis=1) * weight[:, None]
    after, first = _totals(unit, rows)
    before = after - rows
    n_units = _at(np.cumsum(first), looks).astype(np.int64)
    safe = np.maximum(n_units, 1).astype(float)
    mean = _at(np.cumsum(rows, axis=0), looks) / safe[:, None]
    d = rows.shape[1]
    cov = np.empty((len(looks), d, d))
    for i in range(d):
        for j in range(i, d):
            products = _at(np.cumsum(after[:, i] * after[:, j] - before[:, i] * before[:, j]), looks)
            cov[:, i, j] = cov[:, j, i] = products - safe * mean[:, i] * mean[:, j]
    with np.errstate(divide="ignore", invalid="ignore"):
        cov /= np.where(n_units > 1, n_units - 1.0, np.nan)[:, None, None]
        skewness = _skewness(after[:, :2], before[:, :2], looks, safe, mean)
    return UnitMoments(n_units, np.where(n_units[:, None] > 0, mean, np.nan), cov, skewness)


def _totals(unit: NDArray[np.intp], rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return each unit's totals after each of its rows, and whether the row is its first."""
    order = np.argsort(unit, kind="stable")
    sorted_units = unit[order]
    starts = np.ones(len(unit), dtype=bool)
    starts[1:] = sorted_units[1:] != sorted_units[:-1]
    first = np.empty(len(unit), dtype=bool)
    first[order] = starts
    if starts.all():
        return rows, first
    sums = np.cumsum(rows[order], axis=0)
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(unit)), 0))
    earlier = sums[begin] - rows[order][begin]
    totals = np.empty_like(rows)
    totals[order] = sums - earlier
    return totals, first


def _skewness(after: Floats, before: Floats, looks: NDArray[np.intp], n: Floats, mean: Floats) -> Floats:
    """Return the skewness of (total - ratio x observations), from sums of products of three."""
    ratio = mean[:, 0] / mean[:, 1]

    def summed(i: int, j: int) -> Floats:
        """Sum over units of total^i x observations^j."""
        new = after[:, 0] ** i * after[:, 1] ** j
        return _at(np.cumsum(new - before[:, 0] ** i * before[:, 1] ** j), looks)

    second = summed(2, 0) - 2 * ratio * summed(1, 1) + ratio**2 * summed(0, 2)
    third = summed(3, 0) - 3 * ratio * summed(2, 1) + 3 * ratio**2 * summed(1, 2) - ratio**3 * summed(0, 3)
    return np.asarray(np.where(second > 0, third / n / (second / n) ** 1.5, np.nan))


def _at(sums: NDArray[np.float64], looks: NDArray[np.intp]) -> Floats:
    """Return cumulated sums after so many rows, 0 after none."""
    padded = np.concatenate([np.zeros((1, *sums.shape[1:])), sums])
    return np.asarray(padded[looks])
