"""`beast report week|month|quarter|year`: what a period was, as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from beast_ml.cli.output import Bars, JsonOption, print_json, progress_bar, say, stdout

if TYPE_CHECKING:
    from beast_ml.operations.periodic_report.period import PeriodKind

__all__ = ["report_of"]


def report_of(kind: PeriodKind) -> Callable[..., None]:
    """Return the command that reports on a period of this kind."""

    def report_period(
        ending: Annotated[
            str | None, typer.Option(help="Its last day (UTC), such as 2026-11-29; default: yesterday.")
        ] = None,
        store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
        out: Annotated[
            Path | None, typer.Option(help="Folder for the report; default: beast-out/report-KIND-LAST_DAY.")
        ] = None,
        judge: Annotated[
            bool, typer.Option(help="Judge savings and choices, too: takes labels, prompts, and some minutes.")
        ] = True,
        record: Annotated[bool, typer.Option(help="Store the report in MLflow.")] = True,
        seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
        as_json: JsonOption = False,
    ) -> None:
        from beast_ml.cli.period_sources import named_period, period_sources, record_period
        from beast_ml.operations.periodic_report.files import write_report
        from beast_ml.operations.periodic_report.report import periodic_report
        from beast_ml.settings import load_settings

        settings, period = load_settings(), named_period(kind, ending)
        folder = out or Path("beast-out") / f"report-{kind}-{period.last}"
        with progress_bar() as progress:
            bars = Bars(progress)
            sources = period_sources(settings, period, store=store, judge=judge, progress=bars.advance)
            report = periodic_report(sources, period, seed=seed, progress=bars.advance)
        written = write_report(report, folder)
        if record:
            say(f"recorded in MLflow as run {record_period(settings, report, folder)}")
        if as_json:
            print_json(report.to_dict())
            return
        stdout.print(escape(report.costs.spending.sentence()), highlight=False)
        for i, each in enumerate(report.recommendations[:3], 1):
            stdout.print(escape(f"{i}. {each.what}: {each.gain}"), highlight=False)
        stdout.print(f"Written: {escape(', '.join(map(str, written)))}", highlight=False)

    report_period.__doc__ = (
        f"Write what the {kind} was: what changed, cost, was learnt and broke, and what to do next.\n\n"
        "One HTML page that fetches nothing, Markdown and JSON; stored in MLflow, too. Days are UTC."
    )
    return report_period
