"""The chapters of a report: its findings as words, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from beast_ml.domain.money import usd
from beast_ml.operations.costs.plot import draw_costs
from beast_ml.operations.drift.plot import draw_drift
from beast_ml.operations.error_patterns import ErrorPattern
from beast_ml.operations.error_report_plot import draw_errors
from beast_ml.operations.periodic_report.changes import Change
from beast_ml.operations.periodic_report.document import (
    NOTHING,
    Block,
    Bullets,
    Commands,
    Document,
    Grid,
    Paragraph,
    Picture,
    Section,
)
from beast_ml.operations.periodic_report.pictures import draw_days, drawn
from beast_ml.operations.periodic_report.report import PeriodicReport
from beast_ml.operations.savings.estimates import SwitchEstimate
from beast_ml.operations.savings.plot import draw_savings
from beast_ml.operations.savings.report import SavingsReport

__all__ = ["to_document"]

_SHOWN: Final = 8
_TOLD: Final = 3


def to_document(report: PeriodicReport) -> Document:
    """Return the report as chapters; what nothing is recorded of says so."""
    period = report.period
    return Document(
        f"The {period.kind} from {period}",
        f"beast-ml, whole days in UTC, against the {period.kind} before ({period.before()}). {_covered(report)}"
        f"{report.n_requests:,} requests. Intervals are 95%.",
        (
            Section("In short", _in_short(report)),
            Section("What changed", _changed(report)),
            Section("What it cost", _cost(report)),
            Section("What was learnt", _learnt(report)),
            Section("What broke, and why", _broke(report)),
            Section("What to do, by expected gain", _recommended(report)),
            Section(f"Plan for the next {period.kind}", _planned(report)),
            Section("What this report does not know", _unknown(report)),
        ),
    )


def _covered(report: PeriodicReport) -> str:
    """Return how much of the period and of the one before the log covers, where that is not all."""
    said = [
        f"{n} of the {period.n_days} days of {name}"
        for name, period in ((f"this {report.period.kind}", report.period), ("the one before", report.period.before()))
        if 0 < (n := report.covered_days(period)) < period.n_days
    ]
    return f"The log begins on {report.log_begins}: it covers {' and '.join(said)}. " if said else ""


def _in_short(report: PeriodicReport) -> tuple[Block, ...]:
    if not report.n_requests:
        return (Paragraph(f"Nothing recorded: no request was received from {report.period}.", strong=True),)
    sure = [each for each in report.changes if each.is_sure]
    nothing = "Nothing changed for certain against the period before."
    if not report.days_before:
        nothing = "Nothing is recorded of the period before: there is nothing to compare with."
    said = [_said(each) for each in sure] or [nothing]
    said.append(report.costs.spending.sentence())
    if report.errors is not None:
        said.append(report.errors.sentence())
        said += [f"Incident: {_when(each)}." for each in report.errors.patterns if each.is_new][:_TOLD]
    if report.recommendations:
        best = report.recommendations[0]
        said.append(f"First of what to do: {best.what} ({best.gain}).")
    return (Bullets(tuple(said)),)


def _said(change: Change) -> str:
    form = change.form
    assert change.now is not None and change.before is not None  # noqa: S101, PT018  sure ones have both
    return (
        f"{change.measure.name[0].upper()}{change.measure.name[1:]}: {form.format(change.now)}, was "
        f"{form.format(change.before)} ({change.verdict})."
    )


def _changed(report: PeriodicReport) -> tuple[Block, ...]:
    rows = tuple(_change_row(each) for each in report.changes)
    differing = tuple(row for row, each in zip(rows, report.changes, strict=True) if not each.is_none)
    columns = ("measure", "now", "before", "difference (95%)", "in a word")
    blocks: list[Block] = []
    if differing:
        blocks.append(Grid("Means; intervals by the spread between days", columns, differing, frozenset({1, 2, 3})))
    same = [f"{row[0]} ({row[1]})" for row in rows if row not in differing]
    if same:
        blocks.append(Paragraph(f"Just as before: {', '.join(same)}."))
    if report.n_requests:
        words = "Day by day, this period and the one before: " + "; ".join(f"{row[0]} {row[1]}" for row in rows)
        blocks.append(Picture(drawn(lambda p: draw_days(p, report.days, report.days_before, report.period)), words))
    blocks.append(Paragraph("Switched in this time: new policies, prices and experiments.", strong=True))
    blocks.append(_events([str(event) for event in report.decided]))
    return tuple(blocks)


def _change_row(change: Change) -> tuple[str, ...]:
    form = change.form
    now, before = ("-" if value is None else form.format(value) for value in (change.now, change.before))
    difference = "-"
    if change.difference is not None:
        signed = form.replace("{:", "{:+z")
        difference = signed.format(change.difference)
        if change.low is not None and change.high is not None:
            difference += f" [{signed.format(change.low)}, {signed.format(change.high)}]"
    return change.measure.name, now, before, difference, change.verdict


def _cost(report: PeriodicReport) -> tuple[Block, ...]:
    costs = report.costs
    if not report.n_requests:
        return (Paragraph(NOTHING),)
    blocks: list[Block] = [Bullets(costs.sentences())]
    for name, spending in (("model", costs.spending), ("tenant", report.tenants)):
        rows = tuple(
            (
                row[name] or f"no {name}",
                f"{row['requests']:,}",
                f"{usd(row['cost_nano']):,.6f}" if row["cost_known"] else "-",
                "-" if row["usd_per_request"] is None else f"{row['usd_per_request']:.4g}",
                "-" if row["actual_over_predicted"] is None else f"{row['actual_over_predicted']:.2f}",
            )
            for row in spending.groups.to_pylist()
        )
        heads = (name, "requests", "USD", "USD each", "actual / predicted")
        blocks.append(Grid(f"By {name}", heads, rows, frozenset({1, 2, 3, 4})))
    daily = report.daily_costs.groups.to_pylist()
    title = costs.spending.sentence() if costs.forecast is None else costs.forecast.sentence()
    words = f"Cost a day, stacked by model. {title}"
    blocks.append(Picture(drawn(lambda path: draw_costs(path, daily, costs.forecast, title)), words))
    return tuple(blocks)


def _learnt(report: PeriodicReport) -> tuple[Block, ...]:
    blocks: list[Block] = [Paragraph("The loop, trainings and experiments.", strong=True)]
    blocks.append(_events([str(event) for event in report.learnt]))
    blocks.append(Paragraph("Drift.", strong=True))
    if report.drift is None:
        blocks.append(Paragraph(NOTHING))
    else:
        drift = report.drift
        blocks.append(Paragraph(drift.sentence()))
        if drift.findings:
            blocks.append(Bullets(tuple(f"{each.sentence}. Next: {each.advice}." for each in drift.findings)))
            blocks.append(Picture(drawn(lambda path: draw_drift(path, drift)), f"What drifted: {drift.sentence()}"))
    blocks.append(Paragraph("How good the choices were.", strong=True))
    blocks.append(Paragraph(NOTHING if report.selection is None else report.selection.sentence()))
    return tuple(blocks)


def _broke(report: PeriodicReport) -> tuple[Block, ...]:
    errors = report.errors
    if errors is None:
        return (Paragraph(NOTHING),)
    blocks: list[Block] = [Paragraph(errors.sentence())]
    new = [pattern for pattern in errors.patterns if pattern.is_new]
    if new:
        blocks.append(Bullets(tuple(_incident(pattern) for pattern in new[:_SHOWN])))
    else:
        blocks.append(Paragraph("No incident: no kind of failure was raised for a time."))
    if errors.patterns:
        blocks.append(Picture(drawn(lambda path: draw_errors(path, errors)), f"What failed: {errors.sentence()}"))
    return tuple(blocks)


def _incident(pattern: ErrorPattern) -> str:
    said = _when(pattern)
    return f"{said[0].upper()}{said[1:]}. {pattern.cause} Next: {pattern.next_step}"


def _when(pattern: ErrorPattern) -> str:
    began = "before this time" if pattern.started_at is None else f"{pattern.started_at:%Y-%m-%d %H:%M}"
    ended = "goes on" if pattern.ended_at is None else f"until {pattern.ended_at:%Y-%m-%d %H:%M}"
    during = pattern.during or pattern.rate
    counted = "requests were refused" if pattern.is_refusal else "calls failed"
    return (
        f"{pattern.name}, from {began} ({ended}): {during.value:.1%} of {during.n_calls:,} {counted} "
        f"[{during.low:.1%}, {during.high:.1%}]"
    )


def _recommended(report: PeriodicReport) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if report.recommendations:
        blocks.append(Paragraph("Money that would be saved comes first, then requests, then what has no figure."))
        items = tuple(f"{each.what}. Gain: {each.gain}. How: {each.how}" for each in report.recommendations)
        blocks.append(Bullets(items, numbered=True))
    else:
        blocks.append(Paragraph("Nothing that was looked at is worth doing."))
    if report.why_not_judged is not None:
        blocks.append(
            Paragraph(f"What would save, and how good the choices were, is not judged: {report.why_not_judged}.")
        )
    savings = report.savings
    if savings is not None:
        blocks.append(Paragraph(savings.sentence()))
        blocks.append(Picture(drawn(lambda p: draw_savings(p, savings)), f"What would save: {savings.sentence()}"))
        if savings.ranked:
            blocks.append(_switches(savings))
    return tuple(blocks)


def _planned(report: PeriodicReport) -> tuple[Block, ...]:
    plan = Commands(tuple(report.plan))
    if len(report.plan) > 1:
        return (plan,)
    return Paragraph("Nothing was found and nothing is open: go on as it is."), plan


def _switches(savings: SavingsReport) -> Grid:
    """Return what the numbers in the picture stand for, but for those that change nothing."""
    rows = tuple(
        (f"{number}. {each.switch.name}", *_figures(each.estimate)) for number, each in enumerate(savings.ranked, 1)
    )
    shown = tuple(row for row, each in zip(rows, savings.ranked, strict=True) if not each.estimate.changes_nothing)
    columns = ("switch", "saving, %", "quality, points", "recommended")
    caption = "The numbers in the picture; intervals hold for all at once"
    if len(shown) < len(rows):
        caption += f"; {len(rows) - len(shown)} that change nothing are left out"
    return Grid(caption, columns, shown, frozenset({1, 2}))


def _figures(found: SwitchEstimate) -> tuple[str, str, str]:
    """Return what a switch comes to; what the log cannot tell has no figures."""
    if not found.trusted:
        return "-", "-", "the log cannot tell"
    return (
        _percent(found.saving, found.saving_low, found.saving_high, 1),
        _percent(found.quality, found.quality_low, found.quality_high, 2),
        "yes" if found.recommended else "no",
    )


def _percent(value: float, low: float, high: float, digits: int) -> str:
    return f"{100 * value:+z.{digits}f} [{100 * low:+z.{digits}f}, {100 * high:+z.{digits}f}]"


def _unknown(report: PeriodicReport) -> tuple[Block, ...]:
    notes = [f"{note[0].upper()}{note[1:]}" for note in report.notes]
    if not report.runs_known:
        notes.append("What MLflow has on record: it was not asked, or did not answer.")
    if report.costs.reconciliation is None:
        notes.append("What the budget ledger has booked: there is none here.")
    return (Bullets(tuple(notes)),) if notes else (Paragraph("Everything it looks at was there."),)


def _events(events: Sequence[str]) -> Block:
    return Bullets(tuple(events)) if events else Paragraph(NOTHING)
