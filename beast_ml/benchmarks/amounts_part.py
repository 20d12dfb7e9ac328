"""The part on amounts: how well tokens, latency and cost are predicted before the request, and what intervals hold."""

from __future__ import annotations

from functools import partial
from typing import Final

from beast_ml.benchmarks.cost_prediction import measure_amounts
from beast_ml.benchmarks.figures import Figure, PartResult, from_intervals
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_amounts_of_sets"]

_PART: Final = "amounts"
_SETS: Final = ("quickstart", "routerbench3", "bfcl", "mmlu_pro", "messplus")
_HOW_TO_READ: Final = (
    "amounts: out of fold, by the family that won; what is served is its student, which the part `cost` measures "
    "where it is cost. R2 is of logarithms, mean over models; worst groups are those of at least 100 queries that are "
    "furthest from 90%"
)


def measure_amounts_of_sets(context: PartContext) -> PartResult:
    """Return accuracy and coverage of every amount that a set has."""
    figures: list[Figure] = []
    absent = []
    for name in _SETS[:1] if context.quick else _SETS:
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            absent.append(f"{name} is not there")
            continue
        seeds = tuple(range(context.n_seeds))
        settings = {"data": outcomes.digest(), "seeds": seeds}
        figures += context.kept(name, settings, partial(_measure, name, outcomes, seeds, context))
    return PartResult(_PART, tuple(figures), (*absent, _HOW_TO_READ))


def _measure(name: str, outcomes: OutcomeMatrix, seeds: tuple[int, ...], context: PartContext) -> tuple[Figure, ...]:
    encoder = get_encoder(context.encoder)
    by_seed: list[dict[tuple[str, str], Estimate]] = []
    for seed in seeds:
        found = measure_amounts(outcomes, encoder, seed)
        estimates: dict[tuple[str, str], Estimate] = {}
        for target, accuracy in found.accuracy.items():
            estimates[target, "log_r2"] = accuracy.log_r2
            estimates[target, "median_ratio_error"] = accuracy.median_ratio_error
            estimates[target, "spend_accuracy"] = accuracy.spend_accuracy
            coverage = found.coverage[target].items()
            estimates |= {(target, measured): Estimate(value) for measured, value in coverage}
        by_seed.append(estimates)
    return tuple(
        from_intervals(_PART, f"{name}, {target}", "beast", measured, [one[target, measured] for one in by_seed])
        for target, measured in by_seed[0]
    )
