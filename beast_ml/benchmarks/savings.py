"""What operating points chosen on training folds save, beside what the oracle could."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cross_validation import SeedResult
from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.fold_results import QUALITY_TARGETS
from beast_ml.benchmarks.scored_set import ScoredSet, Statistics

__all__ = ["measure_savings"]

Floats = NDArray[np.float64]


def measure_savings(scored: ScoredSet) -> PartResult:
    """Return, for each share X (in percent) of the best single model's quality that was asked for, what came of it.

    ``quality_gain_X`` is quality minus that of the best single model, ``saving_X`` the fraction of its cost that is
    saved, ``saving_vs_dearest_X`` the fraction of the cost of sending everything to the dearest model, ``cost_X`` the
    mean cost of a request. The oracle's are at the least cost at which its curve buys just that quality: the ceiling;
    of ``quality_gain_X`` it is what its curve reaches at any cost. Nothing where there is no cost.
    """
    if scored.cost == "none":
        return PartResult("savings", (), (f"{scored.name} knows no cost: there is nothing to save",))
    board = scored.board
    dearest = int(board.singles.cost[0].argmax())
    dearest_cost, reference_cost = board.singles.cost[:, dearest], board.singles.cost[:, board.reference]
    ceiling: dict[str, Floats] = {}
    curves, best = board.frontiers(board.oracle), board.singles.quality[:, board.reference]
    top = np.array([curve.quality[-1] for curve in curves])
    for target, share in QUALITY_TARGETS.items():
        ceiling[f"quality_gain_{target}"] = top - best
        cost = _costs(curve.cost_of(share * quality) for curve, quality in zip(curves, best, strict=True))
        ceiling[f"saving_{target}"] = _saved(reference_cost, cost)
        ceiling[f"saving_vs_dearest_{target}"] = _saved(dearest_cost, cost)
        ceiling[f"cost_{target}"] = cost

    def score(seed: SeedResult) -> Statistics:
        statistics: Statistics = {"oracle": ceiling}
        for router in seed.routers:
            found = statistics[router.name] = {}
            for target, chosen in router.operating.items():
                metrics = board.point_metrics(chosen[scored.scored])
                found[f"quality_gain_{target}"] = metrics["quality_gain"]
                found[f"saving_{target}"] = metrics["saving"]
                found[f"saving_vs_dearest_{target}"] = _saved(dearest_cost, metrics["cost"])
                found[f"cost_{target}"] = metrics["cost"]
        return statistics

    models = scored.outcomes.models
    note = f"{scored.name}: the best single model is {models[board.reference]!r}, the dearest {models[dearest]!r}"
    return PartResult("savings", scored.figures("savings", score), (note,))


def _costs(costs: Iterable[float | None]) -> Floats:
    return np.array([np.nan if cost is None else cost for cost in costs])


def _saved(whole: Floats, cost: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, (whole - cost) / whole, np.nan)
