"""Utility = willingness to pay x predicted quality - predicted cost, and the choice that maximises it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["COST_KINDS", "CostKind", "CostRange", "Predictions", "choose", "tradeoff_label", "willingness_grid"]

Floats = NDArray[np.float64]

CostKind = Literal["cost_usd", "latency_s", "none"]
"""What plays the part of cost: dollars, seconds, or nothing."""

COST_KINDS: Final[tuple[CostKind, ...]] = get_args(CostKind)
"""All of `CostKind`."""

_GRID_POINTS: Final = 48


class CostRange(NamedTuple):
    """What an answer may cost: (n, m) arrays in the unit of cost of the run.

    Parameters
    ----------
    low, high
        Ends of intervals that hold 90% of the realised costs.
    typical
        Exponentials of the expected logarithm: near the median, below the expectation.
    """

    low: Floats
    typical: Floats
    high: Floats

    def rows(self, chosen: NDArray[np.bool_]) -> CostRange:
        """Return the range of some queries."""
        return CostRange(*(values[chosen] for values in self))

    def holds(self, realised: Floats) -> Floats:
        """Return (n, m): 1.0 where a realised cost is inside its interval, 0.0 where not, NaN where not known."""
        return np.where(np.isnan(realised), np.nan, (self.low <= realised) & (realised <= self.high))


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
        (n, m) expectations, in the unit of cost of the run (USD or seconds); zeros where cost plays no part.
    cost_range
        How far the cost of an answer may be from its expectation, where the router says.
    """

    models: tuple[str, ...]
    quality: Floats
    cost: Floats
    cost_range: CostRange | None = None


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

    The values are quantiles of the rates at which single decisions change: for each query, the prices of quality at
    which its choice moves on to the next dearer model. Half of them are spaced by the number of decisions that change,
    half by the money that moves with them, so that the few dear decisions of a pool with one dear model are resolved
    as well as the many cheap ones. The ends are 0 (cost alone decides) and ``inf`` (quality alone decides). Every value
    is exactly what its `tradeoff_label` says, and no two labels are equal: whoever reads a decision table can decide
    again from it. There are at most ``n_points`` values, and at least half as many.
    """
    inner = n_points - 2
    rates, extra = _changes(predictions)
    if rates.size == 0:
        rates, extra = np.ones(1), np.ones(1)
    order = np.argsort(rates)
    rates, spent = rates[order], np.cumsum(extra[order])
    by_count = np.quantile(rates, np.linspace(0.0, 1.0, inner // 2), method="inverted_cdf")
    money = np.linspace(0.0, 1.0, inner - inner // 2 + 2)[1:-1] * spent[-1]
    by_money = rates[np.minimum(np.searchsorted(spent, money), rates.size - 1)]
    # A choice changes at its rate, so just above it: a tie goes to the cheaper model.
    inside = _as_printed(np.concatenate([by_count, by_money]) * (1.0 + 1e-5))
    if inside.size < inner // 2:  # too few distinct rates: fill up so that callers get the points they asked for
        inside = _as_printed(np.geomspace(inside[0] * 0.5, inside[-1] * 2.0, inner))
    return np.concatenate([[0.0], inside, [np.inf]])


def _changes(predictions: Predictions) -> tuple[Floats, Floats]:
    """Return every rate at which some query's choice changes, and the cost that the change adds to that query."""
    quality, cost = predictions.quality, predictions.cost
    at = choose(predictions, 0.0)
    rates: list[Floats] = []
    added: list[Floats] = []
    for _ in range(len(predictions.models) - 1):
        gain = quality - np.take_along_axis(quality, at[:, None], axis=1)
        extra = cost - np.take_along_axis(cost, at[:, None], axis=1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = np.where((gain > 0) & (extra > 0), extra / gain, np.inf)
        next_at = rate.argmin(axis=1)
        lowest = np.take_along_axis(rate, next_at[:, None], axis=1)[:, 0]
        moves = np.isfinite(lowest)
        if not moves.any():
            break
        rates.append(lowest[moves])
        added.append(np.take_along_axis(extra, next_at[:, None], axis=1)[moves, 0])
        at = np.where(moves, next_at, at)
    return (np.concatenate(rates), np.concatenate(added)) if rates else (np.zeros(0), np.zeros(0))


def _as_printed(values: Floats) -> Floats:
    return np.unique([float(tradeoff_label(value)) for value in values])
