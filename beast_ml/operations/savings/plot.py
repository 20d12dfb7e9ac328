"""The picture of a savings report: saving against change of quality, with intervals."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.operations.savings.report import RankedSwitch, SavingsReport
from beast_ml.policy.operating_point import QUALITY_MARGIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_savings"]

_GOOD: Final = "#2a7f62"
_TOLD: Final = "#30638e"
_UNTOLD: Final = "#b8bcc2"


def draw_savings(path: Path, report: SavingsReport) -> None:
    """Draw every switch, numbered as in the table; grey where the log cannot tell."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6.0), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(report.sentence(), 105)), x=0.01, ha="left", fontsize=9, parse_math=False)
    axes = figure.subplots()
    shown = []
    for number, each in enumerate(report.ranked, 1):
        if np.isfinite(each.estimate.saving + each.estimate.quality):
            _draw(axes, number, each)
            shown.append(each)
    told = [each for each in shown if each.estimate.trusted] or shown
    if told:  # what cannot be told may lie anywhere: it must not set the scale
        _limit(axes, told)
    axes.axvline(0.0, color="#8a8f98", linewidth=0.8)
    axes.axhline(0.0, color="#8a8f98", linewidth=0.8)
    axes.axhline(-100 * QUALITY_MARGIN, color="#d1495b", linewidth=1.0, linestyle="--")
    axes.set_xlabel("saving, % of what the log's policy costs (95%, corrected for the number of switches)")
    axes.set_ylabel("change of quality, points; dashed: what may be lost")
    axes.set_title("green: recommended; blue: the log can tell; grey: it cannot", loc="left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path)


def _draw(axes: Axes, number: int, each: RankedSwitch) -> None:
    found = each.estimate
    color = _GOOD if found.recommended else _TOLD if found.trusted else _UNTOLD
    x, y = 100 * found.saving, 100 * found.quality
    ends = np.array([found.saving_low, found.saving_high, found.quality_low, found.quality_high])
    if np.isfinite(ends).all():
        low_x, high_x, low_y, high_y = (100 * ends).tolist()
        axes.plot([low_x, high_x], [y, y], color=color, linewidth=1.1, alpha=0.8)
        axes.plot([x, x], [low_y, high_y], color=color, linewidth=1.1, alpha=0.8)
    axes.plot([x], [y], marker="o", markersize=3.5, color=color)
    axes.annotate(str(number), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7, color=color, clip_on=True)


def _limit(axes: Axes, told: list[RankedSwitch]) -> None:
    for low, high, limit in (
        ("saving_low", "saving_high", axes.set_xlim),
        ("quality_low", "quality_high", axes.set_ylim),
    ):
        lows = [getattr(each.estimate, low) for each in told]
        highs = [getattr(each.estimate, high) for each in told]
        left, right = 100 * min(0.0, *lows), 100 * max(0.0, *highs)
        if np.isfinite([left, right]).all() and right > left:
            margin = 0.06 * (right - left)
            limit(left - margin, right + margin)
