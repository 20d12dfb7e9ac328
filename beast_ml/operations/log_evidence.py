"""Off-policy evidence on a router that learnt from a log: what it would have got on held-out requests, a verdict."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.evaluation.off_policy.rounds import normal_interval
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.operations.evidence import COST_UNITS, interval_coverage
from beast_ml.operations.log_decision import MIN_EFFECTIVE, decisions_at
from beast_ml.operations.log_rounds import LoggedChoices, logged_rounds
from beast_ml.policy.decide import quality_acted_on
from beast_ml.policy.learner import FittedRouter, realised_cost
from beast_ml.policy.operating_point import QUALITY_MARGIN
from beast_ml.policy.utility import Predictions
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.pool import Expected
from beast_ml.registry.evidence import Evidence, Interval

__all__ = ["log_evidence", "log_verdict", "served_decisions"]

_RESAMPLES: Final = 200


def log_evidence(
    router: FittedRouter, test: LoggedOutcomes, choices: LoggedChoices, history_rows: Rows | None, seed: int
) -> tuple[Evidence, float]:
    """Return doubly robust evidence on the held-out part of a log, and the effective number of questions behind it.

    Parameters
    ----------
    choices
        How the held-out requests' models were chosen.
    history_rows
        Their history features, for a router that reads them.
    """
    rows = router.rows(test.matrix.prompts, test.matrix.contexts(router.context), history_rows)
    expected = router.pool.predictors.predict(rows)
    quality = logged_rounds(test, choices, test.matrix.quality, expected.quality)
    cost = logged_rounds(test, choices, realised_cost(test.matrix, router.cost), _amounts(router, expected))
    point = router.operating_point
    alone = np.full(len(test.chosen), router.models.index(point.model))
    decisions = served_decisions(router, expected)
    paid = router.cost != "none"
    saving = None
    logged_cost = cost.logged_value()
    if paid and logged_cost > 0:  # of nothing, nothing can be saved
        mean, low, high = (-value / logged_cost for value in normal_interval(*cost.gain(decisions)))
        saving = Interval(mean, high, low)
    judged = quality.observed
    n_judged = int(judged.sum())
    rng = np.random.default_rng(seed)
    calibration = calibrate_quality(
        ("the chosen model",),
        expected.quality[np.arange(len(test.chosen)), test.chosen][judged, None],
        quality.reward[judged, None],
        QueryBootstrap.draw(rng, n_judged, _RESAMPLES),
        rng,
    )
    effective = quality.effective_sample_size(decisions)
    evidence = Evidence(
        source="log",
        reference="logging_policy",
        n_train_queries=router.training.n_queries,
        n_test_queries=int(effective),
        router_quality=_share(quality.value(decisions)),
        router_cost=max(0.0, cost.value(decisions)) if paid else None,
        best_single_model=point.model,
        best_single_quality=_share(quality.value(alone)),
        best_single_cost=max(0.0, cost.value(alone)) if paid else None,
        quality_gain=Interval(*normal_interval(*quality.gain(decisions))),
        cost_saving=saving,
        quality_ece=calibration.ece.value or 0.0,
        quality_ece_floor=calibration.ece_floor,
        cost_coverage=interval_coverage(router, test.matrix, rows) if paid else None,
        cost_unit=COST_UNITS[router.cost],
        data_digest=router.training.digest(),
        logging_policy=str(test.policy_version[0]) if len(set(test.policy_version)) == 1 else None,
    )
    return evidence, effective


def served_decisions(router: FittedRouter, expected: Expected) -> NDArray[np.intp]:
    """Return (n,) the choices of the router as it is served, without exploration and constraints."""
    predictions = Predictions(router.models, quality_acted_on(expected), _amounts(router, expected))
    return decisions_at(router.operating_point, predictions)


def log_verdict(router: FittedRouter, evidence: Evidence, effective: float) -> str:
    """Return one sentence that says whether the router may take over from the policy that wrote the log."""
    gain, saving = evidence.quality_gain, evidence.cost_saving
    change = (
        ""
        if saving is None
        else f" and cost {-100 * saving.mean:+.1f}% [{-100 * saving.high:+.1f}, {-100 * saving.low:+.1f}]"
    )
    point = router.operating_point
    found = (
        f"quality {100 * gain.mean:+.2f} points [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]{change} against the "
        f"logging policy, doubly robust on {int(effective)} effective questions"
    )
    if effective < MIN_EFFECTIVE:
        return (
            f"This log cannot tell: {found}, at least {MIN_EFFECTIVE:.0f} are needed. More different questions with a "
            "quality label would tell, or more exploration (a higher propensity for the models that are rarely chosen)."
        )
    cheaper = saving is not None and saving.low > 0
    if gain.low > 0 or (gain.low > -QUALITY_MARGIN and cheaper):
        what = "Routing" if point.kind == "router" else f"Always answering with {point.model!r}"
        return f"{what} pays here: {found}."
    return f"Keep the policy that wrote this log: {found}."


def _amounts(router: FittedRouter, expected: Expected) -> Floats:
    amounts = {"cost_usd": expected.cost_usd, "latency_s": expected.latency_s, "none": None}[router.cost]
    return np.zeros_like(expected.quality) if amounts is None else amounts


def _share(value: float) -> float:
    """Return an estimate of a mean in 0..1 as one: doubly robust estimates may leave the range by chance."""
    return float(min(1.0, max(0.0, value)))
