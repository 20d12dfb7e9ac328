"""Do predictions mean what they say? Calibration of quality beside its sampling floor, and accuracy of cost."""

from __future__ import annotations

import numpy as np

from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.fold_results import Decided
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.evaluation.cost_accuracy import assess_cost

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
    """Return ``log_r2`` within a model and ``median_ratio_error`` of predicted cost; nothing where there is none."""
    if scored.cost == "none":
        return PartResult("cost", ())

    def score(router: Decided) -> dict[str, Estimate]:
        predicted = router.predictions.cost[scored.scored]
        found = assess_cost(scored.outcomes.models, predicted, scored.board.cost, scored.bootstrap)
        return {"log_r2": found.log_r2, "median_ratio_error": found.median_ratio_error}

    return PartResult("cost", scored.interval_figures("cost", score))
