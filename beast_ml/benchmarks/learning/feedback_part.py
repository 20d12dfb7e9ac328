"""The part on partial feedback: the share of the full-information gain reached with few labels, and by log size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.feedback import full_teachers, logged_share
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import MMLU_PRO_POOL, LogSet, PolicyName, prepare_log_set
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import get_encoder
from beast_ml.predictors.log_teacher import LogTeacher

__all__ = ["measure_feedback"]

_PART: Final = "feedback"
_SETS: Final = {"routerbench3": None, "mmlu_pro": MMLU_PRO_POOL}
_POLICIES: Final[tuple[PolicyName, ...]] = ("uniform", "softmax", "epsilon-0.2")
_FEEDBACK: Final = (0.8, 0.2, 0.05)
_LENGTHS: Final = (0.1, 0.3, 1.0)
_SPLITS, _QUICK_SPLITS = 3, 2


def measure_feedback(context: PartContext) -> PartResult:
    """Return ``share_kept``: the gain reached from a log over the one that every model's outcome would give.

    The gain is in quality over the logging policy's, at what that one spends.

    Per set and logging policy: by length of the log, all answers labelled; and of the whole log, by the share of its
    answers that get a label. Each log has its own split of the questions.
    """
    n_splits = _QUICK_SPLITS if context.quick else _SPLITS
    encoder = get_encoder(context.encoder)
    figures: list[Figure] = []
    notes = [f"{n_splits} logs a figure, one request a training question at most"]
    for name, models in _SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        prepared = cache(partial(_prepare, pool, encoder, n_splits))
        full = cache(partial(_full, prepared))
        cells = [(length, 1.0) for length in _LENGTHS] + [(1.0, feedback) for feedback in _FEEDBACK]
        for policy in _POLICIES:
            for length, feedback in cells:
                settings = {"set": pool.digest(), "policy": policy, "cell": [length, feedback], "splits": n_splits}
                where = f"{name}, {policy}, {length:.0%} of the log, {feedback:.0%} labelled"
                measure = partial(_cell, where, policy, length, feedback, prepared, full)
                figures += context.kept(f"feedback, {where}".replace("%", ""), settings, measure)
    return PartResult(_PART, tuple(figures), tuple(notes))


def _prepare(pool: OutcomeMatrix, encoder: Encoder, n_splits: int) -> list[LogSet]:
    return [prepare_log_set(pool, encoder, seed) for seed in range(n_splits)]


def _full(prepared: Callable[[], Sequence[LogSet]]) -> list[LogTeacher]:
    return full_teachers(prepared())


def _cell(
    where: str,
    policy: PolicyName,
    length: float,
    feedback: float,
    prepared: Callable[[], Sequence[LogSet]],
    full: Callable[[], Sequence[LogTeacher]],
) -> tuple[Figure, ...]:
    found = logged_share(prepared(), full(), policy, length, feedback, 0)
    return (
        Figure(_PART, where, "beast", "share_kept", found.kept, None, found.kept_low, found.kept_high),
        Figure(_PART, where, "beast", "gain", found.gain),
        Figure(_PART, where, "full information", "gain", found.full_gain),
        Figure(_PART, where, "beast", "share_of_gap", found.share_of_gap),
        Figure(_PART, where, "beast", "labelled_requests", found.n_labelled),
    )
