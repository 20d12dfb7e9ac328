"""The part on tuning: what a search of settings gives over the defaults, on questions that it never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from beast_ml.benchmarks.figures import Figure, PartResult, from_intervals
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.sets import SETS, BenchmarkSet, load_set
from beast_ml.evaluation.pool import choose_pool
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.router_tuning.nested import NestedTuning, TuningPlan, tune_nested
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.storage import open_storage
from beast_ml.policy.learner import EncoderName, RouterLearner

__all__ = ["TUNED_SETS", "measure_tuning"]

TUNED_SETS: Final = ("quickstart", "mmlu", "zeroeval", "routerbench3", "bfcl")
"""What tuning is tried on, the cheaper first."""

_PART: Final = "tuning"
_QUERIES, _TRIALS, _OUTER, _INNER = 1000, 16, 3, 3
_QUICK_QUERIES, _QUICK_TRIALS, _QUICK_OUTER, _QUICK_INNER = 400, 3, 2, 2


def measure_tuning(context: PartContext) -> PartResult:
    """Return the gain of tuned settings over the defaults, per set, by nested validation.

    ``worth`` is in units of quality a query, ``share_of_gap`` between the zero router and the oracle; both with their
    paired intervals by question, for defaults, tuned, and the gain. ``searches_that_kept_the_defaults`` is the share.
    Searches give up trials that will hardly be found to beat the defaults, since nothing but the gain is asked for.
    """
    quick = context.quick
    n_trials = _QUICK_TRIALS if quick else _TRIALS
    n_queries = _QUICK_QUERIES if quick else _QUERIES
    folds = (_QUICK_OUTER, _QUICK_INNER) if quick else (_OUTER, _INNER)
    figures: list[Figure] = []
    notes = [
        f"{n_trials} trials a search, at most {n_queries} queries a set, {folds[0]} outer and {folds[1]} inner folds"
    ]
    for name in TUNED_SETS:
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: nothing was tuned on it")
            continue
        some = _some(outcomes, n_queries)
        told = {"encoders": _encoders(context), "only gain": True}
        settings = {"set": some.digest(), "trials": n_trials, "folds": folds, **told}

        def measure(some: OutcomeMatrix = some, benchmark: BenchmarkSet = SETS[name]) -> tuple[Figure, ...]:
            return _tune(context, benchmark, some, n_trials, folds)

        figures += context.kept(f"tuning, {name}", settings, measure)
    return PartResult(_PART, tuple(figures), tuple(notes))


def _encoders(context: PartContext) -> tuple[EncoderName, ...]:
    return tuple(dict.fromkeys((context.encoder, "hashing")))  # a tuned one is tuned anew for every fold


def _some(outcomes: OutcomeMatrix, n_queries: int) -> OutcomeMatrix:
    if outcomes.n_queries <= n_queries:
        return outcomes
    drawn = np.random.default_rng(0).permutation(outcomes.n_queries)[:n_queries]
    return outcomes.rows(np.sort(drawn))


def _tune(
    context: PartContext, benchmark: BenchmarkSet, outcomes: OutcomeMatrix, n_trials: int, folds: tuple[int, int]
) -> tuple[Figure, ...]:
    pool = choose_pool(outcomes, cost=benchmark.cost)
    study = f"{benchmark.name} {outcomes.digest()[:8]}, {n_trials} trials for the gain"
    plan = TuningPlan(n_trials, *folds, SearchSpace(_encoders(context)), study, only_gain=True)
    storage = open_storage(f"sqlite:///{context.folder / 'tuning.db'}")
    found = tune_nested(
        outcomes.pool(pool.models), pool.cost, RouterLearner(), plan, storage, final=False, progress=_said(context)
    )
    return _figures(benchmark.name, found)


def _said(context: PartContext) -> Callable[[str, int, int], None]:
    return lambda what, done, total: context.say(f"{what}: {done} of {total}")


def _figures(name: str, found: NestedTuning) -> tuple[Figure, ...]:
    gain = found.gain
    told = {
        "worth": (gain.worth_defaults, gain.worth_tuned, gain.worth),
        "share_of_gap": (gain.share_defaults, gain.share_tuned, gain.share),
    }
    figures = [
        from_intervals(_PART, name, whose, figure, [estimate])
        for figure, estimates in told.items()
        for whose, estimate in zip(("defaults", "tuned", "gain"), estimates, strict=True)
    ]
    trials = [trial for fold in found.outer for trial in fold.trials]
    counts = {
        "trials": float(len(trials)),
        "trials_pruned": float(sum(trial.pruned for trial in trials)),
        "searches_that_kept_the_defaults": float(np.mean([fold.best is fold.trials[0] for fold in found.outer])),
        "queries": float(found.n_queries),
    }
    return (*figures, *(Figure(_PART, name, "search", what, value) for what, value in counts.items()))
