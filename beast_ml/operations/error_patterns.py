"""What fails or is refused, where, since when, and what changed then: patterns in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain.failure import known_kind
from beast_ml.logs.store import LogStore
from beast_ml.operations.error_burst import Burst, find_burst, holm, merged_bins, rate_interval
from beast_ml.operations.error_causes import cause_of, next_step_for
from beast_ml.operations.error_counts import ErrorCounts, RequestTotals, count_errors
from beast_ml.operations.error_differences import Change, Place, changes_of, places_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ErrorPattern", "ErrorReport", "FailureRate", "error_report", "find_patterns"]

Counts = NDArray[np.int64]

_ALPHA: Final = 0.05
_TESTED: Final = 30  # patterns, those with the most failures first; others are counted, not tested
_EXAMPLES: Final = 3
_PLOTTED: Final = 96
_RULES: Final = {
    "budget": "a budget",
    "rate_limit": "a rate limit",
    "ledger": "budgets that cannot be checked",
    "no_candidate": "rules that leave no model",
    "invalid_request": "what a request must be",
}
"""What a refusal's kind is called for people."""


@dataclass(frozen=True)
class FailureRate:
    """Failures among calls, with the 95% interval of their share.

    Parameters
    ----------
    n_failed, n_calls
        Counts.
    value, low, high
        The share, and its interval.
    """

    n_failed: int
    n_calls: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, n_failed: int, n_calls: int) -> FailureRate:
        """Return the rate of these counts."""
        return cls(n_failed, n_calls, n_failed / n_calls if n_calls else 0.0, *rate_interval(n_failed, n_calls))


@dataclass(frozen=True)
class ErrorPattern:
    """One kind of failure of one model, or of refusal of requests.

    Parameters
    ----------
    error_kind, model
        ``model`` is None for requests that failed before one was called.
    is_refusal
        Whether a rule wanted it so: then it is no failure. What follows is said of refusals alike.
    rate, before
        In the window, and in the time before it; the latter None where there is none.
    p_value
        Of the hypothesis that failures are as frequent all the time, adjusted for the number of patterns (Holm);
        None where it was not tested.
    is_new
        Significantly more frequent in a stretch of time that reaches into the window.
    started_at, started_from, started_until
        When that began, with a 95% interval; None where it began before the time looked at.
    ended_at
        None: it goes on.
    during
        The rate in that stretch.
    where, changes
        Where the failures are, and what changed when they set in.
    traffic_ratio
        Calls an hour since then, over those before.
    also
        Models in which the same kind of failure set in at the same time.
    examples
        Ids of failed requests.
    timeline
        (bin's start, calls, failures), oldest first.
    cause, next_step
        In words.
    """

    error_kind: str
    model: str | None
    is_refusal: bool
    rate: FailureRate
    before: FailureRate | None
    p_value: float | None = None
    is_new: bool = False
    started_at: datetime | None = None
    started_from: datetime | None = None
    started_until: datetime | None = None
    ended_at: datetime | None = None
    during: FailureRate | None = None
    where: tuple[Place, ...] = ()
    changes: tuple[Change, ...] = ()
    traffic_ratio: float | None = None
    also: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    timeline: tuple[tuple[datetime, int, int], ...] = ()
    cause: str = ""
    next_step: str = ""

    @property
    def name(self) -> str:
        """What it is called for people."""
        kind = self.error_kind.replace("_", " ")
        if self.is_refusal:
            return f"refusals by {_RULES.get(known_kind(self.error_kind), kind)}"
        return f"{kind} failures " + ("before a model was chosen" if self.model is None else f"of {self.model}")


