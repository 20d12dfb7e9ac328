"""Quantiles of what a prediction misses: conformal offsets, times a scale that is wide where amounts are uncertain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import Problem
from beast_ml.predictors.families.linear import cross_ridge
from beast_ml.predictors.heads import DenseHead

__all__ = ["COVERAGE", "ConformalOffsets", "cross_coverage", "fit_scale", "local_scale", "worst_group"]

COVERAGE: Final = 0.9
"""Share of realised amounts that the intervals hold."""

_LEVELS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
# How far an amount will be missed is a rough thing to learn: held close to the model's own mean.
_PENALTIES: Final = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
_LEAST_SIZE: Final = 1e-4
_MAX_WIDENING: Final = 5.0
_MIN_GROUP: Final = 100


@dataclass(frozen=True)
class ConformalOffsets:
    """Quantiles of normalised residuals, (realised log - predicted log) / scale, per candidate.

    Split conformal (Lei et al. 2018, normalised scores): a quantile of n held-out scores is taken at the rank that
    makes it hold for the next one, ``ceil((n + 1) q)`` above the median and ``floor((n + 1) q)`` below it.

    Parameters
    ----------
    levels
        (k,) ascending, in 0..1.
    offsets
        (m, k) the scores at these levels.
    """

    levels: Floats
    offsets: Floats

    @classmethod
    def fit(cls, scores: Floats) -> ConformalOffsets:
        """Fit on (n, m) out-of-fold scores; NaN cells are left out.

        Beyond what n scores can tell (a 99% quantile of fewer than 99), the most extreme one is taken.
        """
        levels = np.array(_LEVELS)
        offsets = np.empty((scores.shape[1], len(levels)))
        for j in range(scores.shape[1]):
            seen = np.sort(scores[~np.isnan(scores[:, j]), j])
            n = len(seen)
            exact = (n + 1) * levels
            rank = np.where(levels > 0.5, np.ceil(exact - 1e-9), np.floor(exact + 1e-9))
            offsets[j] = seen[np.clip(rank.astype(int) - 1, 0, n - 1)]
            offsets[j, levels == 0.5] = np.median(seen)
        return cls(levels, offsets)

    def at(self, level: float) -> Floats:
        """Return the (m,) scores at a level, interpolated between the stored ones.

        Raises
        ------
        InputError
            If the level is outside what is stored, 0.01 to 0.99.
        """
        if not self.levels[0] <= level <= self.levels[-1]:
            raise InputError(f"quantile `q` == {level}, must be from {self.levels[0]:g} to {self.levels[-1]:g}")
        return np.array([np.interp(level, self.levels, offsets) for offsets in self.offsets])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able numbers, for `from_dict`."""
        return {"levels": self.levels.tolist(), "offsets": self.offsets.tolist()}

    @classmethod
    def from_dict(cls, numbers: dict[str, Any]) -> ConformalOffsets:
        """Rebuild from what `to_dict` returned."""
        return cls(np.asarray(numbers["levels"], float), np.asarray(numbers["offsets"], float))


def fit_scale(problem: Problem, residuals: Floats) -> tuple[DenseHead, Floats, Floats]:
    """Fit how far each candidate's amount is missed, request by request.

    The absolute residual is regressed on the features, linearly, with a penalty by cross-validation (Lei et al. 2018,
    section 5.2): the few requests that are missed by much count for what they are, as the ends of an interval need it.

    Parameters
    ----------
    problem
        What was predicted: its features and folds.
    residuals
        (n, m) out-of-fold log residuals; NaN where nothing was observed.

    Returns
    -------
    head
        Linear; outputs the expected size of the residual in units of ``center``.
    center
        (m,) mean size.
    out_of_fold
        (n, m) scales, each by a model that did not see the query's fold.
    """
    sizes = np.abs(residuals)
    center = np.nanmean(sizes, axis=0) + _LEAST_SIZE
    relative = replace(problem, targets=sizes / center)
    _, out_of_fold, weights, means = cross_ridge(problem.inputs, relative, np.zeros_like(sizes), _PENALTIES)
    layer = (weights.astype(np.float32),), (means.astype(np.float32),)
    return DenseHead(*problem.standardisation, *layer), center, local_scale(out_of_fold, center)


def local_scale(outputs: Rows | Floats, center: Floats) -> Floats:
    """Return (n, m) scales from the outputs of a scale head, within a factor 5 of the candidate's own."""
    return np.asarray(center * np.clip(outputs.astype(np.float64), 1.0 / _MAX_WIDENING, _MAX_WIDENING))


def cross_coverage(scores: Floats, folds: NDArray[np.intp]) -> Floats:
    """Return (n, m) whether each score lies inside the 90% interval that the other folds' scores give.

    1.0 inside, 0.0 outside, NaN where nothing was observed: its mean is an honest coverage.
    """
    inside = np.full_like(scores, np.nan)
    tail = (1.0 - COVERAGE) / 2.0
    for fold in np.unique(folds):
        held, rest = scores[folds == fold], scores[folds != fold]
        usable = ~np.isnan(rest).all(axis=0)
        offsets = ConformalOffsets.fit(rest[:, usable])
        low, high = offsets.at(tail), offsets.at(1.0 - tail)
        within = (held[:, usable] >= low) & (held[:, usable] <= high)
        block = np.full_like(held, np.nan)
        block[:, usable] = np.where(np.isnan(held[:, usable]), np.nan, within)
        inside[folds == fold] = block
    return inside


def worst_group(inside: Floats, groups: NDArray[np.str_]) -> float:
    """Return the coverage, pooled over candidates, of the group of at least 100 queries that is furthest from 90%.

    Queries without any interval to judge do not count. The mean over all where no group is that large.
    """
    judged = ~np.isnan(inside).all(axis=1)
    inside, groups = inside[judged], groups[judged]
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = [float(np.nanmean(inside[index == i])) for i in range(len(names)) if counts[i] >= _MIN_GROUP]
    return max(means, key=lambda mean: abs(mean - COVERAGE), default=float(np.nanmean(inside)))
