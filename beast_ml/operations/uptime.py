"""How well every model, and every endpoint, answered over a time: availability, incidents, errors, from the log.

A call fails by the endpoint's fault where its error is one of `beast_ml.operations.health.fleet.FAULTS`, or of a kind
that nobody told; a request that the endpoint was right to refuse (too long, a filter, malformed) is an answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain.failure import known_kind
from beast_ml.evaluation.proportion import effective_trials, wilson
from beast_ml.logs.store import LogStore
from beast_ml.operations.error_counts import ErrorCounts, count_errors
from beast_ml.operations.health.fleet import FAULTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Incident", "Uptime", "UptimeReport", "uptime_report"]

Counts = NDArray[np.int64]

_FAULTS: Final = FAULTS | {"unknown"}
_LEAST_FAILED: Final = 2
_DOWN: Final = 0.5
_LEAST_CALLS: Final = 5


@dataclass(frozen=True)
class Incident:
    """A stretch of time in which at least half of the calls failed.

    Parameters
    ----------
    started_at, ended_at
        Aware, as exact as the bins of time are; where ``is_over`` is false it lasted to the end of the log.
    n_calls, n_failed
        Of the stretch.
    error_kind
        The most frequent one.
    """

    started_at: datetime
    ended_at: datetime
    is_over: bool
    n_calls: int
    n_failed: int
    error_kind: str


@dataclass(frozen=True)
class Uptime:
    """How a model, or one of its endpoints, answered.

    Parameters
    ----------
    model, endpoint
        Which; no endpoint: the model at all of them.
    n_calls
        Whose end is known.
    availability, low, high
        Share of them that did not fail by the endpoint's fault, with 95% interval: Wilson's, at the effective number of
        calls, for failures come in bursts.
    uptime
        Share of the time outside of incidents; None where there is none, and fewer than five calls: too few to see one.
    errors
        Kind -> calls, of all kinds, the most frequent first.
    incidents
        In their order.
    """

    model: str
    endpoint: str
    n_calls: int
    availability: float
    low: float
    high: float
    uptime: float | None
    errors: dict[str, int]
    incidents: tuple[Incident, ...]


@dataclass(frozen=True)
class UptimeReport:
    """How models and endpoints answered.

    Parameters
    ----------
    since, until
        Of which time.
    bin_s
        How exact incidents are in time.
    rows
        Every model's uptime, each followed by that of its endpoints.
    """

    since: datetime
    until: datetime
    bin_s: float
    rows: tuple[Uptime, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, times as ISO text."""
        incident = {"started_at", "ended_at"}
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["incidents"] = [
                {key: value.isoformat() if key in incident else value for key, value in each.items()}
                for each in row["incidents"]
            ]
        times = {"since": self.since.isoformat(), "until": self.until.isoformat(), "bin_s": self.bin_s}
        return times | {"models": rows}


def uptime_report(store: LogStore, since: datetime | None = None, until: datetime | None = None) -> UptimeReport:
    """Return how models and endpoints answered since a time (default: the log's last 24 hours).

    Raises
    ------
    DataError
        If there is no request in that time.
    InputError
        If it is empty, or a time has no zone.
    """
    counts = count_errors(store, since, until)
    cube = counts.cube
    calls = cube[(cube["bin"] >= counts.since_bin) & (cube["model"] != "")]
    rows = []
    for model in sorted(calls["model"].astype(str).unique()):
        own = calls[calls["model"] == model]
        rows.append(_uptime(counts, own, model, ""))
        endpoints = sorted(set(own["endpoint"].astype(str)) - {""})
        rows += [_uptime(counts, own[own["endpoint"] == each], model, each) for each in endpoints]
    return UptimeReport(counts.at(counts.since_bin), counts.until, counts.bin_s, tuple(rows))


def _uptime(counts: ErrorCounts, calls: pd.DataFrame, model: str, endpoint: str) -> Uptime:
    kinds = calls.groupby(calls["kind"].astype(str))["n"].sum().sort_values(ascending=False)
    failed = calls[calls["kind"].astype(str).map(known_kind).isin(_FAULTS)]
    n = counts.by_bin(calls)[counts.since_bin :]
    k = counts.by_bin(failed)[counts.since_bin :]
    incidents = _incidents(counts, failed, n, k)
    total = int(n.sum())
    share = 1.0 - int(k.sum()) / total
    return Uptime(
        model,
        endpoint,
        total,
        share,
        *wilson(share, effective_trials(n, k)),
        uptime=_share_up(counts, incidents) if incidents or total >= _LEAST_CALLS else None,
        errors={str(kind): int(count) for kind, count in kinds.items() if kind},
        incidents=incidents,
    )


def _share_up(counts: ErrorCounts, incidents: tuple[Incident, ...]) -> float:
    window_s = (counts.until - counts.at(counts.since_bin)).total_seconds()
    down_s = sum((each.ended_at - each.started_at).total_seconds() for each in incidents)
    return 1.0 - min(down_s / window_s, 1.0) if window_s > 0 else float(not incidents)


def _incidents(counts: ErrorCounts, failed: pd.DataFrame, n: Counts, k: Counts) -> tuple[Incident, ...]:
    """Return runs of bins in which half of the calls failed; bins without any call neither end nor begin one."""
    down = (k >= _DOWN * n) & (k > 0)
    found = []
    called = np.flatnonzero(n)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], down[called], [False]]).astype(int)))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        run = called[first:after]
        n_failed = int(k[run].sum())
        if n_failed < _LEAST_FAILED:
            continue
        start, stop = int(run[0]) + counts.since_bin, int(run[-1]) + counts.since_bin
        within = failed[(failed["bin"] >= start) & (failed["bin"] <= stop)]
        kind = str(within.groupby(within["kind"].astype(str))["n"].sum().idxmax())
        is_over = after < len(called)
        ended = counts.at(int(called[after]) + counts.since_bin) if is_over else counts.until
        found.append(Incident(counts.at(start), ended, is_over, int(n[run].sum()), n_failed, kind))
    return tuple(found)
