"""What has drifted in a log: found, dated and explained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from beast_ml.errors import DataError
from beast_ml.logs.store import LogStore
from beast_ml.operations.drift.advice import Finding, find_causes
from beast_ml.operations.drift.monitor import Alarm, DriftMonitor, MonitorConfig
from beast_ml.operations.drift.signals import LOG_COLUMNS, DriftRow

__all__ = ["DriftReport", "drift_report", "feed_log", "unit_of"]

_LOGARITHMIC: Final = ("prompt length", "answer length")


@dataclass(frozen=True)
class DriftReport:
    """What a log says of drift.

    Parameters
    ----------
    since, until
        Received times of the first and last request that was read.
    n_rows, n_streams, n_labelled
        Requests, streams they were watched in, and rows of the quality streams of all kinds.
    config
        How sure it was to be.
    expected_false_alarms
        At most so many are expected in this time if nothing had changed.
    findings
        What drifted.
    monitor
        The monitor after the last row.
    """

    since: datetime
    until: datetime
    n_rows: int
    n_streams: int
    n_labelled: int
    config: MonitorConfig
    expected_false_alarms: float
    findings: tuple[Finding, ...]
    monitor: DriftMonitor

    def sentence(self) -> str:
        """Return the report in one sentence."""
        sure = (
            f"at most {self.expected_false_alarms:.2g} false alarms are expected in this time, of all "
            f"{self.n_streams} streams together"
        )
        labels = "" if self.n_labelled else " No request has a quality label, so outcomes could not be compared."
        if not self.findings:
            return f"Nothing has drifted ({sure}).{labels}"
        n = sum(len(finding.alarms) for finding in self.findings)
        first = self.findings[0].sentence
        alarms = "one alarm" if n == 1 else f"{n} alarms in all"
        by_chance = ", so chance alone may have raised what is found" if n <= self.expected_false_alarms else ""
        return f"{first[0].upper()}{first[1:]}; {alarms} ({sure}{by_chance}).{labels}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "n_requests": self.n_rows,
            "n_streams": self.n_streams,
            "n_labelled": self.n_labelled,
            "false_alarms_per_month": self.config.false_alarms_per_month,
            "tolerance": self.config.tolerance,
            "expected_false_alarms": self.expected_false_alarms,
            "sentence": self.sentence(),
            "findings": [
                {
                    "cause": finding.cause,
                    "model": finding.model or None,
                    "sentence": finding.sentence,
                    "advice": finding.advice,
                    "alarms": [_plain(alarm) for alarm in finding.alarms],
                }
                for finding in self.findings
            ],
        }


def drift_report(
    store: LogStore,
    since: datetime | None = None,
    until: datetime | None = None,
    config: MonitorConfig | None = None,
    advance: Callable[[str, int, int], None] = lambda *_: None,
) -> DriftReport:
    """Return what drifted among the requests received at or after a time, and before another.

    Parameters
    ----------
    advance
        Called with (what, rows done, all rows).

    Raises
    ------
    DataError
        If there is no request in that time.
    InputError
        If a time has no zone.
    """
    monitor = DriftMonitor(config or MonitorConfig())
    feed_log(monitor, store, since, until, advance)
    if monitor.first_at is None or monitor.last_at is None:
        raise DataError(f"{store.path} holds no request in that time: beast logs ingest FILE... fills it")
    streams = monitor.streams()
    models = {key.model for key, _ in streams if key.signal == "quality"}
    return DriftReport(
        since=monitor.first_at,
        until=monitor.last_at,
        n_rows=monitor.n_rows,
        n_streams=len(streams),
        n_labelled=sum(rows for key, rows in streams if key.signal == "quality" and not key.kind),
        config=monitor.config,
        expected_false_alarms=monitor.expected_false_alarms(),
        findings=find_causes(monitor.alarms.values(), models),
        monitor=monitor,
    )


def feed_log(
    monitor: DriftMonitor,
    store: LogStore,
    since: datetime | None = None,
    until: datetime | None = None,
    advance: Callable[[str, int, int], None] = lambda *_: None,
) -> int:
    """Let a monitor read the requests received at or after a time, and before another; return their number."""
    n, done = store.count(since, until), 0
    for batch in store.batches(LOG_COLUMNS, since, until):
        for row in batch.to_pylist():
            monitor.update(DriftRow.from_log(row))
        done += batch.num_rows
        advance("reading the log", done, max(n, done))
    return done


def unit_of(alarm: Alarm, value: float) -> float:
    """Return a mean of a stream in the unit that people read: tokens (their geometric mean), else as it is."""
    return math.expm1(value) if alarm.key.signal in _LOGARITHMIC else value


def _plain(alarm: Alarm) -> dict[str, Any]:
    key, change = alarm.key, alarm.change
    told: dict[str, Any] = {
        "signal": key.signal,
        "model": key.model or None,
        "kind": key.kind or None,
        "policy_version": key.policy or None,
        "raised_at": alarm.raised_at.isoformat(),
        "last_seen_at": alarm.confirmed_at.isoformat(),
    }
    if change is None:
        return told
    return told | {
        "since": _iso(change.at_s),
        "since_earliest": _iso(change.earliest_s),
        "since_latest": _iso(change.latest_s),
        "before": unit_of(alarm, change.before),
        "after": unit_of(alarm, change.after),
        "difference_low": change.low,
        "difference_high": change.high,
        "n_before": change.n_before,
        "n_after": change.n_after,
    }


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
