"""Utility = willingness to pay x predicted quality - predicted cost, and the choice that maximises it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["COST_KINDS", "CostKind", "Predictions", "choose", "tradeoff_label", "willingness_grid"]

Floats = NDArray[np.float64]

CostKind = Literal["cost_usd", "latency_s", "none"]
"""What plays the part of cost: dollars, seconds, or nothing."""

COST_KINDS: Final[tuple[CostKind, ...]] = get_args(CostKind)

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
    """Return, per query, the index of the model of highest utility.

    Ties go to the cheaper model, then to the better one, then to the first name. ``inf`` means quality at any
    price: the highest predicted quality, the cheapest on ties.
    """
    quality, cost = predictions.quality, predictions.cost
    utility = quality if np.isinf(willingness_to_pay) else willingness_to_pay * quality - cost
    best = utility >= utility.max(axis=1, keepdims=True)
    price = np.where(best, cost, np.inf)
    tied = price <= price.min(axis=1, keepdims=True)
    return np.asarray(np.where(tied, quality, -np.inf).argmax(axis=1))


def tradeoff_label(willingness_to_pay: float) -> str:
    """Return a willingness to pay as decision tables print it.

    Examples
    --------
    >>> tradeoff_label(0.0123456789), tradeoff_label(0.0), tradeoff_label(float("inf"))
    ('0.0123457', '0', 'inf')
    """
    return f"{willingness_to_pay:.6g}"


def willingness_grid(predictions: Predictions, n_points: int = _GRID_POINTS) -> Floats:
    """Return increasing willingness-to-pay values that run from always-cheapest to always-best-predicted.

    The values are quantiles of the rates at which single decisions change: for each query and model, the price of
    quality (difference in cost / difference in quality to the cheapest model) at which the model becomes worth its
    cost. The ends are 0 (cost alone decides) and ``inf`` (quality alone decides). Every value is exactly what its
    `tradeoff_label` says, and no two labels are equal: whoever reads a decision table can decide again from it.
    """
    inner = n_points - 2
    quality, cost = predictions.quality, predictions.cost
    cheapest = cost.argmin(axis=1)[:, None]
    gain = quality - np.take_along_axis(quality, cheapest, axis=1)
    extra = cost - np.take_along_axis(cost, cheapest, axis=1)
    better = (gain > 0) & (extra > 0)
    with np.errstate(over="ignore"):
        rates = extra[better] / gain[better]
    rates = rates[np.isfinite(rates)]
    if rates.size == 0:
        rates = np.ones(1)
    inside = _as_printed(np.exp(np.quantile(np.log(rates), np.linspace(0.0, 1.0, inner))))
    if inside.size < inner:  # too few distinct rates: fill up so that callers get the points they asked for
        inside = _as_printed(np.geomspace(inside[0] * 0.5, inside[-1] * 2.0, inner))
    return np.concatenate([[0.0], inside, [np.inf]])


def _as_printed(values: Floats) -> Floats:
    return np.unique([float(tradeoff_label(value)) for value in values])
