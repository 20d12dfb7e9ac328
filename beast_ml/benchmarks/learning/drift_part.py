"""The part on drift: days until a silently changed model is found, and false alarms while nothing changes.

A log is drawn from full-information outcomes: questions come in any order, a policy chooses, predictions are those of a
router that learnt on other questions. From a day on one model's outcomes are another model's, as if its provider had
put that one behind the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import MMLU_PRO_POOL, LogSet, prepare_log_set
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.operations.drift.monitor import DriftMonitor, MonitorConfig
from beast_ml.operations.drift.signals import DriftRow
from beast_ml.policy.learner import get_encoder
from beast_ml.predictors.log_teacher import teach

__all__ = ["DriftStream", "Swap", "drift_stream", "measure_drift"]

Floats = NDArray[np.float64]

_PART: Final = "drift"
_SETS: Final = {"mmlu_pro": MMLU_PRO_POOL, "routerbench3": None, "bfcl": None}
_SIZES: Final = (0.05, 0.1, 0.2)
_DAYS: Final = 60
_CHANGE_DAY: Final = 30
_PER_DAY: Final = 200
_MAIN_SHARE: Final = 0.5
_RUNS, _QUICK_RUNS = 6, 2
_MONTH_DAYS: Final = 30.44
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SIGNALS: Final = {
    "days_to_detection": ("quality", "calibration", "answer length"),
    "days_to_detection_by_labels": ("quality", "calibration"),
}
"""Figure -> the signals of the changed model that count."""


@dataclass(frozen=True)
class DriftStream:
    """What logs are drawn from.

    Parameters
    ----------
    outcomes
        n queries x m models, quality of all known.
    predicted
        (n, m) quality, by fits that did not see the question.
    main
        Column of the model that gets half of the requests; the others share the rest evenly.
    """

    outcomes: OutcomeMatrix
    predicted: Floats
    main: int

    def swap_of(self, size: float) -> Swap:
        """Return the change of the main model into the one whose mean quality is nearest to so much lower."""
        means = self.outcomes.quality.mean(axis=0)
        gaps = means[self.main] - means
        gaps[self.main] = np.inf
        other = int(np.abs(gaps - size).argmin())
        return Swap(other, float(gaps[other]))


@dataclass(frozen=True)
class Swap:
    """What the main model turns into: a column, and how much lower its mean quality is.

    Parameters
    ----------
    other
        Column of the model that it becomes.
    size
        How much lower its mean quality is.
    """

    other: int
    size: float


def measure_drift(context: PartContext) -> PartResult:
    """Return days to detection by size of the change, and false alarms a month, per set.

    The budget is one false alarm a month, all streams together. ``days_to_detection`` is the median over logs, with the
    interval of order statistics, of the first alarm about the changed model's outcomes, ``days_to_detection_by_labels``
    that of the first one that reads quality labels; a log without one counts as its whole length after the change. 200
    requests a day, all labelled, half of them to the model that changes.
    """
    runs = _QUICK_RUNS if context.quick else _RUNS
    encoder = get_encoder(context.encoder)
    figures: list[Figure] = []
    notes = [f"{_PER_DAY} requests a day for {_DAYS} days, {runs} logs a figure; budget: one false alarm a month"]
    for name, models in _SETS.items():
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no logs were simulated from it")
            continue
        pool = outcomes if models is None else outcomes.pool(models)
        settings = {"set": pool.digest(), "runs": runs, "sizes": _SIZES, "days": _DAYS, "per_day": _PER_DAY}
        figures += context.kept(f"{name}, drift", settings, partial(_measure, name, pool, encoder, runs, context))
    return PartResult(_PART, tuple(figures), tuple(notes))


def drift_stream(log_set: LogSet, seed: int = 0) -> DriftStream:
    """Return a stream over all queries of a set, predicted out of fold from every outcome of the others."""
    outcomes = log_set.outcomes
    n, m = outcomes.quality.shape
    folds = query_fold(outcomes.prompts, 5, seed)
    chosen = outcomes.quality.mean(axis=0).argmax()
    teacher = teach(log_set.columns, outcomes.quality, None, np.full(n, chosen), np.ones(n), folds)
    by_quality = np.argsort(-outcomes.quality.mean(axis=0))
    return DriftStream(outcomes, np.clip(teacher.out_of_fold, 0.0, 1.0), int(by_quality[min(1, m - 1)]))


def rows_of(stream: DriftStream, rng: np.random.Generator, swap: Swap | None) -> Iterator[DriftRow]:
    """Yield a log's rows; without a swap nothing changes."""
    outcomes, total = stream.outcomes, _DAYS * _PER_DAY
    m = len(outcomes.models)
    queries = rng.integers(outcomes.n_queries, size=total)
    others = np.delete(np.arange(m), stream.main)
    chosen = np.where(rng.random(total) < _MAIN_SHARE, stream.main, others[rng.integers(m - 1, size=total)])
    for i, (query, model) in enumerate(zip(queries.tolist(), chosen.tolist(), strict=True)):
        changed = swap is not None and model == stream.main and i >= _CHANGE_DAY * _PER_DAY
        source = swap.other if changed and swap is not None else model
        yield DriftRow(
            at=_START + timedelta(days=i / _PER_DAY),
            model=outcomes.models[model],
            kind=str(outcomes.tasks[query]),
            policy="simulated",
            input_tokens=_known(outcomes.input_tokens[query, model]),
            output_tokens=_known(outcomes.output_tokens[query, source]),
            predicted_quality=float(stream.predicted[query, model]),
            quality=float(outcomes.quality[query, source]),
        )


