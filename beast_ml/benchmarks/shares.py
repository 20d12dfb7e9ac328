"""Share of the zero-router-to-oracle gap that each router closes, beside everything it must beat."""

from __future__ import annotations

from typing import Final

import numpy as np

from beast_ml.benchmarks.cross_validation import SeedResult
from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.scored_set import ScoredSet, Statistics
from beast_ml.evaluation.routing_metrics import Points
from beast_ml.policy.baselines import random_mix, weak_and_strong
from beast_ml.policy.utility import choose

__all__ = ["measure_shares"]

_KEPT: Final = ("aiq", "share_of_gap", "saving_at_equal_quality")
_COIN_POINTS: Final = 21


def measure_shares(scored: ScoredSet) -> PartResult:
    """Return AIQ, share of the gap and its multiple of the tuned nearest neighbours' share, for every router.

    ``calls_to_dearest`` is the share of queries that go to the dearest model when quality is all that counts: the only
    decision of routers that know no trade-off. ``saving_at_equal_quality`` is read off the test curve, with hindsight;
    see the part ``savings`` for what a chosen operating point gets.
    """
    board = scored.board
    dearest = int(board.singles.cost[0].argmax())

    def score(seed: SeedResult) -> Statistics:
        curves = {router.name: scored.points(router) for router in seed.routers}
        curves["random"], curves["oracle"] = _coin(scored), board.oracle
        found = {name: board.curve_metrics(points) for name, points in curves.items()}
        statistics = {name: {figure: metrics[figure] for figure in _KEPT} for name, metrics in found.items()}
        statistics["zero_router"] = {"aiq": board.zero_aiq, "share_of_gap": np.zeros_like(board.zero_aiq)}
        neighbours = statistics["knn"]["share_of_gap"]
        for router in seed.routers:
            mine = statistics[router.name]
            if scored.cost != "none":
                unbounded = choose(router.predictions, np.inf)[scored.scored]
                mine["calls_to_dearest"] = board.bootstrap.means((unbounded == dearest)[:, None].astype(float))[:, 0]
            with np.errstate(invalid="ignore", divide="ignore"):
                # Nothing is a multiple of nothing, or of less.
                mine["share_over_knn"] = np.where(neighbours > 0, mine["share_of_gap"] / neighbours, np.nan)
        return statistics

    return PartResult("shares", scored.figures("shares", score))


def _coin(scored: ScoredSet) -> Points:
    """Return the points of coins of all weights between the cheapest and the best single model."""
    board = scored.board
    weak, strong = weak_and_strong(board.quality, board.cost)
    shares = np.linspace(0.0, 1.0, _COIN_POINTS)
    choices = random_mix(weak, strong, shares, len(board.quality), np.random.default_rng(1))
    return board.points(choices.astype(np.int16))
