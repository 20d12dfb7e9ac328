"""How well cost is predicted before the request: R2 of its logarithm within each model, ratio errors, total spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap

__all__ = ["CostAccuracy", "assess_cost"]

Floats = NDArray[np.float64]

_MEDIAN_RESAMPLES: Final = 200
_CLOSE: Final = (0.10, 0.25)
_CONSTANT: Final = 1e-9  # variance of log cost below which a model's cost is a constant, and R2 has no meaning


@dataclass(frozen=True)
class CostAccuracy:
    """How predicted cost compares with realised cost.

    Parameters
    ----------
    log_r2
        R2 of log cost, mean over the models whose cost varies: what is explained within a model, not between.
    median_ratio_error
        Median of max(predicted / realised, realised / predicted) - 1 over all queries and models.
    within_10_percent, within_25_percent
        Share of calls whose ratio error is at most .10, and .25.
    coverage
        Share of calls inside their 90% intervals; None without intervals.
    spend_accuracy
        1 - |total predicted - total realised| / total realised, over all calls: "95% cost prediction" is met in this
        sense from .95 on. What a month costs is predicted better than what a call costs.
    per_model
        Model -> ``log_r2``, ``median_ratio_error``, ``spend_accuracy``, ``coverage``; None where not defined.
    """

    log_r2: Estimate
    median_ratio_error: Estimate
    within_10_percent: Estimate
    within_25_percent: Estimate
    spend_accuracy: Estimate
    coverage: Estimate | None
    per_model: dict[str, dict[str, float | None]]

    def to_dict(self) -> dict[str, object]:
        """Return the values for a report."""
        estimates = {name: value for name, value in vars(self).items() if isinstance(value, Estimate)}
        return {**{name: value.to_dict() for name, value in estimates.items()}, "per_model": self.per_model}


def assess_cost(
    models: tuple[str, ...],
    predicted: Floats,
    realised: Floats,
    bootstrap: QueryBootstrap,
    typical: Floats | None = None,
    inside: Floats | None = None,
) -> CostAccuracy:
    """Return the accuracy of (s, m) predicted costs.

    Parameters
    ----------
    predicted
        Expectations: the spend is judged by them.
    realised
        Calls that cost nothing have no logarithm, and are left out of all but the spend.
    typical
        Costs are skewed, so that an expectation is above the typical cost: where a router tells them apart, logarithms
        and ratios are judged by the latter. Default: ``predicted``.
    inside
        Which calls were inside their 90% intervals, 1.0 or 0.0; NaN where that is not known.
    """
    likely = predicted if typical is None else typical
    usable = (likely > 0) & (realised > 0)
    log_real = np.log(np.where(usable, realised, 1.0))
    error = np.where(usable, np.log(np.where(usable, likely, 1.0)) - log_real, 0.0)
    m = len(models)
    ratio = np.expm1(np.abs(error))
    means = bootstrap.means(np.hstack([error**2, log_real, log_real**2, usable]))
    squared, log_mean, log_square, n = (means[:, i * m : (i + 1) * m] for i in range(4))
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = log_square - log_mean**2 / n
        r2 = np.where(variance > _CONSTANT, 1.0 - squared / variance, np.nan)
    defined = np.isfinite(r2)
    mean_r2 = np.where(defined, r2, 0.0).sum(axis=1) / np.where(defined.any(axis=1), defined.sum(axis=1), np.nan)
    known = np.isfinite(realised)
    total = bootstrap.means(np.hstack([np.where(known, predicted, 0.0), np.where(known, realised, 0.0)]))
    close = bootstrap.means(np.stack([(usable & (ratio <= limit)).sum(axis=1) for limit in _CLOSE], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        spend = 1.0 - np.abs(total[:, :m] - total[:, m:]) / total[:, m:]
        pooled = total.reshape(-1, 2, m).sum(axis=2)
        spend_of_all = 1.0 - np.abs(pooled[:, 0] - pooled[:, 1]) / pooled[:, 1]
        shares = close / n.sum(axis=1, keepdims=True)
    few = bootstrap.first(_MEDIAN_RESAMPLES)
    per_model = {
        model: {
            "log_r2": float(r2[0, i]) if defined[0, i] else None,
            "median_ratio_error": float(np.median(ratio[usable[:, i], i])) if usable[:, i].any() else None,
            "spend_accuracy": float(spend[0, i]) if np.isfinite(spend[0, i]) else None,
            "coverage": None if inside is None else _mean(inside[:, i]),
        }
        for i, model in enumerate(models)
    }
    return CostAccuracy(
        log_r2=Estimate.of(mean_r2),
        median_ratio_error=Estimate.of(_medians(ratio, usable, few)),
        within_10_percent=Estimate.of(shares[:, 0]),
        within_25_percent=Estimate.of(shares[:, 1]),
        spend_accuracy=Estimate.of(spend_of_all),
        coverage=None if inside is None else Estimate.of(_shares_inside(inside, bootstrap)),
        per_model=per_model,
    )


def _mean(inside: Floats) -> float | None:
    known = inside[np.isfinite(inside)]
    return float(known.mean()) if known.size else None


def _shares_inside(inside: Floats, bootstrap: QueryBootstrap) -> Floats:
    known = np.isfinite(inside)
    means = bootstrap.means(np.stack([np.where(known, inside, 0.0).sum(axis=1), known.sum(axis=1)], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(means[:, 0] / means[:, 1])


def _medians(ratio: Floats, usable: NDArray[np.bool_], bootstrap: QueryBootstrap) -> Floats:
    """Return the median over usable cells: on the data, then on every resample of queries."""
    queries = np.nonzero(usable)[0]
    values = ratio[usable]
    if values.size == 0:
        return np.full(1 + len(bootstrap.draws), np.nan)
    order = np.argsort(values)
    values, queries = values[order], queries[order]
    medians = [float(np.median(values))]
    for row in range(len(bootstrap.draws)):
        mass = np.cumsum(bootstrap.weights(row, row + 1)[0][queries])
        medians.append(float(values[np.searchsorted(mass, mass[-1] / 2)]) if mass[-1] > 0 else np.nan)
    return np.array(medians)
