"""What a router is worth on a query, over all that its users may be willing to pay."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.policy.frontier import non_decreasing_convex_hull
from beast_ml.policy.utility import Predictions, choose

__all__ = ["gain_with_error", "mean_utility", "willingness_range"]

Floats = NDArray[np.float64]

_POINTS: Final = 9
_BEYOND: Final = 2.0


def willingness_range(quality: Floats, cost: Floats) -> Floats:
    """Return increasing amounts that somebody may pay for a unit of quality, and whom the choice of a model concerns.

    They run evenly in their logarithm from half the least to twice the highest price at which better single models
    can be had, which are the slopes of their hull. Where the cheapest model is the best, quality alone counts: ``inf``.

    Parameters
    ----------
    quality, cost
        (n, m) realised outcomes; NaN where not observed.
    """
    complete = np.isfinite(quality).all(axis=1) & np.isfinite(cost).all(axis=1)
    hull = non_decreasing_convex_hull(cost[complete].mean(axis=0), quality[complete].mean(axis=0))
    if len(hull.cost) < 2:
        return np.array([np.inf])
    slopes = np.diff(hull.cost) / np.diff(hull.quality)
    return np.geomspace(slopes.min() / _BEYOND, slopes.max() * _BEYOND, _POINTS)


def mean_utility(predictions: Predictions, quality: Floats, cost: Floats, willingness: Floats) -> Floats:
    """Return each query's realised quality less its cost in units of quality, (n,): the mean over the willingness.

    It is a mean over queries, so that two routers can be compared query by query; an area under a curve is not.

    Parameters
    ----------
    predictions
        What is decided by.
    quality, cost
        (n, m) realised outcomes.
    willingness
        (k,) unit of cost per unit of quality.
    """
    at = np.arange(len(quality))
    worth = np.zeros(len(quality))
    for amount in willingness:
        chosen = choose(predictions, float(amount))
        worth += quality[at, chosen] - cost[at, chosen] / amount
    return worth / len(willingness)


def gain_with_error(gain: Floats, questions: NDArray[np.intp]) -> tuple[float, float]:
    """Return the mean of (n,) per-query gains and its standard error, that of queries clustered by question.

    Examples
    --------
    >>> gain_with_error(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
    (0.5, 0.5)
    """
    mean = float(gain.mean())
    sums = np.bincount(questions, gain - mean)[np.bincount(questions) > 0]
    q = len(sums)
    if q < 2:
        return mean, float("inf")
    return mean, float(np.sqrt((sums**2).sum() * q / (q - 1)) / len(gain))
