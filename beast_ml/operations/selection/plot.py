"""The picture of a selection report: accuracy by group, and what context buys."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.operations.selection.report import SelectionReport

__all__ = ["draw_selection"]

_SHOWN: Final = 18
_COLOR: Final = "#30638e"
_GREY: Final = "#8a8f98"


def draw_selection(path: Path, report: SelectionReport) -> None:
    """Draw the largest groups' accuracy, and each context field's gain, with 95% intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = report.accuracy[:_SHOWN]
    figure = Figure(figsize=(10.0, 2.2 + 0.26 * len(shown)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(report.sentence(), 110)), x=0.01, ha="left", fontsize=9)
    left, right = figure.subplots(1, 2)
    for y, each in enumerate(shown):
        left.plot([100 * each.accuracy_low, 100 * each.accuracy_high], [y, y], color=_COLOR, linewidth=1.2)
        left.plot([100 * each.accuracy], [y], marker="o", markersize=3.5, color=_COLOR)
    names = [f"{each.field} {each.value}".strip()[:40] for each in shown]
    left.set_yticks(range(len(shown)), names, fontsize=7)
    left.invert_yaxis()
    best = "predicted best" if report.is_predicted else "best"
    left.set_xlabel(f"choices within {100 * report.epsilon:g} points of the {best}, %")
    for y, field in enumerate(report.context):
        if np.isfinite([field.gain_low, field.gain_high]).all():
            right.plot([100 * field.gain_low, 100 * field.gain_high], [y, y], color=_COLOR, linewidth=1.2)
        right.plot([100 * field.gain], [y], marker="o", markersize=3.5, color=_COLOR)
    right.set_yticks(range(len(report.context)), [field.field for field in report.context], fontsize=7)
    right.invert_yaxis()
    right.axvline(0.0, color=_GREY, linewidth=0.8)
    right.set_xlabel("what reading it adds, at equal cost, points")
    if not report.context:
        right.set_axis_off()
        right.text(0.5, 0.5, "no context was read", ha="center", color=_GREY)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path)
