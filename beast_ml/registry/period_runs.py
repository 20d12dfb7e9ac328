"""What MLflow has on record of a period, and the period's report as a run of its own.

Reports are found by their tags: ``tags.kind = 'period-report' and tags.period = 'week'``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect, experiment_id, translated
from beast_ml.registry.tracking import training_run

__all__ = ["REPORT_KIND", "RecordedRun", "record_report", "runs_between"]

REPORT_KIND: Final = "period-report"
"""The tag ``kind`` of runs that hold a report."""

_MOST: Final = 1000


@dataclass(frozen=True)
class RecordedRun:
    """A run.

    Parameters
    ----------
    id, name
        MLflow's id, and what the list of runs shows.
    at
        When it began.
    tags
        What it was filed under; those of MLflow itself are left out.
    """

    id: str
    name: str
    at: datetime
    tags: Mapping[str, str]


def runs_between(config: TrackingConfig, since: datetime, until: datetime) -> list[RecordedRun]:
    """Return the runs that began at or after, and before, oldest first; those below another run are left out.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    client = connect(config)
    low, high = (int(time.timestamp() * 1000) for time in (since, until))
    where = f"attributes.start_time >= {low} and attributes.start_time < {high}"
    experiment = experiment_id(client, config)
    found: list[Any] = []
    with translated(config):
        token = None
        while True:
            page = client.search_runs([experiment], where, max_results=_MOST, page_token=token)
            found += page
            token = page.token
            if not token:
                break
    runs = [
        RecordedRun(
            run.info.run_id,
            run.info.run_name or run.info.run_id,
            datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
        )
        for run in found
        if "mlflow.parentRunId" not in run.data.tags
    ]
    return sorted(runs, key=lambda run: (run.at, run.id))


def record_report(
    config: TrackingConfig,
    period: str,
    since: datetime,
    until: datetime,
    headline: str,
    metrics: Mapping[str, float],
    folder: Path,
) -> str:
    """Write one finished run with a period's report as its artifact ``report``, and return its id.

    Parameters
    ----------
    period
        ``week``, ``month``, ``quarter`` or ``year``.
    headline
        What the run's page shows, in Markdown.
    metrics
        Figures to compare periods by.
    folder
        Where report.html, report.md and report.json are.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    tags = {"kind": REPORT_KIND, "period": period, "since": since.isoformat(), "until": until.isoformat()}
    name = f"report of the {period} from {since:%Y-%m-%d}"
    with training_run(config, name, headline, tags) as run:
        run.metrics(metrics)
        run.artifact(folder, "report")
        return run.id
