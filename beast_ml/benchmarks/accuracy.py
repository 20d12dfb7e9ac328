"""Do predictions mean what they say? Calibration of quality beside its sampling floor; accuracy of cost."""

from __future__ import annotations

import numpy as np

from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.fold_results import Decided
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.evaluation.cost_accuracy import assess_cost
from beast_ml.features.kinds import KIND_TABLE
from beast_ml.predictors.intervals import COVERAGE, worst_group

__all__ = ["measure_calibration", "measure_cost"]


def measure_calibration(scored: ScoredSet) -> PartResult:
    """Return ``ece`` with the floor that chance alone gives a calibrated predictor on as many queries, and ``auc``."""

    def score(router: Decided) -> dict[str, Estimate]:
        found = calibrate_quality(
            scored.outcomes.models,
            router.predictions.quality[scored.scored],
            scored.board.quality,
            scored.bootstrap,
            np.random.default_rng(3),
        )
        floor = Estimate(found.ece_floor, None, found.ece_floor_high)
        return {"ece": found.ece, "ece_floor": floor, "auc": found.auc}

    return PartResult("calibration", scored.interval_figures("calibration", score))


def measure_cost(scored: ScoredSet) -> PartResult:
    """Return how well cost is predicted; nothing where there is none.

    ``log_r2`` within a model, ``median_ratio_error``, ``spend_accuracy``; for routers that give intervals also the
    ``coverage`` of the 90% intervals, and that of the model and of the kind of request (with at least 100 queries)
    whose coverage is furthest from it.
    """
    if scored.cost == "none":
        return PartResult("cost", ())
    rows = scored.scored
    kinds = KIND_TABLE.labels(scored.outcomes.tasks[rows])

    def score(router: Decided) -> dict[str, Estimate]:
        said = router.predictions
        span = None if said.cost_range is None else said.cost_range.rows(rows)
        inside = None if span is None else span.holds(scored.board.cost)
        found = assess_cost(
            scored.outcomes.models,
            said.cost[rows],
            scored.board.cost,
            scored.bootstrap,
            None if span is None else span.typical,
            inside,
        )
        figures = {
            "log_r2": found.log_r2,
            "median_ratio_error": found.median_ratio_error,
            "spend_accuracy": found.spend_accuracy,
        }
        if inside is not None and found.coverage is not None:
            by_model = [model["coverage"] for model in found.per_model.values()]
            worst = max((share for share in by_model if share is not None), key=lambda share: abs(share - COVERAGE))
            figures |= {
                "coverage": found.coverage,
                "coverage_of_worst_model": Estimate(worst, None, None),
                "coverage_of_worst_kind": Estimate(worst_group(inside, kinds), None, None),
            }
        return figures

    return PartResult("cost", scored.interval_figures("cost", score))
