"""The part on partial feedback: the share of the full-information gain reached with few labels, and by log size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.feedback import World, full_worlds, logged_shares
from beast_ml.benchmarks.learning.served_logs import FIRST, WAYS, Way
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import MMLU_PRO_POOL, prepare_log_set
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_feedback"]

_PART: Final = "feedback"
_SETS: Final = {"routerbench3": None, "bfcl": None, "mmlu_pro": MMLU_PRO_POOL}
_FEEDBACK: Final = (1.0, 0.8, 0.2, 0.05)
_SPLITS, _QUICK_SPLITS = 6, 2


def measure_feedback(context: PartContext) -> PartResult:
    """Return ``share_kept``: the gain reached from a log over the one that every model's outcome would give.

    The gain is in quality over uniform draws, at what they cost. Per set and way to explore: by length of the log, all
    answers labelled; and of the whole log, by the share of its answers that get a label. Each log has its own split of
    the questions. ``given_up`` is what exploring cost while the log was written.
    """
    n_splits = _QUICK_SPLITS if context.quick else _SPLITS
    encoder = get_encoder(context.encoder)
    figures: list[Figure] = []
    logs = f"{n_splits} logs a figure, one request a training question at most"
    notes = [f"{logs}; the first {FIRST:.0%} of every log is uniform, whichever way it goes on"]
    for name, models in _SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        worlds = cache(partial(_worlds, pool, encoder, n_splits))
        for feedback in _FEEDBACK:
            for way in WAYS:
                settings = {"set": pool.digest(), "way": way, "feedback": feedback, "splits": n_splits}
                measure = partial(_cell, name, way, feedback, worlds)
                figures += context.kept(f"feedback, {name}, {way}, {feedback:.0%}".replace("%", ""), settings, measure)
    return PartResult(_PART, tuple(figures), tuple(notes))


def _worlds(pool: OutcomeMatrix, encoder: Encoder, n_splits: int) -> list[World]:
    return full_worlds([prepare_log_set(pool, encoder, seed) for seed in range(n_splits)])


def _cell(name: str, way: Way, feedback: float, worlds: Callable[[], Sequence[World]]) -> tuple[Figure, ...]:
    if feedback < 1.0:
        lengths: tuple[float, ...] = (1.0,)
    else:
        lengths = (FIRST, 0.3, 1.0) if way == "uniform" else (0.3, 1.0)  # the first tenth is the same
    figures = []
    for length, found in zip(lengths, logged_shares(worlds(), way, lengths, feedback, 0), strict=True):
        where = f"{name}, {length:.0%} of the log, {feedback:.0%} labelled"
        figures += [
            Figure(_PART, where, way, "share_kept", found.kept, None, found.kept_low, found.kept_high),
            Figure(_PART, where, way, "gain", found.gain),
            Figure(_PART, where, "full information", "gain", found.full_gain),
            Figure(_PART, where, way, "share_of_gap", found.share_of_gap),
            Figure(_PART, where, way, "labelled_requests", found.n_labelled),
            Figure(_PART, where, way, "given_up", found.given_up),
        ]
    return tuple(figures)
