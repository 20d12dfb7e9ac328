"""Quantiles of what a prediction misses: conformal offsets, times a scale that is wide where amounts are uncertain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats, Progress, Rows
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.network import NetworkConfig, fit_network

__all__ = ["COVERAGE", "ConformalOffsets", "cross_coverage", "fit_scale", "local_scale", "worst_group"]

COVERAGE: Final = 0.9
"""Share of realised amounts that the intervals hold."""

_LEVELS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
# How far an amount will be missed is a rough thing to learn: a linear model, held close to the model's own mean.
_SCALE_NETWORK: Final = NetworkConfig(hidden=(), dropout=0.0, weight_decay=0.1, task_weight=0.0, epochs=10)
_RESIDUAL_FLOOR: Final = 0.01
_MAX_LOG_WIDENING: Final = 1.5
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


def fit_scale(
    rows: Rows, residuals: Floats, folds: NDArray[np.intp], rng: np.random.Generator, progress: Progress | None = None
) -> tuple[DenseHead, Floats, Floats]:
    """Fit how far each candidate's amount is missed, request by request.

    Parameters
    ----------
    residuals
        (n, m) out-of-fold log residuals; NaN where nothing was observed.

    Returns
    -------
    head
        Outputs the log of the expected size of the residual, less ``center``.
    center
        (m,) mean log size.
    out_of_fold
        (n, m) scales, each by a model that did not see the query's fold.
    """
    sizes = np.log(np.abs(residuals) + _RESIDUAL_FLOOR)
    center = np.nanmean(sizes, axis=0)
    fit = fit_network(
        rows, sizes - center, folds, loss="squared", config=_SCALE_NETWORK, rng=rng, progress=progress, label="scale"
    )
    return fit.head, center, local_scale(fit.out_of_fold, center)


def local_scale(outputs: Rows, center: Floats) -> Floats:
    """Return (n, m) scales from the outputs of a scale head, within a factor 4.5 of the candidate's own."""
    return np.asarray(np.exp(center + np.clip(outputs.astype(np.float64), -_MAX_LOG_WIDENING, _MAX_LOG_WIDENING)))


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

    The mean over all queries where no group is that large.
    """
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = [float(np.nanmean(inside[index == i])) for i in range(len(names)) if counts[i] >= _MIN_GROUP]
    return max(means, key=lambda mean: abs(mean - COVERAGE), default=float(np.nanmean(inside)))
