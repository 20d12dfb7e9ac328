"""Whether to leave the policy that wrote a log, and for what: chosen on some questions, tested on the others.

Three ways on: stay; always one model; a router. Whichever is best on a log looks better on that log than it is, the
more so the more were tried. So a choice is made on all folds but one and tested on that one, fold by fold, and what
is tested is the whole procedure. A router's predictions are lower bounds (`beast_ml.predictors.pessimism`), and the
standard errors do not trust a lack of evidence (`LoggedRounds.implied_error`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.rounds import LoggedRounds, normal_interval, standard_error
from beast_ml.policy.operating_point import MARGIN_Z, QUALITY_MARGIN, OperatingPoint
from beast_ml.policy.utility import Predictions, choose, willingness_grid

__all__ = ["MIN_EFFECTIVE", "LogDecision", "choose_point", "decide_from_log", "decisions_at"]

MIN_EFFECTIVE: Final = 100.0
"""Effective questions below which an off-policy estimate is not believed: intervals stop covering under about 100."""


@dataclass(frozen=True)
class LogDecision:
    """What to do after a log, and the cross-fitted evidence for it.

    Parameters
    ----------
    promoted
        Whether the point may take over from the logging policy.
    point
        Chosen on the whole log; None where nothing looked better than the logging policy.
    gain
        Quality of the procedure minus the logging policy's: mean, low, high (95%).
    saving
        The same of costs saved, as a fraction of the logging policy's; None without costs.
    effective
        Effective number of questions behind the gain.
    """

    promoted: bool
    point: OperatingPoint | None
    gain: tuple[float, float, float]
    saving: tuple[float, float, float] | None
    effective: float


def decisions_at(point: OperatingPoint, predictions: Predictions) -> NDArray[np.intp]:
    """Return the choices of an operating point."""
    if point.kind == "single" or point.willingness_to_pay is None:
        return np.full(len(predictions.quality), predictions.models.index(point.model))
    return choose(predictions, point.willingness_to_pay)


def choose_point(predictions: Predictions, quality: LoggedRounds, cost: LoggedRounds) -> OperatingPoint | None:
    """Return the point to test against the logging policy, or None where nothing looks better.

    Better is a doubly robust gain in quality that a one-sided 95% test finds above zero, on at least 100 effective
    questions. The router of the highest lower bound is taken among those that cost no more than the logging policy did:
    what was paid is what the log tells of how much quality is worth. Without any, the best single model where it is
    better; else the router of the highest lower bound at any cost.

    Parameters
    ----------
    predictions
        Pessimistic, by fits that did not see the round.
    quality, cost
        The same rounds' outcomes.
    """
    name, alone, single_bound = _best_single(predictions.models, quality)
    spent = cost.logged_value()
    routers: list[tuple[bool, float, OperatingPoint]] = []
    for willingness in _distinct(predictions):
        decisions = choose(predictions, willingness)
        mean, error = quality.gain(decisions)
        bound = mean - MARGIN_Z * error
        if bound <= 0 or quality.effective_sample_size(decisions) < MIN_EFFECTIVE:
            continue
        paid = cost.value(decisions)
        point = OperatingPoint(
            kind="router",
            model=name,
            willingness_to_pay=willingness,
            n_queries=int(quality.observed.sum()),
            quality=quality.value(decisions),
            cost=paid,
            best_single_quality=quality.value(alone),
            best_single_cost=cost.value(alone),
            quality_gain=mean,
            gain_margin=MARGIN_Z * error,
        )
        routers.append((paid <= spent, bound, point))
    best = max(routers, key=lambda item: item[:2], default=None)
    if best is not None and best[0]:
        return best[2]
    if single_bound > 0 and quality.effective_sample_size(alone) >= MIN_EFFECTIVE:
        return _single_point(name, alone, quality, cost)
    return best[2] if best is not None else None


def _distinct(predictions: Predictions) -> list[float]:
    """Return finite willingness values that all decide differently."""
    seen: dict[bytes, float] = {}
    for willingness in willingness_grid(predictions)[:-1]:
        seen.setdefault(choose(predictions, willingness).tobytes(), float(willingness))
    return list(seen.values())


def decide_from_log(
    predictions: Predictions, quality: LoggedRounds, cost: LoggedRounds | None, folds: NDArray[np.intp]
) -> LogDecision:
    """Return what to do after a log.

    Parameters
    ----------
    predictions
        (n, m) pessimistic, each by fits that did not see the round's fold.
    quality
        Rounds of quality; their ``predicted`` is without pessimism and equally out of fold.
    cost
        The same rounds' costs; None where cost plays no part.
    folds
        (n,) the same question always in the same one.
    """
    paid = cost if cost is not None else replace(quality, reward=np.zeros_like(quality.reward))
    decisions, leaves = quality.chosen.copy(), np.zeros(len(quality.chosen), dtype=bool)
    for fold in np.unique(folds):
        held = folds == fold
        point = choose_point(_rows(predictions, ~held), quality.rows(~held), paid.rows(~held))
        if point is not None:
            decisions[held] = decisions_at(point, _rows(predictions, held))
            leaves[held] = True
    gain = normal_interval(*_gain(quality, decisions, leaves))
    saving = None
    if cost is not None:
        logged = cost.logged_value()
        mean, error = _gain(cost, decisions, leaves)
        if logged > 0:
            saved, low, high = normal_interval(-mean / logged, error / logged)
            saving = saved, low, high
    effective = quality.rows(leaves).effective_sample_size(decisions[leaves]) if leaves.any() else 0.0
    point = choose_point(predictions, quality, paid)
    pays = gain[1] > 0 or (gain[1] > -QUALITY_MARGIN and saving is not None and saving[1] > 0)
    promoted = point is not None and effective >= MIN_EFFECTIVE and pays
    return LogDecision(promoted, point, gain, saving, effective)


def _gain(rounds: LoggedRounds, decisions: NDArray[np.intp], leaves: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the gain over the logging policy, zero by definition where it is kept, and its standard error."""
    gains = np.where(leaves[rounds.observed], rounds.doubly_robust(decisions) - rounds.reward[rounds.observed], 0.0)
    by_question = rounds.by_question(gains)
    return float(by_question.mean()), max(standard_error(by_question), rounds.implied_error(decisions, leaves))


def _best_single(models: tuple[str, ...], quality: LoggedRounds) -> tuple[str, NDArray[np.intp], float]:
    """Return the model whose lower bound of the gain is highest, the decisions that it is, and that bound."""
    bounds = []
    for j in range(len(models)):
        mean, error = quality.gain(np.full(len(quality.chosen), j))
        bounds.append(mean - MARGIN_Z * error)
    best = int(np.argmax(bounds))
    return models[best], np.full(len(quality.chosen), best), bounds[best]


def _single_point(name: str, alone: NDArray[np.intp], quality: LoggedRounds, cost: LoggedRounds) -> OperatingPoint:
    mean, error = quality.gain(alone)
    value, paid = quality.value(alone), cost.value(alone)
    return OperatingPoint(
        kind="single",
        model=name,
        n_queries=int(quality.observed.sum()),
        quality=value,
        cost=paid,
        best_single_quality=value,
        best_single_cost=paid,
        quality_gain=mean,
        gain_margin=MARGIN_Z * error,
    )


def _rows(predictions: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    return Predictions(predictions.models, predictions.quality[rows], predictions.cost[rows])
