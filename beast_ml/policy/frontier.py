"""The cost-quality frontier of a router, and the area under it: NDCH, AIQ, zero router, oracle.

A router's points (mean cost, mean quality), one per willingness to pay, span a frontier: a mixture of two points is
a router too, and nobody pays more for less. The non-decreasing convex hull (NDCH) is that frontier; the average
improvement in quality (AIQ) is its mean height between the cheapest and the dearest single model. Definitions follow
RouterBench (Hu et al. 2024, arXiv 2403.12031).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beast_ml.policy.utility import Predictions, choose, willingness_grid

__all__ = ["CostRange", "Frontier", "non_decreasing_convex_hull", "oracle_choices", "router_frontier", "share_of_gap"]

Floats = NDArray[np.float64]

_ORACLE_POINTS = 160  # a finer grid changes the oracle's AIQ in the fifth decimal


@dataclass(frozen=True)
class Frontier:
    """A concave, non-decreasing curve: straight between its vertices, flat to the right of the last.

    Parameters
    ----------
    cost, quality
        The vertices: both strictly increasing.
    """

    cost: Floats
    quality: Floats

    def quality_at(self, cost: ArrayLike) -> Floats:
        """Return the quality that a cost buys; NaN to the left of the first vertex."""
        return np.asarray(np.interp(np.asarray(cost, dtype=float), self.cost, self.quality, left=np.nan))

    def cost_of(self, quality: float) -> float | None:
        """Return the least cost that buys a quality, or None where the curve never reaches it."""
        if quality > self.quality[-1]:
            return None
        return float(np.interp(quality, self.quality, self.cost))

    def area(self, low: float, high: float) -> float:
        """Return the area under the curve between two costs, both at or to the right of the first vertex."""
        inside = self.cost[(self.cost > low) & (self.cost < high)]
        knots = np.concatenate(([low], inside, [high]))
        heights = self.quality_at(knots)
        return float(((heights[1:] + heights[:-1]) * (knots[1:] - knots[:-1])).sum() / 2.0)


@dataclass(frozen=True)
class CostRange:
    """From the mean cost of the cheapest single model of a pool to that of the dearest, on the same queries.

    Parameters
    ----------
    low, high
        The two costs.
    anchor_quality
        Quality of the cheapest single model (the best of them, when several cost the same): every curve starts there.
    """

    low: float
    high: float
    anchor_quality: float

    @classmethod
    def of_single_models(cls, cost: Floats, quality: Floats) -> CostRange:
        """Return the range that m single models span, from their (m,) mean costs and qualities."""
        low = float(cost.min())
        return cls(low, float(cost.max()), float(quality[cost <= low].max()))

    def aiq(self, frontier: Frontier) -> float:
        """Return the mean height of a frontier over the range (RouterBench's paper).

        Where all models cost the same there is no range, and what counts is the best quality that this cost buys.
        """
        if self.high <= self.low:
            return float(frontier.quality_at(self.high))
        return frontier.area(self.low, self.high) / (self.high - self.low)

    def aiq_over_dearest(self, frontier: Frontier) -> float:
        """Return the area over the range divided by the dearest cost (RouterBench's code); NaN when that is 0."""
        return frontier.area(self.low, self.high) / self.high if self.high > 0 else float("nan")


def non_decreasing_convex_hull(cost: ArrayLike, quality: ArrayLike) -> Frontier:
    """Return the upper convex hull of points, made non-decreasing by a running maximum.

    Examples
    --------
    >>> hull = non_decreasing_convex_hull([1.0, 2.0, 3.0, 4.0], [0.2, 0.3, 0.8, 0.7])
    >>> hull.cost.tolist(), hull.quality.tolist()
    ([1.0, 3.0], [0.2, 0.8])
    >>> float(hull.quality_at(2.0)), float(hull.quality_at(9.0))
    (0.5, 0.8)
    """
    costs, qualities = np.asarray(cost, dtype=float).ravel(), np.asarray(quality, dtype=float).ravel()
    # Plain floats: hulls are small and many, one per resample, and array operations would cost more than they do.
    points = sorted(zip(costs.tolist(), (-qualities).tolist(), strict=True))
    vertices: list[tuple[float, float]] = []
    for x, minus_y in points:
        if vertices and -minus_y <= vertices[-1][1]:
            continue  # no better than a cheaper point: the running maximum passes over it
        while len(vertices) > 1 and _is_below_chord(vertices[-2], vertices[-1], (x, -minus_y)):
            vertices.pop()
        vertices.append((x, -minus_y))
    hull = np.array(vertices)
    return Frontier(hull[:, 0], hull[:, 1])


def _is_below_chord(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    rise_to_middle = (middle[1] - left[1]) * (right[0] - left[0])
    rise_to_right = (right[1] - left[1]) * (middle[0] - left[0])
    return rise_to_middle <= rise_to_right


def router_frontier(cost: Floats, quality: Floats, costs: CostRange) -> Frontier:
    """Return the frontier of a router's points, which always holds the cheapest single model's point."""
    return non_decreasing_convex_hull(np.append(cost, costs.low), np.append(quality, costs.anchor_quality))


def oracle_choices(quality: Floats, cost: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return what a router that sees the outcomes would choose, for increasing willingness to pay.

    Parameters
    ----------
    quality, cost
        (n, m) realised outcomes, without NaN.

    Returns
    -------
    The grid (k,), and the choices (k, n). The last is the best quality, the cheapest on ties.
    """
    realised = Predictions(tuple(str(i) for i in range(quality.shape[1])), quality, cost)
    grid = willingness_grid(realised, _ORACLE_POINTS)
    return grid, np.stack([choose(realised, w) for w in grid])


def share_of_gap(value: ArrayLike, zero: ArrayLike, oracle: ArrayLike) -> Floats:
    """Return (value - zero) / (oracle - zero): 0 is no better than mixing single models, 1 is clairvoyance.

    NaN where the oracle is no better than the zero router: there is no gap to close.
    """
    gap = np.asarray(oracle, dtype=float) - np.asarray(zero, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap > 0, (np.asarray(value, dtype=float) - zero) / gap, np.nan)
