"""Off-policy evidence on a router that learnt from a log: its operating point, what it would have got, a verdict."""

from __future__ import annotations

from typing import Final

import numpy as np

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.evaluation.off_policy import LoggedRounds, normal_interval
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.splits import normalise_question
from beast_ml.operations.evidence import COST_UNITS, interval_coverage
from beast_ml.policy.learner import FittedRouter, realised_cost
from beast_ml.policy.operating_point import MARGIN_Z, QUALITY_MARGIN, OperatingPoint
from beast_ml.policy.utility import choose, willingness_grid
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.registry.evidence import Evidence, Interval

__all__ = ["log_evidence", "log_operating_point", "log_verdict"]

_MIN_EFFECTIVE: Final = 100.0
"""Effective questions below which an off-policy estimate is not believed: intervals stop covering under about 100."""

_RESAMPLES: Final = 200


def log_operating_point(router: FittedRouter, training: LoggedOutcomes) -> OperatingPoint:
    """Return the cheapest point better than the logging policy by out-of-fold doubly robust estimates, or one model.

    Better is a gain that a one-sided 95% test finds above zero on at least 100 effective questions: stricter than with
    full information, because the estimates are noisy and the log's policy is there to stay with. ``best_single_...``
    are the estimates for the best single model; ``quality_gain`` is against the logging policy.
    """
    out_of_fold = router.out_of_fold
    quality = _rounds(training, training.matrix.quality, out_of_fold.quality)
    cost = _rounds(training, realised_cost(training.matrix, router.cost), out_of_fold.cost)
    n = int(quality.observed.sum())

    constant = [np.full(len(training.chosen), j) for j in range(len(out_of_fold.models))]
    best = int(np.argmax([quality.value(decisions) for decisions in constant]))
    single = OperatingPoint(
        kind="single",
        model=out_of_fold.models[best],
        n_queries=n,
        best_single_quality=quality.value(constant[best]),
        best_single_cost=cost.value(constant[best]),
    )
    passing = []
    for w in willingness_grid(out_of_fold)[:-1]:
        decisions = choose(out_of_fold, w)
        mean, error = quality.gain(decisions)
        margin = MARGIN_Z * error
        if quality.effective_sample_size(decisions) >= _MIN_EFFECTIVE and mean >= margin:
            passing.append((cost.value(decisions), float(w), mean, margin, quality.value(decisions)))
    if not passing:
        return single
    point_cost, willingness, mean, margin, reached = min(passing)
    return OperatingPoint(
        kind="router",
        model=single.model,
        willingness_to_pay=willingness,
        n_queries=n,
        quality=reached,
        cost=point_cost,
        best_single_quality=single.best_single_quality,
        best_single_cost=single.best_single_cost,
        quality_gain=mean,
        gain_margin=margin,
    )


def log_evidence(
    router: FittedRouter, test: LoggedOutcomes, history_rows: Rows | None, seed: int
) -> tuple[Evidence, float]:
    """Return doubly robust evidence on the held-out part of a log, and the effective number of questions behind it.

    ``history_rows`` are the held-out requests' history features, for a router that reads them.
    """
    predicted = router.predict(test.matrix.prompts, history_rows=history_rows)
    quality = _rounds(test, test.matrix.quality, predicted.quality)
    cost = _rounds(test, realised_cost(test.matrix, router.cost), predicted.cost)
    point = router.operating_point
    single = router.models.index(point.model)
    alone = np.full(len(test.chosen), single)
    willingness = point.willingness_to_pay
    decisions = alone if point.kind == "single" or willingness is None else choose(predicted, willingness)
    paid = router.cost != "none"
    saving = None
    if paid:
        mean, low, high = (-value / cost.logged_value() for value in normal_interval(*cost.gain(decisions)))
        saving = Interval(mean, high, low)
    judged = quality.observed
    n_judged = int(judged.sum())
    rng = np.random.default_rng(seed)
    calibration = calibrate_quality(
        ("the chosen model",),
        predicted.quality[np.arange(len(test.chosen)), test.chosen][judged, None],
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
        cost_coverage=interval_coverage(router, test.matrix) if paid else None,
        cost_unit=COST_UNITS[router.cost],
        data_digest=router.training.digest(),
        logging_policy=str(test.policy_version[0]) if len(set(test.policy_version)) == 1 else None,
    )
    return evidence, effective


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
    if effective < _MIN_EFFECTIVE:
        return (
            f"This log cannot tell: {found}, at least {_MIN_EFFECTIVE:.0f} are needed. More different questions with a "
            "quality label would tell, or more exploration (a higher propensity for the models that are rarely chosen)."
        )
    cheaper = saving is not None and saving.low > 0
    if gain.low > 0 or (gain.low > -QUALITY_MARGIN and cheaper):
        what = "Routing" if point.kind == "router" else f"Always answering with {point.model!r}"
        return f"{what} pays here: {found}."
    return f"Keep the policy that wrote this log: {found}."


def _rounds(logged: LoggedOutcomes, values: Floats, predicted: Floats) -> LoggedRounds:
    """Return the log as rounds of one value; a failure of the chosen model has no quality and is left out."""
    reward = values[np.arange(len(logged.chosen)), logged.chosen]
    questions = [normalise_question(prompt) for prompt in logged.matrix.prompts]
    _, question = np.unique(questions, return_inverse=True)
    return LoggedRounds(logged.chosen, logged.propensity, reward, predicted, question)


def _share(value: float) -> float:
    """Return an estimate of a mean in 0..1 as one: doubly robust estimates may leave the range by chance."""
    return float(min(1.0, max(0.0, value)))
