"""What was decided in a period: versions that began to serve, cycles of the loop, experiments, runs on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from beast_ml.experiments.definitions import Experiment
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.question import requests_where
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.periodic_report.period import Period
from beast_ml.registry.period_runs import REPORT_KIND, RecordedRun

__all__ = ["Event", "experiment_events", "first_seen", "loop_events", "run_events"]

_VERSIONS = {
    "policy_version": "a new policy decided: version",
    "price_version": "new prices held: version",
}
_SHOWN = 16


@dataclass(frozen=True)
class Event:
    """Something that happened: ``what``, in words, and ``at`` which time."""

    at: datetime
    what: str

    def __str__(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M}: {self.what}"


def first_seen(store: LogStore, period: Period) -> list[Event]:
    """Return the policies and prices that the log shows for the first time in a period; not those it begins with.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    found = []
    for column, words in _VERSIONS.items():
        rows = store.sql(f"""
            SELECT {column} AS version, min(received_at) AS seen_at,
                count(*) FILTER (WHERE {requests_where(period.since, period.until)}) AS n
            FROM log WHERE {column} IS NOT NULL AND {requests_where(None, period.until)} GROUP BY ALL ORDER BY seen_at
        """)  # noqa: S608 - fixed columns and times
        versions = rows.to_pylist()
        found += [
            Event(row["seen_at"], f"{words} {row['version'][:_SHOWN]} ({row['n']:,} requests since)")
            for row in versions[1:]
            if row["seen_at"] >= period.since
        ]
    return sorted(found, key=lambda event: event.at)


def loop_events(state: LoopState | None, period: Period) -> list[Event]:
    """Return how the learning loop's cycles ended in a period."""
    if state is None:
        return []
    return [
        Event(
            each.at,
            f"cycle {each.cycle} of the learning loop: "
            + (f"version {each.candidate} " if each.candidate is not None else "no candidate, ")
            + f"{each.verdict}: {each.reason}",
        )
        for each in state.finished
        if period.since <= each.at < period.until
    ]


def experiment_events(experiments: Sequence[Experiment], period: Period) -> list[Event]:
    """Return what became of experiments in a period: begun, other shares, stopped."""
    found = []
    for each in experiments:
        for i, step in enumerate(each.history):
            if not period.since <= step.at < period.until:
                continue
            shares = ", ".join(f"{name} {share:.0%}" for name, share in step.shares.items())
            did = "stopped" if not step.shares else f"began with {shares}" if i == 0 else f"went on with {shares}"
            found.append(Event(step.at, f"experiment {each.id} {did}"))
    return sorted(found, key=lambda event: event.at)


def run_events(runs: Sequence[RecordedRun]) -> list[Event]:
    """Return the runs of trainings and analyses with their verdicts; earlier reports are none."""
    found = []
    for run in runs:
        if run.tags.get("kind") == REPORT_KIND:
            continue
        verdict = run.tags.get("decision") or run.tags.get("verdict")
        found.append(Event(run.at, f"{run.name}{f': {verdict}' if verdict else ''}"))
    return found