def _measure(name: str, pool: OutcomeMatrix, encoder: Encoder, runs: int, context: PartContext) -> tuple[Figure, ...]:
    stream = drift_stream(prepare_log_set(pool, encoder))
    figures = [_false_alarms(name, stream, runs)]
    swaps = {stream.swap_of(size).other: stream.swap_of(size) for size in _SIZES}
    for swap in sorted(swaps.values(), key=lambda each: each.size):
        context.say(f"{name}: a change of {-swap.size:+.3f}")
        found = [_days_until_found(stream, swap, run) for run in range(runs)]
        where = f"{name}, quality {-swap.size:+.3f}"
        low, high = _median_interval(runs)
        for figure in _SIGNALS:
            days = np.sort([each[figure] for each in found])
            ends = (float(days[low]), float(days[high]))
            figures.append(Figure(_PART, where, "beast", figure, float(np.median(days)), None, *ends))
        share = float((days < _DAYS - _CHANGE_DAY).mean())
        figures.append(Figure(_PART, where, "beast", "found_within_30_days_by_labels", share))
    return tuple(figures)


def _false_alarms(name: str, stream: DriftStream, runs: int) -> Figure:
    from scipy.stats import chi2

    alarms = 0
    for run in range(runs):
        monitor = DriftMonitor(MonitorConfig(false_alarms_per_month=1.0))
        for row in rows_of(stream, np.random.default_rng([7, run]), None):
            monitor.update(row)
            alarms += monitor.drift_detected
    months = runs * _DAYS / _MONTH_DAYS
    low = chi2.ppf(0.025, 2 * alarms) / 2 if alarms else 0.0
    high = chi2.ppf(0.975, 2 * alarms + 2) / 2
    return Figure(
        _PART, f"{name}, nothing changes", "beast", "false_alarms_per_month", alarms / months, None,
        float(low / months), float(high / months),
    )  # fmt: skip


def _days_until_found(stream: DriftStream, swap: Swap, run: int) -> dict[str, float]:
    """Return days from the change to the first alarm about the changed model's outcomes, by figure."""
    model = stream.outcomes.models[stream.main]
    change = _START + timedelta(days=_CHANGE_DAY)
    monitor = DriftMonitor(MonitorConfig(false_alarms_per_month=1.0))
    found: dict[str, float] = {}
    for row in rows_of(stream, np.random.default_rng([8, run]), swap):
        monitor.update(row)
        if monitor.drift_detected and row.at >= change:
            about = {
                key.signal for key, each in monitor.alarms.items() if each.confirmed_at == row.at and key.model == model
            }
            for figure, signals in _SIGNALS.items():
                if about & set(signals):
                    found.setdefault(figure, (row.at - change).total_seconds() / 86_400.0)
            if len(found) == len(_SIGNALS):
                break
    return {figure: found.get(figure, float(_DAYS - _CHANGE_DAY)) for figure in _SIGNALS}


def _median_interval(n: int) -> tuple[int, int]:
    """Return the positions of the sorted values that hold their median's 95% interval, as nearly as there are."""
    from scipy.stats import binom

    low = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    return low, n - 1 - low


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
