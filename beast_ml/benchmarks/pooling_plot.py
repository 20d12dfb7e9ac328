"""Pooling as a picture: a panel a set, share of the gap by number of own queries, with and without other sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.benchmarks.figures import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_pooling"]

_LINES: Final = {
    "model_means": ("#8a8f98", "--", "model means"),
    "alone": ("#30638e", "-", "own queries alone"),
    "pooled": ("#0b6e4f", "-", "with a trunk of the other sets"),
}
_SHARE: Final = "share_of_held_out_gap"


def draw_pooling(path: Path, figures: Sequence[Figure]) -> None:
    """Draw the curves of the figures of the part ``pooling``, with 95% intervals over seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    sets = list(dict.fromkeys(_set_of(figure) for figure in figures))
    columns = min(3, len(sets))
    rows = -(-len(sets) // columns)
    canvas = Canvas(figsize=(max(4.2 * columns, 8.0), 3.1 * rows + 0.7), layout="constrained")
    FigureCanvasAgg(canvas)
    grid = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(grid, sets, strict=False):
        _draw_set(axes, name, [figure for figure in figures if _set_of(figure) == name])
    for axes in grid[len(sets) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    canvas.savefig(path, dpi=110)


def _draw_set(axes: Axes, name: str, figures: Sequence[Figure]) -> None:
    size = {figure.dataset: figure.value for figure in figures if figure.name == "own_queries"}
    for router, (colour, style, label) in _LINES.items():
        shares = [one for one in figures if one.router == router and one.name == _SHARE]
        # None, where something is not defined, becomes NaN, which is not drawn.
        x = np.array([size[one.dataset] for one in shares], dtype=float)
        y, low, high = (np.array([getattr(one, end) for one in shares], float) for end in ("value", "low", "high"))
        axes.plot(x, y, style, marker="o", markersize=3.5, color=colour, label=label)
        if router != "model_means":
            axes.fill_between(x, low, high, color=colour, alpha=0.12)
    axes.axhline(0.0, color="#8a8f98", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("own queries learnt from", fontsize=8)
    axes.set_ylabel("share of the gap", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _set_of(figure: Figure) -> str:
    return figure.dataset.partition(", ")[0]
