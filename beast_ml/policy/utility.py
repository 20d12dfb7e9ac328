"""Utility = willingness to pay x predicted quality - predicted cost, and the choice that maximises it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Predictions", "choose", "willingness_grid"]

Floats = NDArray[np.float64]

_GRID_POINTS: Final = 48


@dataclass(frozen=True)
class Predictions:
    """What is expected of every candidate on every query.

    Parameters
    ----------
    models
        The m candidate names, sorted.
    quality
        (n, m), 0..1.
    cost
        (n, m), in the unit of cost of the run (USD or seconds); zeros where cost plays no part.
    """

    models: tuple[str, ...]
    quality: Floats
    cost: Floats


def choose(predictions: Predictions, willingness_to_pay: float) -> NDArray[np.intp]:
    """Return, per query, the index of the model of highest utility; ties go to the cheaper, then the first name.

    ``inf`` means quality at any price: the highest predicted quality, the cheapest on ties.
    """
    quality, cost = predictions.quality, predictions.cost
    if np.isinf(willingness_to_pay):
        utility = quality
    else:
        utility = willingness_to_pay * quality - cost
    best = utility >= utility.max(axis=1, keepdims=True)
    return np.where(best, cost, np.inf).argmin(axis=1)


def willingness_grid(predictions: Predictions, n_points: int = _GRID_POINTS) -> Floats:
    """Return increasing willingness-to-pay values that run from always-cheapest to always-best-predicted.

    The values are quantiles of the rates at which single decisions change: for each query and pair of models, the
    price of quality (difference in cost / difference in quality) at which the better one becomes worth its cost.
    The ends are 0 (cost alone decides) and ``inf`` (quality alone decides).
    """
    inner = n_points - 2
    quality, cost = predictions.quality, predictions.cost
    cheapest = cost.argmin(axis=1)[:, None]
    gain = quality - np.take_along_axis(quality, cheapest, axis=1)
    extra = cost - np.take_along_axis(cost, cheapest, axis=1)
    rates = (extra[gain > 0] / gain[gain > 0]) if (gain > 0).any() else np.zeros(0)
    rates = rates[np.isfinite(rates) & (rates > 0)]
    if rates.size == 0:
        rates = np.ones(1)
    inside = np.exp(np.quantile(np.log(rates), np.linspace(0.0, 1.0, inner)))
    distinct = np.unique(inside)
    if distinct.size < inner:  # too few distinct rates: fill up so that callers get the points they asked for
        distinct = np.geomspace(distinct[0] * 0.5, distinct[-1] * 2.0, inner)
    return np.concatenate([[0.0], distinct, [np.inf]])
