"""From an evaluation on test queries to the evidence that promotion gates judge."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.routers import ROUTER
from beast_ml.evaluation.routing import RoutingEvaluation
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import FittedRouter
from beast_ml.policy.utility import CostKind
from beast_ml.predictors.contract import Rows
from beast_ml.registry.evidence import Evidence, Interval

__all__ = ["COST_UNITS", "evidence_of", "interval_coverage"]

COST_UNITS: Final[dict[CostKind, Literal["USD", "s"] | None]] = {"cost_usd": "USD", "latency_s": "s", "none": None}
"""The unit of each kind of cost; None: it has none."""


def evidence_of(evaluation: RoutingEvaluation, router: FittedRouter, test: OutcomeMatrix) -> Evidence:
    """Return the evidence on a router that was evaluated on full-information test outcomes."""
    ours = evaluation.scores[ROUTER]
    single = evaluation.scores[f"single:{evaluation.verdict.model}"].operating
    calibration = ours.calibration
    assert calibration is not None  # noqa: S101  a learned router's quality is always judged
    paid = router.cost != "none"
    rows = router.rows(test.prompts, test.contexts(router.context))
    return Evidence(
        source="outcomes",
        reference="best_single",
        n_train_queries=router.training.n_queries,
        n_test_queries=int(evaluation.scored.sum()),
        router_quality=_value(ours.operating["quality"]),
        router_cost=_value(ours.operating["cost"]) if paid else None,
        best_single_model=evaluation.verdict.model,
        best_single_quality=_value(single["quality"]),
        best_single_cost=_value(single["cost"]) if paid else None,
        quality_gain=_interval(evaluation.verdict.quality_gain),
        cost_saving=_interval(evaluation.verdict.saving) if paid else None,
        quality_ece=_value(calibration.ece),
        quality_ece_floor=calibration.ece_floor,
        cost_coverage=interval_coverage(router, test, rows) if paid else None,
        cost_unit=COST_UNITS[router.cost],
        data_digest=router.training.digest(),
    )


def interval_coverage(router: FittedRouter, test: OutcomeMatrix, rows: Rows) -> float | None:
    """Return the share of realised test costs (or latencies) inside the router's 90% intervals on their features."""
    predictors = router.pool.predictors
    predictor = predictors.cost if router.cost == "cost_usd" else predictors.latency
    realised = test.pool(router.models)
    truth = realised.cost_usd if router.cost == "cost_usd" else realised.latency_s
    if predictor is None or np.isnan(truth).all():
        return None
    low, high = predictor.interval(rows)
    seen = ~np.isnan(truth)
    return float(((truth >= low) & (truth <= high))[seen].mean())


def _value(estimate: Estimate) -> float:
    assert estimate.value is not None  # noqa: S101  means over scored queries, of which there is at least one
    return estimate.value


def _interval(estimate: Estimate) -> Interval:
    value = _value(estimate)
    return Interval(
        value,
        value if estimate.low is None else estimate.low,
        value if estimate.high is None else estimate.high,
    )
