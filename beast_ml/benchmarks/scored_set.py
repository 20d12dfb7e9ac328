"""A set after cross-validation: what every router decided in every seed, and what all of it is scored by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cross_validation import SeedResult
from beast_ml.benchmarks.figures import Figure, from_intervals, over_seeds
from beast_ml.benchmarks.fold_results import Decided
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.pool import scored_queries
from beast_ml.evaluation.routing_metrics import Points, Scoreboard
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.utility import CostKind, choose, willingness_grid

__all__ = ["NEVER_PREDICTS", "ScoredSet", "Statistics"]

Floats = NDArray[np.float64]
Statistics = dict[str, dict[str, Floats]]
"""Router -> figure -> (1 + r,) values: on the data first, then on each resample."""

NEVER_PREDICTS = ("best_per_task", "best_per_true_task")
"""Routers whose predictions are means over a task: not judged as predictions."""


@dataclass(frozen=True)
class ScoredSet:
    """One set and its cross-validated routers.

    Parameters
    ----------
    name
        The set, and the protocol where it is not the usual one.
    outcomes
        Outcomes of the pool.
    cost
        What plays the part of cost.
    seeds
        What was decided, seed by seed.
    bootstrap
        Resamples of the scored queries, shared by all seeds and routers: differences are paired.
    """

    name: str
    outcomes: OutcomeMatrix
    cost: CostKind
    seeds: tuple[SeedResult, ...]
    bootstrap: QueryBootstrap = field(repr=False)

    @classmethod
    def of(
        cls, name: str, outcomes: OutcomeMatrix, cost: CostKind, seeds: Sequence[SeedResult], n_resamples: int
    ) -> ScoredSet:
        """Return the set with resamples drawn from a fixed seed: results of reruns differ by nothing."""
        n_scored = int(scored_queries(outcomes, cost).sum())
        return cls(
            name, outcomes, cost, tuple(seeds), QueryBootstrap.draw(np.random.default_rng(2), n_scored, n_resamples)
        )

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """(n,) the queries on which every model was observed."""
        return scored_queries(self.outcomes, self.cost)

    @cached_property
    def board(self) -> Scoreboard:
        """What everything is scored by; the reference is the model that was most often the best of training folds."""
        rows = self.outcomes.rows(self.scored)
        reference = int(np.bincount([seed.reference for seed in self.seeds]).argmax())
        return Scoreboard(rows.quality, realised_cost(rows, self.cost), reference, float("inf"), self.bootstrap)

    def points(self, router: Decided) -> Points:
        """Return the curve of a router on the scored queries."""
        # The grid is made of predictions alone, so it may be that of the very queries it decides.
        grid = willingness_grid(router.predictions)
        choices = np.stack([choose(router.predictions, w) for w in grid]).astype(np.int16)
        return self.board.points(choices[:, self.scored])

    def figures(self, part: str, score: Callable[[SeedResult], Statistics]) -> tuple[Figure, ...]:
        """Return the figures of statistics that are computed seed by seed."""
        by_seed = [score(seed) for seed in self.seeds]
        return tuple(
            over_seeds(part, self.name, router, figure, [one[router][figure] for one in by_seed])
            for router, statistics in by_seed[0].items()
            for figure in statistics
        )

    def interval_figures(self, part: str, score: Callable[[Decided], Mapping[str, Estimate]]) -> tuple[Figure, ...]:
        """Return the figures of estimates of each predicting router, computed seed by seed."""
        names = [router.name for router in self.seeds[0].routers if router.name not in NEVER_PREDICTS]
        figures = []
        for name in names:
            by_seed = [score(next(one for one in seed.routers if one.name == name)) for seed in self.seeds]
            figures += [
                from_intervals(part, self.name, name, figure, [one[figure] for one in by_seed]) for figure in by_seed[0]
            ]
        return tuple(figures)
