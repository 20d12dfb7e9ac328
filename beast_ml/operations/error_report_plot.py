"""The picture of an error report: how often calls fail, or requests are refused, over time, pattern by pattern."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.operations.error_patterns import ErrorPattern, ErrorReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_errors"]

_SHOWN: Final = 5
_NEW: Final = "#d1495b"
_KNOWN: Final = "#30638e"
_GREY: Final = "#8a8f98"


def draw_errors(path: Path, report: ErrorReport) -> None:
    """Draw the failure rate of the first patterns over time, the stretch in which it is raised, and the window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = report.patterns[:_SHOWN]
    figure = Figure(figsize=(9.5, 1.2 + 1.9 * max(len(shown), 1)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(report.sentence(), 100)), x=0.01, ha="left", fontsize=10)
    panels = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, pattern in zip(panels, shown, strict=False):
        _draw(axes, pattern, report)
    if not shown:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "nothing failed", ha="center", color=_GREY)
    else:
        left = min(report.since, *(pattern.timeline[0][0] for pattern in shown))
        if left < report.until:
            panels[-1].set_xlim(_number(left), _number(report.until))
        panels[-1].tick_params(axis="x", rotation=20)
        panels[-1].set_xlabel("received (UTC); dashed: the report begins; shaded: raised, and when that began (95%)")
    figure.savefig(path)


def _draw(axes: Axes, pattern: ErrorPattern, report: ErrorReport) -> None:
    from matplotlib.ticker import PercentFormatter

    colour = _NEW if pattern.is_new else _KNOWN
    known = [(at, failed / calls) for at, calls, failed in pattern.timeline if calls]
    known.append((report.until, known[-1][1]))
    axes.step([_number(at) for at, _ in known], [rate for _, rate in known], where="post", color=colour, linewidth=1.4)
    axes.xaxis_date()
    axes.axvline(_number(report.since), color=_GREY, linewidth=1.0, linestyle="--")
    if pattern.is_new:
        start = pattern.started_at or report.compared_from
        axes.axvspan(_number(start), _number(pattern.ended_at or report.until), color=_NEW, alpha=0.12, linewidth=0)
        if pattern.started_from and pattern.started_until:
            axes.axvspan(
                _number(pattern.started_from), _number(pattern.started_until), color=_NEW, alpha=0.3, linewidth=0
            )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    where = "refused" if pattern.is_refusal else pattern.model or "before a model"
    axes.set_title(f"{pattern.error_kind} · {where}", loc="left", fontsize=9, color=colour)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def _number(at: object) -> float:
    from matplotlib.dates import date2num

    return float(date2num(at))
