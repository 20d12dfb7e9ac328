"""The picture of costs: by day, and how the month is expected to go on."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from beast_ml.operations.costs.forecast import MonthForecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_costs"]

_COLOURS: Final = ("#30638e", "#d98324", "#2a7f62", "#8f5aa5", "#b04a5a")
_OTHERS: Final = "#8a8f98"
_MOST_BARS: Final = 100
_WEEK: Final = 7
_HATCHES: Final = ("", "//", "..", "xx", "\\\\", "")


def draw_costs(path: Path, rows: Sequence[Mapping[str, Any]], forecast: MonthForecast | None, title: str) -> None:
    """Draw what was spent a day, stacked by model (the dearest five; told apart by hatching, too), and the forecast.

    Parameters
    ----------
    rows
        Of `read_spending` by day and model.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(title, 105)), x=0.01, ha="left", fontsize=9, parse_math=False)
    axes = figure.subplots()
    spans = _spans({date.fromisoformat(row["day"]) for row in rows})
    by_day = all(len(span) == 1 for span in spans)
    _stack(axes, rows, spans)
    if forecast is not None and forecast.days:
        _fan(axes, forecast, by_day=by_day)
    if not rows:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was spent", ha="center", color=_OTHERS)
    else:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=7)
        axes.set_ylim(bottom=0)
        _date_axis(axes)
        axes.set_xlabel("received (UTC days)")
        axes.set_ylabel("USD a day" if by_day else "USD a day, mean of a week")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6, axis="y")
    axes.set_axisbelow(True)
    figure.savefig(path)


def _date_axis(axes: Axes) -> None:
    """Label days, months and years briefly, and as many as there is room for."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter

    left, right = axes.get_xlim()
    if right - left < 1.0:
        axes.set_xlim(left - 0.5, right + 0.5)
        left, right = axes.get_xlim()
    # With no more ticks than days, none stands for a part of a day, of which nothing is known.
    locator = AutoDateLocator(minticks=min(3, int(right - left)), maxticks=9)
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator) if right - left > 3.0 else DateFormatter("%Y-%m-%d")
    axes.xaxis.set_major_formatter(formatter)


def _stack(axes: Axes, rows: Sequence[Mapping[str, Any]], spans: Sequence[tuple[date, ...]]) -> None:
    """Draw a bar for each stretch of days, as high as they are in the mean."""
    by_model: defaultdict[str, defaultdict[date, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        by_model[row["model"] or "no model"][date.fromisoformat(row["day"])] += row["cost_usd"]
    order = sorted(by_model, key=lambda name: -sum(by_model[name].values()))
    layers = [(name, [name]) for name in order[: len(_COLOURS)]]
    if rest := order[len(_COLOURS) :]:
        layers.append(("others", rest))
    at = [_number(span[0]) + (len(span) - 1) / 2 for span in spans]
    bottom = np.zeros(len(spans))
    for i, (label, names) in enumerate(layers):
        spent = [sum(by_model[name][day] for name in names for day in span) / len(span) for span in spans]
        axes.bar(
            at,
            spent,
            bottom=bottom,
            width=[0.8 * len(span) for span in spans],
            color=_OTHERS if label == "others" else _COLOURS[i],
            label=label,
            hatch=_HATCHES[i],
            edgecolor="white",
            linewidth=0.4,
        )
        bottom += spent


def _spans(known: Collection[date]) -> list[tuple[date, ...]]:
    """Return the days from the first to the last, one by one, or by week where there are many."""
    if not known:
        return []
    first, n_days = min(known), (max(known) - min(known)).days + 1
    days = tuple(first + timedelta(days=i) for i in range(n_days))
    step = _WEEK if n_days > _MOST_BARS else 1
    return [days[i : i + step] for i in range(0, n_days, step)]


def _fan(axes: Axes, forecast: MonthForecast, *, by_day: bool) -> None:
    """Draw what is expected of each day that is left; beside weeks, of all of them in the mean."""
    if by_day:
        expected, label = list(forecast.days), "expected (95%)"
    else:
        n, middle = len(forecast.days), forecast.days[len(forecast.days) // 2][0]
        ends = (forecast.expected_usd, forecast.low_usd, forecast.high_usd)
        mean, low, high = ((end - forecast.spent_usd) / n for end in ends)
        expected, label = [(middle, mean, low, high)], "expected of the month's other days, mean (95%)"
    axes.errorbar(
        [_number(day) for day, *_ in expected],
        [mean for _, mean, _, _ in expected],
        yerr=np.array([(mean - low, high - mean) for _, mean, low, high in expected]).T,
        fmt="o",
        markersize=3.5,
        color="#222831",
        ecolor="#222831",
        elinewidth=0.9,
        capsize=2,
        label=label,
    )


def _number(day: date) -> float:
    from matplotlib.dates import date2num

    return float(date2num(day))
