"""The part on off-policy evaluation: coverage of intervals, errors of estimates, flagged cases, labels saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Final, Literal

import numpy as np

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.coverage import PolicyCell, label_cell, policy_cells
from beast_ml.benchmarks.learning.simulated_logs import LogWorld, exploring_policy
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES, MMLU_PRO_POOL, PolicyName
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.evaluation.proportion import wilson
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_ope"]

_PART: Final = "ope"
Logging = PolicyName | Literal["evidence"]
"""Policies that write the logs."""

EVIDENCE: Final[Literal["evidence"]] = "evidence"
"""The log of a router that explores by what it does not know."""

_SETS: Final = {"routerbench3": None, "mmlu_pro": MMLU_PRO_POOL, "bfcl": None, "mmlu": None}
_LOGS, _QUICK_LOGS = 2_000, 30
_ROUNDS: Final = 1_500
_LABELLED: Final = 0.2


def measure_ope(context: PartContext) -> PartResult:
    """Return, per set, logging policy and target policy, how estimates and intervals fare over simulated logs.

    ``coverage`` is that of normal intervals, with its own 95% interval over logs; ``coverage_*`` those of the other
    intervals. ``coverage_where_trusted`` counts only the logs whose verdict is to trust; ``share_trust`` is how many
    those are. ``labels_saved`` is on logs of which a fifth of the answers is labelled.
    """
    n_logs = _QUICK_LOGS if context.quick else _LOGS
    encoder = get_encoder(context.encoder)
    figures: list[Figure] = []
    notes = [f"{n_logs} logs a figure, of {_ROUNDS:,} requests each"]
    for name, models in _SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        world = cache(partial(LogWorld.of, pool, encoder))  # not at all where every cell is kept
        policies: tuple[Logging, ...] = (*LOGGING_POLICIES, EVIDENCE)
        for policy in policies:
            settings = {"set": pool.digest(), "policy": policy, "logs": n_logs, "rounds": _ROUNDS}
            where = f"{name}, {policy}"
            figures += context.kept(f"ope, {where}", settings, partial(_cells, where, policy, world, n_logs))
        settings = {"set": pool.digest(), "logs": n_logs, "rounds": _ROUNDS, "labelled": _LABELLED}
        figures += context.kept(f"ope labels, {name}", settings, partial(_labels, name, world, n_logs))
    return PartResult(_PART, tuple(figures), tuple(notes))


def _cells(where: str, policy: Logging, world: Callable[[], LogWorld], n_logs: int) -> tuple[Figure, ...]:
    drawn_from = world()
    if policy == EVIDENCE:
        exploring = exploring_policy(drawn_from, np.random.default_rng(0))
        log_policy, drawn_from = exploring.policy, replace(drawn_from, targets=drawn_from.targets | exploring.targets)
    else:
        log_policy = logging_policy(drawn_from.outcomes, LOGGING_POLICIES[policy])
    found = policy_cells(drawn_from, log_policy, n_logs, _ROUNDS, 0)
    return tuple(figure for target, cell in found.items() for figure in _figures(f"{where}, {target}", cell, n_logs))


def _figures(where: str, cell: PolicyCell, n_logs: int) -> list[Figure]:
    figures = [Figure(_PART, where, "log", "effective_sample_size", cell.effective)]
    for answer, name in (("trust", "share_trust"), ("widen exploration", "share_widen")):
        share = sum(one == answer for one in cell.answers) / n_logs
        figures.append(Figure(_PART, where, "log", name, share))
    for estimator, record in cell.estimators.items():
        for kind, share in record.coverage.items():
            name = "coverage" if kind == "normal" else f"coverage_{kind}"
            low, high = wilson(share, n_logs)
            figures.append(Figure(_PART, where, estimator, name, share, None, low, high))
        figures.append(Figure(_PART, where, estimator, "rmse", record.rmse))
        figures.append(Figure(_PART, where, estimator, "bias", record.bias))
        if np.isfinite(record.width["normal"]):
            figures.append(Figure(_PART, where, estimator, "width", record.width["normal"]))
        trusted, n = cell.trusted_coverage(estimator)
        if trusted is not None:
            low, high = wilson(trusted, n)
            figures.append(Figure(_PART, where, estimator, "coverage_where_trusted", trusted, None, low, high))
    return figures


def _labels(name: str, world: Callable[[], LogWorld], n_logs: int) -> tuple[Figure, ...]:
    drawn_from = world()
    policy = logging_policy(drawn_from.outcomes, LOGGING_POLICIES["uniform"])
    found = label_cell(drawn_from, policy, n_logs, _ROUNDS, _LABELLED, 0)
    where = f"{name}, uniform, {_LABELLED:.0%} labelled"
    figures = []
    for router, coverage, saved, trust in (
        ("ppi", found.coverage, found.saved, found.trust),
        ("ppi, predictions of other requests", found.bad_coverage, found.bad_saved, found.bad_trust),
    ):
        figures.append(Figure(_PART, where, router, "coverage", coverage, None, *wilson(coverage, n_logs)))
        figures.append(Figure(_PART, where, router, "labels_saved", saved))
        figures.append(Figure(_PART, where, router, "trust_in_predictions", trust))
    return tuple(figures)
