"""`beast report`: what a log tells operators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.cli.report_costs import report_costs
from beast_ml.cli.report_drift import report_drift
from beast_ml.cli.report_period import report_of
from beast_ml.cli.report_savings import report_savings
from beast_ml.cli.report_selection import report_selection

if TYPE_CHECKING:
    from beast_ml.operations.error_patterns import ErrorPattern, ErrorReport

__all__ = ["app"]

app = typer.Typer(name="report", help="Say what a log tells operators.", no_args_is_help=True)

_SHOWN: Final = 20
_EXPLAINED: Final = 8


@app.callback()
def _report() -> None:
    """Say what a log tells operators."""


app.command("costs")(report_costs)
app.command("drift")(report_drift)
app.command("savings")(report_savings)
app.command("selection")(report_selection)
app.command("week")(report_of("week"))
app.command("month")(report_of("month"))
app.command("quarter")(report_of("quarter"))
app.command("year")(report_of("year"))


@app.command("errors")
def report_errors(
    since: Annotated[
        str | None,
        typer.Option(
            help="A time (2026-11-25T08:00Z), or how long ago (90m, 24h, 7d); default: the log's last 24 hours."
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write report.json and errors.png into this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what fails or is refused, where, since when, what changed then, and what to do next.

    The time since is compared with seven times as long before it.
    """
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.error_patterns import error_report
    from beast_ml.settings import load_settings

    start = None if since is None else past_time("--since", since)
    report = error_report(LogStore(store or load_settings().logs.store), start)
    if out is not None:
        from beast_ml.operations.error_report_plot import draw_errors

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
        draw_errors(out / "errors.png", report)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)
    if out is not None:
        stdout.print(f"Written: {escape(str(out / 'report.json'))}, {escape(str(out / 'errors.png'))}", highlight=False)


def _show(report: ErrorReport) -> None:
    window = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    rows = [
        [
            pattern.error_kind,
            "(refused)" if pattern.is_refusal else pattern.model or "-",
            f"{pattern.rate.n_failed:,}",
            _share(pattern.rate.value),
            "-" if pattern.before is None else _share(pattern.before.value),
            _since(pattern),
        ]
        for pattern in report.patterns[:_SHOWN]
    ]
    more = len(report.patterns) - _SHOWN
    print_table(
        f"What failed or was refused, {window}",
        ["error", "model", "number", "rate", "before", "raised since"],
        rows,
        caption=f"and {more} more, see --json" if more > 0 else None,
    )
    stdout.print(escape(report.sentence()), highlight=False)
    new = [pattern for pattern in report.patterns if pattern.is_new]
    for pattern in (new or list(report.patterns))[:_EXPLAINED]:
        _explain(pattern)


def _explain(pattern: ErrorPattern) -> None:
    mark = "[red]new[/red] " if pattern.is_new else ""
    stdout.print(f"\n{mark}[bold]{escape(pattern.name)}[/bold]", highlight=False)
    stdout.print(f"  why   {escape(pattern.cause)}", highlight=False)
    if pattern.is_new and pattern.during is not None and pattern.p_value is not None:
        during = pattern.during
        counted = "requests were refused" if pattern.is_refusal else "calls failed"
        between = (
            f", begun between {pattern.started_from:%m-%d %H:%M} and {pattern.started_until:%m-%d %H:%M} (95%)"
            if pattern.started_from and pattern.started_until
            else ""
        )
        stdout.print(
            f"  when  {_share(during.value)} of {during.n_calls:,} {counted} "
            f"({_share(during.low)} to {_share(during.high)}){between}; p {_p(pattern.p_value)}",
            highlight=False,
        )
    stdout.print(f"  next  {escape(pattern.next_step)}", highlight=False)
    stdout.print(f"  e.g.  {escape(', '.join(pattern.examples))}", highlight=False)


def _since(pattern: ErrorPattern) -> str:
    if not pattern.is_new:
        return "-"
    start = "before the log" if pattern.started_at is None else f"{pattern.started_at:%m-%d %H:%M}"
    return start if pattern.ended_at is None else f"{start} to {pattern.ended_at:%m-%d %H:%M}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else f"{share:.3%}"


def _p(p_value: float) -> str:
    return f"= {p_value:.2g}"
