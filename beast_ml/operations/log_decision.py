"""Whether to leave the policy that wrote a log, and for what: chosen on some questions, tested on the others.

Three ways on: stay; always one model; a router. Whichever is best on a log looks better on that log than it is, the more
so the more of them were tried. So a choice is made on all folds but one and tested on that one, fold by fold, and what
is tested is the whole procedure. A router's predictions are lower bounds (`beast_ml.predictors.pessimism`), and the
standard errors do not trust a lack of evidence (`LoggedRounds.implied_error`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy import LoggedRounds, normal_interval, standard_error
from beast_ml.policy.operating_point import MARGIN_Z, QUALITY_MARGIN, OperatingPoint
from beast_ml.policy.utility import Predictions, choose, willingness_grid
from beast_ml.predictors.contract import Floats

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

    Better is a doubly robust gain that a one-sided 95% test finds above zero, on at least 100 effective questions. Of
    the routers that are better, those count that are also as good as the best single model (no loss, and not more than
    0.01 by the same test); the cheapest of them is taken, else that single model where it is better, else the router
    whose lower bound is highest.

    Parameters
    ----------
    predictions
        Pessimistic, by fits that did not see the round.
    quality, cost
        The same rounds' outcomes.
    """
    single, single_bound = _best_single(predictions.models, quality)
    alone = np.full(len(quality.chosen), single)
    believed = quality.effective_sample_size(alone) >= MIN_EFFECTIVE
    name = predictions.models[single]
    better: list[tuple[float, float, OperatingPoint]] = []
    seen: set[bytes] = set()
    for willingness in willingness_grid(predictions)[:-1]:
        decisions = choose(predictions, willingness)
        if decisions.tobytes() in seen:
            continue
        seen.add(decisions.tobytes())
        if quality.effective_sample_size(decisions) < MIN_EFFECTIVE:
            continue
        mean, error = quality.gain(decisions)
        bound = mean - MARGIN_Z * error
        if bound <= 0:
            continue
        against, its_error = quality.difference(decisions, alone)
        as_good = not believed or (against >= 0 and against - MARGIN_Z * its_error >= -QUALITY_MARGIN)
        paid = cost.value(decisions)
        point = OperatingPoint(
            kind="router",
            model=name,
            willingness_to_pay=float(willingness),
            n_queries=int(quality.observed.sum()),
            quality=quality.value(decisions),
            cost=paid,
            best_single_quality=quality.value(alone),
            best_single_cost=cost.value(alone),
            quality_gain=mean,
            gain_margin=MARGIN_Z * error,
        )
        better.append((paid if as_good else float("inf"), -bound, point))
    best = min(better, key=lambda item: item[:2], default=None)
    if best is not None and np.isfinite(best[0]):
        return best[2]
    if believed and single_bound > 0:
        return _single_point(name, single, quality, cost)
    return best[2] if best is not None else None


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


def _best_single(models: tuple[str, ...], quality: LoggedRounds) -> tuple[int, float]:
    """Return the model whose lower bound of the gain over the logging policy is highest, and that bound."""
    bounds = []
    for j in range(len(models)):
        mean, error = quality.gain(np.full(len(quality.chosen), j))
        bounds.append(mean - MARGIN_Z * error)
    best = int(np.argmax(bounds))
    return best, bounds[best]


def _single_point(name: str, index: int, quality: LoggedRounds, cost: LoggedRounds) -> OperatingPoint:
    alone = np.full(len(quality.chosen), index)
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
    cost: Floats = predictions.cost[rows]
    return Predictions(predictions.models, predictions.quality[rows], cost)
