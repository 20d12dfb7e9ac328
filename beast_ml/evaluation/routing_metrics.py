"""Cost and quality of routers on the scored queries, each statistic on the data and on every bootstrap resample.

Statistics come as (1 + r,) arrays: the data first, then the r resamples (see `Estimate.of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.policy.frontier import CostRange, Frontier, oracle_choices, router_frontier, share_of_gap

__all__ = ["RIGHT_FROM", "Points", "Scoreboard"]

Floats = NDArray[np.float64]

RIGHT_FROM = 0.5
"""An answer of this quality or more is right, where a metric asks for right or wrong."""


@dataclass(frozen=True)
class Points:
    """Mean cost and mean quality of k sets of choices: (1 + r, k) each."""

    cost: Floats
    quality: Floats


@dataclass(frozen=True)
class Scoreboard:
    """Realised outcomes of the scored queries, and what every router is measured against.

    Parameters
    ----------
    quality, cost
        (s, m), without NaN.
    reference
        Index of the best single model of the training data.
    willingness
        Willingness to pay at which regret is measured; ``inf`` counts quality alone.
    bootstrap
        Resamples of the s queries.
    """

    quality: Floats
    cost: Floats
    reference: int
    willingness: float
    bootstrap: QueryBootstrap

    @cached_property
    def singles(self) -> Points:
        """The m single models."""
        means = self.bootstrap.means(np.hstack([self.cost, self.quality]))
        m = self.cost.shape[1]
        return Points(means[:, :m], means[:, m:])

    @cached_property
    def ranges(self) -> list[CostRange]:
        """The range of single models' costs, per resample."""
        singles = self.singles
        return [CostRange.of_single_models(c, q) for c, q in zip(singles.cost, singles.quality, strict=True)]

    @cached_property
    def oracle_choices(self) -> NDArray[np.int16]:
        """(k, s) choices of a router that sees the outcomes."""
        return oracle_choices(self.quality, self.cost)[1].astype(np.int16)

    @cached_property
    def oracle(self) -> Points:
        """The points of a router that sees the outcomes."""
        return self.points(self.oracle_choices)

    @cached_property
    def zero_aiq(self) -> Floats:
        """AIQ of the best mixtures of single models; where all cost the same, the best model's quality."""
        best = self.singles.quality.max(axis=1)
        return np.where(self._has_range, self.aiq(self.singles), best)

    @cached_property
    def oracle_aiq(self) -> Floats:
        """AIQ of a router that sees the outcomes."""
        return self.aiq(self.oracle)

    @cached_property
    def _has_range(self) -> NDArray[np.bool_]:
        return np.array([costs.high > costs.low for costs in self.ranges])

    def points(self, choices: NDArray[np.int16]) -> Points:
        """Return the points of (k, s) choices."""
        if len(choices) == 1 and (choices == choices[0, 0]).all():  # a single model: its means are known already
            model = slice(int(choices[0, 0]), int(choices[0, 0]) + 1)
            return Points(self.singles.cost[:, model], self.singles.quality[:, model])
        cost = np.take_along_axis(self.cost, choices.T.astype(np.intp), axis=1)
        quality = np.take_along_axis(self.quality, choices.T.astype(np.intp), axis=1)
        means = self.bootstrap.means(np.hstack([cost, quality]))
        return Points(means[:, : len(choices)], means[:, len(choices) :])

    def frontiers(self, points: Points) -> list[Frontier]:
        """Return the frontier of the points, per resample."""
        return [
            router_frontier(cost, quality, costs)
            for cost, quality, costs in zip(points.cost, points.quality, self.ranges, strict=True)
        ]

    def frontier(self, points: Points) -> Frontier:
        """Return the frontier of the points on the data themselves."""
        return router_frontier(points.cost[0], points.quality[0], self.ranges[0])

    def aiq(self, points: Points) -> Floats:
        """Return the AIQ of a router.

        Where all single models cost the same there is no curve to average over, and the router is worth the quality
        of its last point, that of the highest predicted quality.
        """
        return self._mean_height(points, self._areas(self.frontiers(points)))

    def _areas(self, frontiers: list[Frontier]) -> Floats:
        pairs = zip(self.ranges, frontiers, strict=True)
        return np.array([curve.area(costs.low, costs.high) for costs, curve in pairs])

    def _mean_height(self, points: Points, areas: Floats) -> Floats:
        width = np.array([costs.high - costs.low for costs in self.ranges])
        return np.where(self._has_range, areas / np.where(width > 0, width, 1.0), points.quality[:, -1])

    def curve_metrics(self, points: Points) -> dict[str, Floats]:
        """Return what a whole curve is worth: AIQ in both forms, share of the gap, saving at equal quality.

        The saving at equal quality is read off the test curve, with hindsight: the least cost on it that buys the
        quality of the reference model, as a fraction saved; 0 where it is not reached or costs more, since the
        reference itself can then answer.
        """
        curves = self.frontiers(points)
        areas = self._areas(curves)
        aiq = self._mean_height(points, areas)
        reference_cost, reference_quality = self._reference
        at_equal_quality = [curve.cost_of(quality) for curve, quality in zip(curves, reference_quality, strict=True)]
        least = np.array([np.inf if cost is None else cost for cost in at_equal_quality])
        return {
            "aiq": aiq,
            "aiq_over_dearest_cost": _ratio(areas, np.array([costs.high for costs in self.ranges])),
            "share_of_gap": share_of_gap(aiq, self.zero_aiq, self.oracle_aiq),
            "saving_at_equal_quality": np.maximum(_ratio(reference_cost - least, reference_cost), 0.0),
            "best_quality": points.quality[:, -1],
        }

    def point_metrics(self, chosen: NDArray[np.int16]) -> dict[str, Floats]:
        """Return what one set of (s,) choices is worth.

        ``quality_gain`` and ``saving`` are against the reference model (the saving as a fraction of its cost);
        ``regret`` is in units of quality, against the best choice in hindsight at the run's willingness to pay;
        ``optimal_selection`` is the share of the answerable queries (at least one model is right) whose chosen model
        is right and as cheap as any that is; ``right_of_answerable`` the share where it is right.
        """
        index = chosen.astype(np.intp)[:, None]
        cost = np.take_along_axis(self.cost, index, axis=1)[:, 0]
        quality = np.take_along_axis(self.quality, index, axis=1)[:, 0]
        utility = self._utility
        regret = utility.max(axis=1) - np.take_along_axis(utility, index, axis=1)[:, 0]
        right = self.quality >= RIGHT_FROM
        answerable = right.any(axis=1)
        cheapest_right = np.where(right, self.cost, np.inf).min(axis=1)
        hit = quality >= RIGHT_FROM
        best_hit = hit & (cost <= cheapest_right)
        # Differences are taken per query: where the router is the reference they are exactly zero, in every resample.
        gain, saved = quality - self.quality[:, self.reference], self.cost[:, self.reference] - cost
        columns = (cost, quality, gain, saved, regret, answerable, hit, best_hit)
        means = self.bootstrap.means(np.column_stack(columns)).T
        return {
            "quality": means[1],
            "cost": means[0],
            "quality_gain": means[2],
            "saving": _ratio(means[3], self._reference[0]),
            "regret": means[4],
            "optimal_selection": _ratio(means[7], means[5]),
            "right_of_answerable": _ratio(means[6], means[5]),
        }

    @cached_property
    def _reference(self) -> tuple[Floats, Floats]:
        return self.singles.cost[:, self.reference], self.singles.quality[:, self.reference]

    @cached_property
    def _utility(self) -> Floats:
        return self.quality if np.isinf(self.willingness) else self.quality - self.cost / self.willingness


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole; NaN where the whole is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
