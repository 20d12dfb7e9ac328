"""The picture of a drift report: the streams that drifted, over time, and since when."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.operations.drift.monitor import Alarm
from beast_ml.operations.drift.report import DriftReport, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_drift"]

_SHOWN: Final = 6
_DRIFTED: Final = "#d1495b"
_STREAM: Final = "#30638e"
_GREY: Final = "#8a8f98"
_ABOUT: Final = {
    "calibration": "outcome minus prediction",
    "quality": "quality (minus prediction, where there is one)",
    "predicted quality": "predicted quality",
    "prompt length": "tokens",
    "answer length": "tokens",
    "request mix": "rarity of the kind (rank)",
}


def draw_drift(path: Path, report: DriftReport) -> None:
    """Draw the first streams that drifted, the means before and after, and the 95% interval of the start."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [alarm for finding in report.findings for alarm in finding.alarms][:_SHOWN]
    figure = Figure(figsize=(9.5, 1.3 + 1.9 * max(len(shown), 1)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(report.sentence(), 100)), x=0.01, ha="left", fontsize=10)
    panels = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, alarm in zip(panels, shown, strict=False):
        _draw(axes, alarm, report)
    if shown:
        panels[-1].tick_params(axis="x", rotation=20)
        panels[-1].set_xlabel("received (UTC); shaded: when it began (95%); dashed: when it was found")
    else:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "nothing has drifted", ha="center", color=_GREY)
    figure.savefig(path)


def _draw(axes: Axes, alarm: Alarm, report: DriftReport) -> None:
    course = report.monitor.course(alarm)
    axes.plot(
        [_number(at) for at, _, _ in course],
        [unit_of(alarm, mean) for _, mean, _ in course],
        color=_STREAM,
        linewidth=1.0,
        marker=".",
        markersize=3,
    )
    axes.xaxis_date()
    axes.axvline(_number(alarm.raised_at.timestamp()), color=_DRIFTED, linewidth=1.0, linestyle="--")
    change = alarm.change
    if change is not None:
        axes.axvspan(_number(change.earliest_s), _number(change.latest_s), color=_DRIFTED, alpha=0.2, linewidth=0)
        left, right = report.since.timestamp(), report.until.timestamp()
        for mean, span in ((change.before, (left, change.at_s)), (change.after, (change.at_s, right))):
            axes.hlines(unit_of(alarm, mean), *map(_number, span), color=_DRIFTED, linewidth=1.2)
    key = alarm.key
    title = " · ".join(part for part in (key.signal, key.model, key.kind) if part)
    axes.set_title(title, loc="left", fontsize=9, color=_DRIFTED)
    axes.set_ylabel(_ABOUT[key.signal], fontsize=6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def _number(at_s: float) -> float:
    from matplotlib.dates import date2num

    return float(date2num(datetime.fromtimestamp(at_s, UTC)))
