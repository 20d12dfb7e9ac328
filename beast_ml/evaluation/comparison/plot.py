"""The picture of a comparison: differences to the reference, measure by measure, kind by kind."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.evaluation.comparison.contract import COMPARED, ModelComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_comparison"]

_COLORS: Final = ("#30638e", "#d1495b", "#edae49", "#00798c", "#8a5a83", "#5b8c5a")
_GREY: Final = "#8a8f98"
_UNITS: Final = {
    "quality": (100.0, "quality, points"),
    "cost_usd": (1000.0, "cost, USD per 1,000 requests"),
    "latency_s": (1.0, "latency, s"),
    "errors": (100.0, "failed calls, points"),
}


def draw_comparison(path: Path, comparison: ModelComparison) -> None:
    """Draw each model's difference to the reference, with 95% intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [measure for measure in COMPARED if comparison.of(measure)]
    n_kinds = max((len({row.kind for row in comparison.rows if row.measure == each}) for each in shown), default=1)
    others = comparison.models[1:]
    height = 1.9 + n_kinds * (0.25 + 0.16 * len(others))
    figure = Figure(figsize=(3.2 * max(len(shown), 1) + 1.5, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(comparison.sentence(), 110)), x=0.01, ha="left", fontsize=9)
    panels = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
    for axes, measure in zip(panels, shown, strict=False):
        _draw(axes, comparison, measure)
    if shown:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(others), frameon=False, fontsize=8)
    figure.savefig(path)


def _draw(axes: Axes, comparison: ModelComparison, measure: str) -> None:
    unit, name = _UNITS[measure]
    kinds = list(dict.fromkeys(row.kind for row in comparison.rows if row.measure == measure))
    others = comparison.models[1:]
    for k, model in enumerate(others):
        shift = (k - (len(others) - 1) / 2) * 0.8 / len(others)
        found = {row.kind: row.difference for row in comparison.rows if (row.measure, row.model) == (measure, model)}
        color = _COLORS[k % len(_COLORS)]
        for y, kind in enumerate(kinds):
            d = found[kind]
            if d is None or d.value is None:
                continue
            ends = [d.value if end is None else end for end in (d.low, d.high)]
            if np.isfinite(ends).all():
                axes.plot([unit * end for end in ends], [y + shift] * 2, color=color, linewidth=1.3)
            label = model if y == 0 else None
            axes.plot([unit * d.value], [y + shift], "o", markersize=3.5, color=color, label=label)
    axes.axvline(0.0, color=_GREY, linewidth=0.8)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=7)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlabel(f"{name},\nless that of {comparison.models[0]}", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