@dataclass(frozen=True)
class ErrorReport:
    """What fails in a log, and what is refused.

    Parameters
    ----------
    compared_from, since, until
        The window is from ``since`` on, the time before it from ``compared_from`` on.
    totals
        What became of the window's requests.
    patterns
        New ones first, then by the number of failures.
    """

    compared_from: datetime
    since: datetime
    until: datetime
    totals: RequestTotals
    patterns: tuple[ErrorPattern, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; times in ISO 8601."""
        values: dict[str, Any] = _plain(asdict(self))
        return values

    def sentence(self) -> str:
        """Return the whole in one or two sentences."""
        totals = self.totals
        said = f"{totals.n_failed:,} of {totals.n_ended:,} requests failed"
        if totals.n_ended:
            said += f" ({totals.n_failed / totals.n_ended:.2%})"
        if totals.n_refused:
            share = totals.n_refused / totals.n_requests
            said += f", {totals.n_refused:,} more were refused ({share:.2%} of all {totals.n_requests:,})"
        if totals.n_recovered:
            said += f", {totals.n_recovered:,} were saved by a fallback"
        if totals.n_unreported:
            said += f", of {totals.n_unreported:,} nobody told the outcome"
        new = sum(pattern.is_new for pattern in self.patterns)
        if not self.patterns:
            return f"{said}. No call failed."
        of = "failure or refusal" if any(pattern.is_refusal for pattern in self.patterns) else "failure"
        return f"{said}. {new or 'None'} of {len(self.patterns)} patterns of {of} {'are' if new > 1 else 'is'} new."


def error_report(
    store: LogStore,
    since: datetime | None = None,
    until: datetime | None = None,
    rng: np.random.Generator | None = None,
) -> ErrorReport:
    """Return what fails in a store since some time (default: its last 24 hours), against seven times as long before.

    Raises
    ------
    DataError
        If the store has no request in that time.
    """
    counts = count_errors(store, since, until)
    patterns = find_patterns(counts, rng or np.random.default_rng(0))
    return ErrorReport(counts.started_at, counts.at(counts.since_bin), counts.until, counts.totals, tuple(patterns))


def find_patterns(counts: ErrorCounts, rng: np.random.Generator) -> list[ErrorPattern]:
    """Return the patterns of the failures in the window, new ones first."""
    cube = counts.cube
    windowed = cube[(cube["bin"] >= counts.since_bin) & (cube["kind"] != "")]
    sizes = (
        windowed.groupby(["model", "kind", "refused"], observed=True)["n"]
        .sum()
        .sort_values(ascending=False, kind="stable")
    )
    found: list[tuple[ErrorPattern, Burst | None, pd.DataFrame]] = []
    for model, kind, refused in sizes.index.to_list():
        calls = _calls_of(cube, model, refused)
        pattern = _counted(counts, calls, model, kind, refused)
        burst = None
        if len(found) < _TESTED:
            failed, all_calls = counts.by_bin(calls[calls["kind"] == kind]), counts.by_bin(calls)
            burst = find_burst(failed, all_calls, rng, reaching=counts.since_bin)
        found.append((pattern, burst, calls))
    tested = min(len(found), _TESTED)
    adjusted = holm(np.array([1.0 if burst is None else burst.p_value for _, burst, _ in found[:tested]]))
    patterns = [
        _explained(counts, pattern, burst, calls, float(adjusted[i]) if i < tested else None)
        for i, (pattern, burst, calls) in enumerate(found)
    ]
    patterns = [replace(pattern, also=_alike(pattern, patterns)) for pattern in patterns]
    patterns = [replace(pattern, cause=cause_of(pattern), next_step=next_step_for(pattern)) for pattern in patterns]
    return sorted(patterns, key=lambda pattern: (not pattern.is_new, -pattern.rate.n_failed))


def _calls_of(cube: pd.DataFrame, model: str, refused: bool) -> pd.DataFrame:
    """Return a model's calls; of requests before a model was called those that got there, and the refused or failed."""
    calls = cube[cube["model"] == model]
    return calls[(calls["kind"] == "") | (calls["refused"] == refused)]


def _counted(counts: ErrorCounts, calls: pd.DataFrame, model: str, kind: str, refused: bool) -> ErrorPattern:
    failed = calls[calls["kind"] == kind]
    all_calls, all_failed = counts.by_bin(calls), counts.by_bin(failed)
    now = slice(counts.since_bin, None)
    n_before = int(all_calls[: counts.since_bin].sum())
    edges = merged_bins(np.ones(counts.n_bins, dtype=np.int64), _PLOTTED)
    recent = failed[failed["bin"] >= counts.since_bin].sort_values("bin", ascending=False, kind="stable")
    return ErrorPattern(
        error_kind=kind,
        model=model or None,
        is_refusal=bool(refused),
        rate=FailureRate.of(int(all_failed[now].sum()), int(all_calls[now].sum())),
        before=FailureRate.of(int(all_failed[: counts.since_bin].sum()), n_before) if n_before else None,
        examples=tuple(recent["example"].head(_EXAMPLES)),
        timeline=tuple(
            (counts.at(int(low)), int(all_calls[low:high].sum()), int(all_failed[low:high].sum()))
            for low, high in pairwise(edges)
        ),
    )


def _explained(
    counts: ErrorCounts, pattern: ErrorPattern, burst: Burst | None, calls: pd.DataFrame, p_value: float | None
) -> ErrorPattern:
    """Return a pattern with what is known of its stretch; without one, where its failures of the window are."""
    if burst is None or p_value is None or p_value > _ALPHA:
        window = calls[calls["bin"] >= counts.since_bin]
        return replace(pattern, p_value=p_value, where=places_of(window, pattern.error_kind))
    inside = calls[(calls["bin"] >= burst.first) & (calls["bin"] < burst.last)]
    n_failed = int(inside.loc[inside["kind"] == pattern.error_kind, "n"].sum())
    pattern = replace(
        pattern,
        p_value=p_value,
        is_new=True,
        ended_at=None if burst.last >= counts.n_bins else counts.at(burst.last),
        during=FailureRate.of(n_failed, int(inside["n"].sum())),
        where=places_of(inside, pattern.error_kind),
    )
    if burst.first == 0:
        return pattern
    length = min(burst.first, burst.last - burst.first)
    earlier = calls[(calls["bin"] >= burst.first - length) & (calls["bin"] < burst.first)]
    later = inside[inside["bin"] < burst.first + length]
    return replace(
        pattern,
        started_at=counts.at(burst.first),
        started_from=counts.at(burst.first_low),
        started_until=counts.at(burst.first_high + 1),
        changes=changes_of(counts, calls, earlier, later, pattern.error_kind),
        traffic_ratio=float(later["n"].sum() / earlier["n"].sum()) if len(earlier) else None,
    )


def _alike(pattern: ErrorPattern, patterns: Sequence[ErrorPattern]) -> tuple[str, ...]:
    """Return the other models in which the same kind of failure set in at the same time."""
    return tuple(
        sorted(
            other.model
            for other in patterns
            if other.model is not None
            and other.model != pattern.model
            and other.error_kind == pattern.error_kind
            and _overlap(pattern, other)
        )
    )


def _overlap(a: ErrorPattern, b: ErrorPattern) -> bool:
    if a.started_from is None or a.started_until is None or b.started_from is None or b.started_until is None:
        return False
    return a.started_from <= b.started_until and b.started_from <= a.started_until


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
