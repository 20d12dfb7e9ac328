"""Nested validation: each outer fold is searched for without it, and judges what was found, beside the defaults."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import query_fold, question_numbers
from beast_ml.operations.router_tuning.fold_scores import FoldTask, operating_choices
from beast_ml.operations.router_tuning.search import RouterSearch, Trial, best_of
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.worth import mean_utility, willingness_range
from beast_ml.policy.frontier import share_of_gap
from beast_ml.policy.learner import FittedRouter, RouterLearner, realised_cost
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import CostKind, choose

__all__ = ["NestedTuning", "OuterFold", "ProvenGain", "TuningPlan", "tune_nested"]

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

_OUTER_SEED: Final = 1_000_003
_MIN_QUESTIONS: Final = 75  # the folds of a small set differ in size by chance, and learners ask for 50
_RESAMPLES: Final = 1000
_CURVE_POINTS: Final = 46
_CURVE_BEYOND: Final = 30.0
_JUDGED: Final = "judged"


@dataclass(frozen=True)
class TuningPlan:
    """How to search, and how to judge.

    Parameters
    ----------
    n_trials
        Of every search, the defaults among them.
    n_outer, n_inner
        Outer folds that judge; inner folds on which trials are scored.
    space
        What is searched.
    study
        Name of the whole; its parts are named after it.
    seed
        Of the folds, the fits and the draws.
    only_gain
        Whether trials that will hardly be found to beat the defaults are given up: half the cost, a poorer frontier.
    """

    n_trials: int = 20
    n_outer: int = 3
    n_inner: int = 3
    space: SearchSpace = field(default_factory=SearchSpace)
    study: str = "router"
    seed: int = 0
    only_gain: bool = False


@dataclass(frozen=True)
class ProvenGain:
    """What tuning gave on queries that it never saw, with 95% intervals by question.

    Parameters
    ----------
    worth_defaults, worth_tuned, worth
        Mean utility per query, in units of quality, and the gain.
    share_defaults, share_tuned, share
        Share of the gap between the zero router and the oracle, and the gain.
    quality, cost
        Differences of the means at the operating points, tuned less defaults.
    """

    worth_defaults: Estimate
    worth_tuned: Estimate
    worth: Estimate
    share_defaults: Estimate
    share_tuned: Estimate
    share: Estimate
    quality: Estimate
    cost: Estimate

    @property
    def is_proven(self) -> bool:
        """Whether the interval of the gain in worth lies above zero."""
        return self.worth.low is not None and self.worth.low > 0.0


class _Judged(msgspec.Struct, frozen=True):
    """One router on the queries of an outer fold: (s,) worth, (k, s) choices along the curve, (s,) at the point."""

    worth: list[float]
    curve: list[list[int]]
    operating: list[int]


@dataclass(frozen=True)
class OuterFold:
    """One outer fold.

    Parameters
    ----------
    trials
        Of the search without it, the defaults first.
    best
        What the search settled on; it may be the defaults.
    """

    trials: tuple[Trial, ...]
    best: Trial


@dataclass(frozen=True)
class NestedTuning:
    """What tuning came to.

    Parameters
    ----------
    gain
        On the outer folds, of what was found without each.
    outer
        The outer folds.
    trials, best
        Of the search on all outcomes, whose gain ``gain`` is an estimate of; None and no trials where none was made.
    defaults
        The settings to beat.
    n_queries
        Complete queries that all this was on.
    """

    gain: ProvenGain
    outer: tuple[OuterFold, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    defaults: LearnerSettings
    n_queries: int

    @property
    def kept(self) -> LearnerSettings:
        """The settings to train with: what was found where that is proven to pay, else the defaults."""
        found = self.best.settings if self.best is not None and self.gain.is_proven else self.defaults
        return self._at(found, self.defaults.quality_target)

    def kept_at(self, quality_target: float) -> LearnerSettings:
        """Return them with a quality target that somebody chose from the frontier."""
        return self._at(self.kept, quality_target)

    @staticmethod
    def _at(settings: LearnerSettings, quality_target: float) -> LearnerSettings:
        # That of a trial was drawn to show what it costs: how much quality may be given up is not for a search to say.
        return msgspec.structs.replace(settings, quality_target=quality_target)


def tune_nested(
    outcomes: OutcomeMatrix,
    cost: CostKind,
    learner: RouterLearner,
    plan: TuningPlan,
    storage: Any,
    *,
    final: bool = True,
    progress: Progress = lambda _what, _done, _total: None,
) -> NestedTuning:
    """Search, judge and search on everything; what an earlier run or another process did of it is not done again.

    Parameters
    ----------
    outcomes
        Of a pool; queries on which not every model was observed are left out.
    cost
        Kind of cost.
    learner
        What settings do not speak of: prices, kinds.
    storage
        See `open_storage`.
    final
        Whether to search on all outcomes after the outer folds, for the settings to use.
    progress
        Called with (which search, trials finished, trials in all).

    Raises
    ------
    NotEnoughDataError
        With fewer than 75 different questions in an inner fold's training part.
    """
    observed = np.isfinite(outcomes.quality) & np.isfinite(realised_cost(outcomes, cost))
    outcomes = outcomes.rows(np.flatnonzero(observed.all(axis=1)))
    n_questions = len(set(question_numbers(outcomes.prompts)))
    least = math.ceil(_MIN_QUESTIONS / ((1.0 - 1.0 / plan.n_outer) * (1.0 - 1.0 / plan.n_inner)))
    if n_questions < least:
        raise NotEnoughDataError(
            f"{n_questions} different questions on which every model was observed, at least {least} are needed to tune "
            "on some and judge on others: give more, or a smaller pool of models"
        )
    folds = query_fold(outcomes.prompts, plan.n_outer, _OUTER_SEED + plan.seed)
    everything = _task(outcomes, cost, learner, plan.seed)
    outer, judged = [], []
    for fold in range(plan.n_outer):
        test = folds == fold
        part = _task(outcomes.rows(~test), cost, learner, plan.seed)
        name = f"{plan.study}, without fold {fold + 1} of {plan.n_outer}"
        search = RouterSearch(part, plan.space, plan.n_inner, storage, name, only_gain=plan.only_gain)
        trials = search.run(plan.n_trials, _of(progress, f"trials without fold {fold + 1} of {plan.n_outer}"))
        best = best_of(trials)
        outer.append(OuterFold(trials, best))
        progress("outer folds", fold, plan.n_outer)
        judged.append(_judge(search.study, everything, plan.space.defaults, best, test))
        progress("outer folds", fold + 1, plan.n_outer)
    trials, winner = (), None
    if final:
        name = f"{plan.study}, on everything"
        last = RouterSearch(everything, plan.space, plan.n_inner, storage, name, only_gain=plan.only_gain)
        trials = last.run(plan.n_trials, _of(progress, "trials on everything"))
        winner = best_of(trials)
    gain = _gain(everything, folds, judged)
    return NestedTuning(gain, tuple(outer), trials, winner, plan.space.defaults, outcomes.n_queries)


def _of(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)


def _task(outcomes: OutcomeMatrix, cost: CostKind, learner: RouterLearner, seed: int) -> FoldTask:
    willingness = willingness_range(outcomes.quality, realised_cost(outcomes, cost))
    return FoldTask(outcomes, cost, willingness, learner, seed)


def _judge(
    study: Any, task: FoldTask, defaults: LearnerSettings, best: Trial, test: NDArray[np.bool_]
) -> tuple[_Judged, _Judged]:
    """Return defaults and the best on an outer fold; kept in the study, for whoever comes to it next."""
    # The target of a trial is one of those drawn for the frontier: routers are compared at the same.
    tuned = msgspec.structs.replace(best.settings, quality_target=defaults.quality_target)
    key = {"tuned": msgspec.to_builtins(tuned), "trial": best.number}
    kept = study.user_attrs.get(_JUDGED)
    if kept is not None and kept["key"] == key:
        return msgspec.convert(kept["defaults"], _Judged), msgspec.convert(kept["best"], _Judged)
    first = _decide(task, task.fit(defaults, ~test), test)
    second = first if tuned == defaults else _decide(task, task.fit(tuned, ~test), test)
    study.set_user_attr(
        _JUDGED, {"key": key, "defaults": msgspec.to_builtins(first), "best": msgspec.to_builtins(second)}
    )
    return first, second


def _decide(task: FoldTask, router: FittedRouter, test: NDArray[np.bool_]) -> _Judged:
    predictions, held = task.predict(router, test), task.outcomes.rows(test)
    worth = mean_utility(predictions, held.quality, realised_cost(held, task.cost), task.willingness)
    ends = task.willingness[[0, -1]] * (1.0 / _CURVE_BEYOND, _CURVE_BEYOND)
    inner = np.geomspace(ends[0], ends[1], _CURVE_POINTS) if np.isfinite(ends).all() else np.zeros(0)
    curve = [choose(predictions, float(amount)).tolist() for amount in (0.0, *inner, np.inf)]
    return _Judged(worth.tolist(), curve, operating_choices(router, predictions).tolist())


def _gain(task: FoldTask, folds: NDArray[np.intp], judged: list[tuple[_Judged, _Judged]]) -> ProvenGain:
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in range(len(judged))])
    held = task.outcomes.rows(order)
    cost, at = realised_cost(held, task.cost), np.arange(held.n_queries)
    rng = np.random.default_rng([task.seed, 5])
    bootstrap = QueryBootstrap.draw_by_question(rng, question_numbers(held.prompts), _RESAMPLES)
    board = Scoreboard(
        quality=held.quality,
        cost=cost,
        reference=best_single_model(held.quality, cost),
        willingness=float("inf"),
        bootstrap=bootstrap.first(_RESAMPLES // 2),
    )
    worth, shares, points = [], [], []
    for side in (0, 1):
        parts = [pair[side] for pair in judged]
        worth.append(np.concatenate([part.worth for part in parts]))
        curve = np.hstack([np.array(part.curve, dtype=np.int16) for part in parts])
        shares.append(share_of_gap(board.aiq(board.points(curve)), board.zero_aiq, board.oracle_aiq))
        chosen = np.concatenate([part.operating for part in parts]).astype(np.intp)
        points.append((held.quality[at, chosen], cost[at, chosen]))
    columns = [*worth, worth[1] - worth[0], points[1][0] - points[0][0], points[1][1] - points[0][1]]
    first, second, more, quality, spent = (Estimate.of(means) for means in bootstrap.means(np.column_stack(columns)).T)
    return ProvenGain(
        worth_defaults=first,
        worth_tuned=second,
        worth=more,
        share_defaults=Estimate.of(shares[0]),
        share_tuned=Estimate.of(shares[1]),
        share=Estimate.of(shares[1] - shares[0]),
        quality=quality,
        cost=spent,
    )
