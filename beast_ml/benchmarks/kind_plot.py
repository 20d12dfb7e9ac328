"""The confusion of kinds as a picture: where a request of one kind is taken for another."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from beast_ml.benchmarks.request_kind import KindEvaluation, KindScore

__all__ = ["draw_confusion"]

_SHOWN_FROM: Final = 0.005


def draw_confusion(path: Path, evaluation: KindEvaluation) -> None:
    """Draw the in-domain confusion, and beside it that of all sets left out together; rows are true kinds."""
    kinds = evaluation.in_domain.kinds
    figure = Figure(figsize=(17, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Kinds of request: share of the true kind (row) that is predicted as each (column)")
    value = evaluation.in_domain.macro_f1.value
    panels = [(f"in domain, macro-F1 {value:.2f}", evaluation.in_domain.table)]
    mean = evaluation.mean_left_out
    if mean is not None:
        panels.append((f"sets left out, mean macro-F1 {mean[0]:.2f}", _together(evaluation, kinds)))
    for i, (title, table) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        totals = table.sum(axis=1, keepdims=True)
        shares = np.divide(table, totals, out=np.zeros(table.shape), where=totals > 0)
        axes.imshow(shares, cmap="Greens", vmin=0.0, vmax=1.0)
        axes.set_title(title)
        axes.set_xticks(range(len(kinds) + 1), [*kinds, "any other"], rotation=60, ha="right")
        axes.set_yticks(range(len(kinds)), [f"{name} ({n})" for name, n in zip(kinds, totals[:, 0], strict=True)])
        for row, column in zip(*np.nonzero(shares >= _SHOWN_FROM), strict=True):
            share = shares[row, column]
            colour = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    figure.savefig(path, dpi=110)


def _together(evaluation: KindEvaluation, kinds: tuple[str, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return the summed (k, k + 1) table of the sets left out."""
    position = {name: j for j, name in enumerate(kinds)}
    table = np.zeros((len(kinds), len(kinds) + 1), dtype=np.int64)
    for each in evaluation.left_out:
        score: KindScore = each.unseen
        at = [position[name] for name in score.kinds]
        table[np.ix_(at, [*at, len(kinds)])] += score.table
    return table
