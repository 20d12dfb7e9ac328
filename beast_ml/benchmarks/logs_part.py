"""The parts on learning from logs: no harm whatever the logging policy, what a uniform log keeps, and at what scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import (
    LOGGING_POLICIES,
    MMLU_PRO_POOL,
    LogSet,
    PolicyName,
    no_harm_cell,
    prepare_log_set,
    uniform_share,
)
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import RouterLearner, get_encoder

__all__ = ["measure_logs", "measure_scale"]

_LOG_SETS: Final = {"routerbench3": None, "mmlu_pro": MMLU_PRO_POOL, "bfcl": None}
"""Set -> the models to simulate logs with, where not all: a log of 28 would try most of them a few hundred times."""

_UNIFORM_SET: Final = "routerbench3"
_N_LOGS: Final = 20
_QUICK_LOGS: Final = 3
_SIZES: Final = (10_000, 30_000, 100_000, 300_000)
_QUICK_SIZES: Final = (1_000, 4_000)


def measure_logs(context: PartContext) -> PartResult:
    """Return loss against the logging policy, per set and policy, and what a uniform log keeps of full information.

    ``loss`` is in units of quality, its interval that of the mean over logs; ``intervals_below_excess`` is how many
    single logs' intervals lie below zero beyond what chance allows. ``loss_without_gate`` is what the same learner
    loses when it takes its highest predicted quality, as naive learners do.
    """
    n_logs = _QUICK_LOGS if context.quick else _N_LOGS
    encoder = get_encoder(context.encoder)
    figures: list[Figure] = []
    notes = []
    for name, models in _LOG_SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        prepared = cache(partial(prepare_log_set, pool, encoder))  # not at all where every cell is kept
        for policy in LOGGING_POLICIES:
            settings = {"set": pool.digest(), "policy": policy, "logs": n_logs}
            figures += context.kept(f"{name}, {policy}", settings, partial(_no_harm, name, policy, prepared, n_logs))
        if name == _UNIFORM_SET:
            settings = {"set": pool.digest(), "logs": n_logs}
            figures += context.kept(f"{name}, kept", settings, partial(_kept, name, pool, encoder, n_logs))
    return PartResult("logs", tuple(figures), tuple(notes))


def measure_scale(context: PartContext) -> PartResult:
    """Return seconds and peak memory of training on simulated logs of growing size, and the exponent of the growth."""
    outcomes = load_set(SETS[_UNIFORM_SET], context.data)
    if outcomes is None:
        return PartResult("scale", (), (f"{_UNIFORM_SET} is not there: no logs were simulated from it",))
    sizes = _QUICK_SIZES if context.quick else _SIZES
    settings = {"set": outcomes.digest(), "sizes": sizes}
    return PartResult("scale", context.kept("training", settings, partial(_scale, outcomes, sizes, context)))


def _no_harm(name: str, policy: PolicyName, prepared: Callable[[], LogSet], n_logs: int) -> tuple[Figure, ...]:
    cell = no_harm_cell(prepared(), policy, n_logs, 0)
    found = {
        "intervals_below_excess": float(max(cell.n_below - cell.n_below_allowed, 0)),
        "loss_without_gate": cell.loss_without_gate,
        "cost_ratio": cell.mean_cost_ratio,
        **{f"ended_with_{what}": n / cell.n_logs for what, n in cell.promoted.items()},
    }
    where = f"{name}, {policy}"
    loss = Figure("logs", where, "beast", "loss", cell.mean_loss, None, cell.loss_low, cell.loss_high)
    return (loss, *(Figure("logs", where, "beast", figure, value) for figure, value in found.items()))


def _kept(name: str, outcomes: OutcomeMatrix, encoder: Encoder, n_logs: int) -> tuple[Figure, ...]:
    share = uniform_share(outcomes, encoder, n_logs, 0)
    where = f"{name}, uniform"
    return (
        Figure("logs", where, "beast", "share_kept", share.kept, None, share.kept_low, share.kept_high),
        Figure("logs", where, "beast", "share_of_gap_from_log", share.logged),
        Figure("logs", where, "beast", "share_of_gap_from_all_outcomes", share.full),
    )


def _scale(outcomes: OutcomeMatrix, sizes: Sequence[int], context: PartContext) -> tuple[Figure, ...]:
    from beast_ml.benchmarks.log_training_scale import log_training_scale  # brings MLflow, which nothing else needs

    scale = log_training_scale(outcomes, sizes, 0, RouterLearner(context.encoder), context.say)
    figures = [Figure("scale", "all sizes", "beast", "growth_exponent", scale.growth)]
    for point in scale.points:
        size = f"{point.n_requests:,} requests"
        figures.append(Figure("scale", size, "beast", "seconds", point.seconds))
        figures.append(Figure("scale", size, "beast", "peak_memory_mb", point.peak_memory_mb))
    return tuple(figures)
