"""The part on experiments: what the sequential tests keep, save and cost, and what predictions save as covariates."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.sequential import (
    OUTCOMES,
    false_alarms,
    many_variants,
    samples_saved,
    variance_reduction,
)
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import RouterLearner

__all__ = ["measure_sequential", "two_best"]

_PART: Final = "sequential"
_SETS: Final = ("routerbench3", "mmlu_pro", "bfcl")
_LOOKS, _QUICK_LOOKS = 10_000, 1_000
_EXPERIMENTS, _QUICK_EXPERIMENTS = 1_000, 100
_ASSIGNMENTS: Final = 200


def measure_sequential(context: PartContext) -> PartResult:
    """Return false alarms under looking all the time, units against the fixed horizon, and what covariates save.

    ``false_alarms`` are the shares of experiments without a difference that ever claimed one; ``units_ratio`` is where
    a test ends over the fixed horizon of the same power; ``variance_reduction`` is on real outcomes, of the best two
    models' difference by cross-fitted predictions; ``fdr``, ``fwer`` and ``found`` are of eleven variants against one
    control, three of them different.
    """
    n, n_looks = (_QUICK_EXPERIMENTS, _QUICK_LOOKS) if context.quick else (_EXPERIMENTS, _LOOKS)
    few = n // 2
    notes = [f"{n} experiments a figure of false alarms, looked at {n_looks:,} times; {few} of the others"]
    figures: list[Figure] = []
    for name in OUTCOMES:
        settings = {"outcomes": name, "n": n, "looks": n_looks}
        figures += context.kept(f"false alarms {name}", settings, partial(_alarms, name, n, n_looks))
    figures += context.kept("units against the fixed horizon", {"n": few}, partial(_saved, few))
    figures += context.kept("twelve variants", {"n": few}, partial(_many, few))
    for name in _SETS:
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no covariates were tried on it")
            continue
        pair = two_best(outcomes)
        measure = partial(_reduced, name, pair, RouterLearner(context.encoder))
        figures += context.kept(f"covariates {name}", {"set": pair.digest(), "n": _ASSIGNMENTS}, measure)
    return PartResult(_PART, tuple(figures), tuple(notes))


def two_best(outcomes: OutcomeMatrix) -> OutcomeMatrix:
    """Return the two models of the highest mean quality, on the queries that both answered."""
    order = np.argsort(np.nanmean(outcomes.quality, axis=0), kind="stable")[::-1]
    pair = outcomes.pool([outcomes.models[i] for i in order[:2]])
    return pair.rows(np.flatnonzero(np.isfinite(pair.quality).all(axis=1)))


def _alarms(name: str, n: int, n_looks: int) -> tuple[Figure, ...]:
    found = false_alarms(name, n, n_looks, 0)
    return (
        Figure(_PART, name, "always-valid", "false_alarms", found.rate, None, found.low, found.high),
        Figure(_PART, name, "ordinary test", "false_alarms", found.ordinary_rate),
    )


def _saved(n: int) -> tuple[Figure, ...]:
    figures = []
    for each in samples_saved(n, 0):
        where = f"effect {each.times_mde:g} times the planned one"
        figures += [
            Figure(_PART, where, "always-valid", "units_ratio", each.mean_ratio, None, each.low, each.high),
            Figure(_PART, where, "always-valid", "power", each.power),
        ]
    return tuple(figures)


def _many(n: int) -> tuple[Figure, ...]:
    return tuple(
        Figure(_PART, "12 variants", each.method, name, getattr(each, name))
        for each in many_variants(n, 0)
        for name in ("fdr", "fwer", "found")
    )


def _reduced(name: str, pair: OutcomeMatrix, learner: RouterLearner) -> tuple[Figure, ...]:
    predicted = learner.fit(pair, "none", 0).out_of_fold.quality
    found = variance_reduction(name, pair, predicted, _ASSIGNMENTS, 0)
    return (
        Figure(_PART, name, "predictions", "variance_reduction", found.reduction),
        Figure(_PART, name, "predictions", "effect_bias", found.effect_bias, found.bias_error),
    )
