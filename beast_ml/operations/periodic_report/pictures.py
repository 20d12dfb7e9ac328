"""Pictures as bytes, to lie in the report itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.operations.periodic_report.period import Period

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_days", "drawn"]

Days = Mapping[date, Mapping[str, float]]

_NOW: Final = "#30638e"
_BEFORE: Final = "#8a8f98"
_WEEK: Final = 7
_MOST_POINTS: Final = 100
_PANELS: Final = (
    ("requests", "days", "requests a day"),
    ("quality", "labelled", "quality of labelled answers"),
    ("cost", "days", "USD a day"),
    ("latency", "timed", "mean latency, s"),
    ("cached", "requests", "share from the cache"),
    ("failed", "ended", "share that failed"),
)


def drawn(draw: Callable[[Path], None]) -> bytes:
    """Return what a function draws into a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return path.read_bytes()


def draw_days(path: Path, now: Days, before: Days, period: Period) -> None:
    """Draw the measures day by day, of long periods week by week, the period before dashed below it, at its place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 2, sharex=True).ravel()
    step = _WEEK if period.n_days > _MOST_POINTS else 1
    for axes, (of, over, title) in zip(panels, _PANELS, strict=True):
        previous = period.before()
        _line(axes, previous.days[-period.n_days :], before, of, over, step, dashed=True)
        _line(axes, period.days, now, of, over, step, dashed=False)
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_ylim(0, 1.08 * max((max(line.get_ydata(), default=0.0) for line in axes.lines), default=0.0) or 1.0)
        if title.startswith("share"):
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    for axes in panels[-2:]:
        axes.set_xlabel("day of the period" if step == 1 else "week of the period")
        axes.set_xlim(0.5, -(-period.n_days // step) + 0.5)  # all of it, however little of it was recorded
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    figure.savefig(path)


def _line(axes: Axes, days: Sequence[date], sums: Days, of: str, over: str, step: int, *, dashed: bool) -> None:
    known = []
    for number, start in enumerate(range(0, len(days), step), 1):
        seen = [sums[day] for day in days[start : start + step] if day in sums]
        if below := sum(each[over] for each in seen):
            known.append((number, sum(each[of] for each in seen) / below))
    axes.plot(
        [i for i, _ in known],
        [value for _, value in known],
        color=_BEFORE if dashed else _NOW,
        linestyle="--" if dashed else "-",
        linewidth=1.1 if dashed else 1.5,
        marker="." if not dashed else "",
        markersize=4,
        label="the period before" if dashed else "this period",
    )
