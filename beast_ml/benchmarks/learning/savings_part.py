"""The part on savings: does the report's figure of the switch that it chose hold, and what does context buy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.savings_logs import SavingsRecord, SavingsWorld, record_of
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import MMLU_PRO_POOL
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.evaluation.proportion import wilson
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import PolicyConfig
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.operations.selection.accuracy import exact_regret, near_best
from beast_ml.operations.selection.context_value import value_of_context
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_savings"]

_PART: Final = "savings"
_LOG_SETS: Final = ("quickstart", "routerbench3")
_TASK_SETS: Final = {"routerbench3": None, "mmlu_pro": MMLU_PRO_POOL}
_POLICIES: Final = {"uniform": PolicyConfig("uniform"), "epsilon 0.3": PolicyConfig("epsilon-greedy", epsilon=0.3)}
_POOL: Final = 4
_REQUESTS: Final = 6000
_LOGS, _QUICK_LOGS = 100, 20
_EPSILON: Final = 0.02
_SEED: Final = 20


def measure_savings(context: PartContext) -> PartResult:
    """Return coverage of savings reports on simulated logs, and what reading the task buys on known outcomes."""
    encoder = get_encoder(context.encoder)
    n_logs = _QUICK_LOGS if context.quick else _LOGS
    figures: list[Figure] = []
    what = f"{n_logs} logs of {_REQUESTS:,} requests a setting, of {_POOL} models of a set, spread over its prices; "
    notes = [what + "a report chooses on one half of the questions and is checked on the other"]
    for name in _LOG_SETS:
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = spread_pool(outcomes)
        for policy, config in _POLICIES.items():
            where = f"{name}, {policy}"
            settings = {"set": pool.digest(), "policy": policy, "logs": n_logs, "requests": _REQUESTS}
            measure = partial(_coverage, where, pool, encoder, config, n_logs)
            figures += context.kept(f"savings, {where}", settings, measure)
    for name, models in _TASK_SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: what its tasks buy was not measured")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        figures += context.kept(f"selection, {name}", {"set": pool.digest()}, partial(_context, name, pool, encoder))
    return PartResult(_PART, tuple(figures), tuple(notes))


def spread_pool(outcomes: OutcomeMatrix) -> OutcomeMatrix:
    """Return the set with at most four models, spread over the range of prices."""
    order = np.argsort(np.nanmean(outcomes.cost_usd, axis=0))
    picked = order[np.unique(np.linspace(0, len(order) - 1, _POOL).round().astype(int))]
    return outcomes.pool([outcomes.models[j] for j in picked])


def _coverage(
    where: str, pool: OutcomeMatrix, encoder: Encoder, config: PolicyConfig, n_logs: int
) -> tuple[Figure, ...]:
    world = SavingsWorld.of(pool, encoder)
    policy, rng = logging_policy(world.outcomes, config), np.random.default_rng(_SEED)
    priors = world.priors(policy, _REQUESTS, rng)
    records = [record_of(world, policy, _REQUESTS, priors, rng) for _ in range(n_logs)]
    return coverage_figures(where, records)


def coverage_figures(where: str, records: Sequence[SavingsRecord]) -> tuple[Figure, ...]:
    """Return what many reports were worth, with exact 95% intervals of the shares."""
    chosen = [each for each in records if each.recommends]

    def share(name: str, held: Sequence[bool | None]) -> Figure:
        if not held:
            return Figure(_PART, where, "report", name, None)
        k = sum(map(bool, held))
        bounds = binomtest(k, len(held)).proportion_ci()
        return Figure(_PART, where, "report", name, k / len(held), None, float(bounds.low), float(bounds.high))

    def mean(name: str, values: Sequence[float | None]) -> Figure:
        known = [value for value in values if value is not None]
        return Figure(_PART, where, "report", name, float(np.mean(known)) if known else None)

    return (
        share("recommends", [each.recommends for each in records]),
        share("coverage_of_saving", [each.saving_held for each in chosen]),
        share("coverage_of_quality", [each.quality_held for each in chosen]),
        share("coverage_of_all_switches_at_once", [each.all_held for each in records]),
        mean("saving_where_chosen", [each.chosen_saving for each in chosen]),
        mean("saving_where_checked", [each.checked_saving for each in chosen]),
        mean("true_saving", [each.true_saving for each in chosen]),
        mean("true_change_of_quality", [each.true_quality for each in chosen]),
        share("loses_more_than_a_point", [(each.true_quality or 0.0) < -0.01 for each in chosen]),
        share("coverage_of_regret", [abs(each.regret_error) <= 1.96 for each in records]),
    )


def _context(name: str, pool: OutcomeMatrix, encoder: Encoder) -> tuple[Figure, ...]:
    world = SavingsWorld.of(pool, encoder)
    known, rng = world.outcomes, np.random.default_rng(_SEED)
    everyone, made = np.arange(known.n_queries), list[NDArray[np.intp]]()

    def worth(decisions: NDArray[np.intp]) -> Floats:
        made.append(decisions)
        return np.asarray(known.quality[everyone, decisions])

    found = value_of_context(
        world.columns,
        {"task": known.tasks.tolist()},
        known.quality,
        np.broadcast_to(known.cost_usd.mean(axis=0), known.quality.shape),
        float(known.cost_usd.mean()),
        worth,
        everyone,
        world.folds,
        rng,
    )
    figures = [
        _share_near(name, reads, near)
        for reads, near in (
            ("text", near_best(exact_regret(known.quality, made[0]), _EPSILON)),
            *(
                (f"text and {each.field}", near_best(exact_regret(known.quality, at), _EPSILON))
                for each, at in zip(found, made[-len(found) :], strict=True)
            ),
        )
    ]
    for each in found:
        figures.append(
            Figure(
                _PART,
                name,
                each.field,
                "points_of_quality_that_context_buys",
                100 * each.gain,
                None,
                100 * each.gain_low,
                100 * each.gain_high,
            )
        )
        if each.gain_of_gap is not None:
            figures.append(Figure(_PART, name, each.field, "of_what_routing_by_text_gains", each.gain_of_gap))
    return tuple(figures)


def _share_near(name: str, reads: str, near: Floats) -> Figure:
    share = float(near.mean())
    return Figure(_PART, name, reads, "share_of_choices_near_the_best", share, None, *wilson(share, len(near)))
