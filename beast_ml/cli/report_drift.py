"""`beast report drift`: what is no longer as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, stdout
from beast_ml.cli.past_time import past_time

if TYPE_CHECKING:
    from beast_ml.operations.drift.monitor import Alarm
    from beast_ml.operations.drift.report import DriftReport

__all__ = ["report_drift"]


def report_drift(
    since: Annotated[
        str | None, typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (24h, 30d); default: the whole log.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option(help="False alarms a month, of all streams together, at most (expected).")
    ] = 1.0,
    tolerance: Annotated[
        float, typer.Option(help="How far mean quality may be from its prediction without an alarm; 0..1.")
    ] = 0.05,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write report.json and drift.png into this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print which models, predictions and requests have changed, since when, how sure that is, and what to do."""
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.drift.monitor import MonitorConfig
    from beast_ml.operations.drift.report import drift_report
    from beast_ml.settings import load_settings

    start = None if since is None else past_time("--since", since)
    config = MonitorConfig(false_alarms, tolerance)
    log = LogStore(store or load_settings().logs.store)
    with progress_bar() as progress:
        report = drift_report(log, start, config=config, advance=Bars(progress).advance)
    if out is not None:
        from beast_ml.operations.drift.plot import draw_drift

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
        draw_drift(out / "drift.png", report)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)
    if out is not None:
        stdout.print(f"Written: {escape(str(out / 'report.json'))}, {escape(str(out / 'drift.png'))}", highlight=False)


def _show(report: DriftReport) -> None:
    rows = [
        [alarm.key.signal, alarm.key.model or "-", alarm.key.kind or "all", *_figures(alarm)]
        for finding in report.findings
        for alarm in finding.alarms
    ]
    if rows:
        window = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
        columns = ["what", "model", "kind", "before", "after", "since (95%)", "found"]
        print_table(f"What drifted, {window}", columns, rows)
    stdout.print(escape(report.sentence()), highlight=False)
    for finding in report.findings:
        stdout.print(f"\n[bold]{escape(finding.sentence)}[/bold]", highlight=False)
        stdout.print(f"  next  {escape(finding.advice)}", highlight=False)


def _figures(alarm: Alarm) -> list[str]:
    from beast_ml.operations.drift.report import unit_of

    found, change = f"{alarm.raised_at:%m-%d %H:%M}", alarm.change
    if change is None:
        return ["-", "-", "-", found]
    before, after = (f"{unit_of(alarm, mean):.3g}" for mean in (change.before, change.after))
    at, low, high = (datetime.fromtimestamp(at_s, UTC) for at_s in (change.at_s, change.earliest_s, change.latest_s))
    return [before, after, f"{at:%m-%d %H:%M} ({low:%m-%d %H:%M} to {high:%m-%d %H:%M})", found]
