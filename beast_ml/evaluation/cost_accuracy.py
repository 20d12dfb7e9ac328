"""How well cost is predicted: R2 of its logarithm within each model, and the median ratio error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap

__all__ = ["CostAccuracy", "assess_cost"]

Floats = NDArray[np.float64]

_MEDIAN_RESAMPLES: Final = 200
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
    per_model
        Model -> ``log_r2``, ``median_ratio_error``; None where not defined.
    """

    log_r2: Estimate
    median_ratio_error: Estimate
    per_model: dict[str, dict[str, float | None]]

    def to_dict(self) -> dict[str, object]:
        """Return the values for a report."""
        return {
            "log_r2": self.log_r2.to_dict(),
            "median_ratio_error": self.median_ratio_error.to_dict(),
            "per_model": self.per_model,
        }


def assess_cost(
    models: tuple[str, ...], predicted: Floats, realised: Floats, bootstrap: QueryBootstrap
) -> CostAccuracy:
    """Return the accuracy of (s, m) predicted costs; calls that cost nothing have no logarithm and are left out."""
    usable = (predicted > 0) & (realised > 0)
    log_real = np.log(np.where(usable, realised, 1.0))
    error = np.where(usable, np.log(np.where(usable, predicted, 1.0)) - log_real, 0.0)
    m = len(models)
    means = bootstrap.means(np.hstack([error**2, log_real, log_real**2, usable]))
    squared, log_mean, log_square, n = (means[:, i * m : (i + 1) * m] for i in range(4))
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = log_square - log_mean**2 / n
        r2 = np.where(variance > _CONSTANT, 1.0 - squared / variance, np.nan)
    defined = np.isfinite(r2)
    mean_r2 = np.where(defined, r2, 0.0).sum(axis=1) / np.where(defined.any(axis=1), defined.sum(axis=1), np.nan)
    ratio = np.expm1(np.abs(error))
    few = bootstrap.first(_MEDIAN_RESAMPLES)
    per_model = {
        model: {
            "log_r2": float(r2[0, i]) if defined[0, i] else None,
            "median_ratio_error": float(np.median(ratio[usable[:, i], i])) if usable[:, i].any() else None,
        }
        for i, model in enumerate(models)
    }
    return CostAccuracy(Estimate.of(mean_r2), Estimate.of(_medians(ratio, usable, few)), per_model)


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
