"""The picture of an off-policy evaluation: estimates with their intervals, and how the weight is spread."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.evaluation.off_policy.evaluate import HEADLINE, PolicyEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_evaluation"]

_OURS: Final = "#0b6e4f"
_GREY: Final = "#8a8f98"
_WARN: Final = "#d1495b"
_NAMES: Final = {"dm": "DM", "ips": "IPS", "snips": "SNIPS", "clipped_ips": "clipped IPS", "dr": "DR"}
_NAMES_LESS_USED: Final = {"switch_dr": "Switch-DR", "ppi": "prediction-powered"}
_UNITS: Final = {"quality": "mean quality", "cost_usd": "mean cost, USD per request"}


def draw_evaluation(path: Path, found: PolicyEvaluation, metric: str) -> None:
    """Draw estimates (left) and the concentration of the importance weights (right)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _draw_estimates(left, found)
    left.set_xlabel(_UNITS[metric])
    _draw_weights(right, found)
    figure.suptitle("\n".join(textwrap.wrap(found.verdict.sentence, 125)), x=0.01, ha="left", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path)


def _draw_estimates(axes: Axes, found: PolicyEvaluation) -> None:
    names = {**_NAMES, **_NAMES_LESS_USED}
    shown = [(names[name], one, _OURS if name == HEADLINE else "black") for name, one in found.estimates.items()]
    shown.append(("the log's own policy", found.logged, _GREY))
    for row, (_, one, colour) in enumerate(shown):
        axes.plot(one.always_valid, [row, row], color=colour, linewidth=6, alpha=0.18, solid_capstyle="butt")
        axes.plot(one.normal, [row, row], color=colour, linewidth=2)
        axes.plot(one.value, row, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(shown)), [label for label, _, _ in shown])
    axes.invert_yaxis()
    axes.axvline(found.logged.value, color=_GREY, linestyle=":", linewidth=1)
    axes.set_title("thin: 95%; broad: 95% at every look at once", fontsize=8, loc="left")


def _draw_weights(axes: Axes, found: PolicyEvaluation) -> None:
    weight = np.sort(found.weight)[::-1]
    total = float(weight.sum())
    share = np.arange(1, len(weight) + 1) / len(weight)
    if total > 0:
        trusted = found.verdict.answer == "trust"
        axes.plot(share, np.cumsum(weight) / total, color=_OURS if trusted else _WARN, linewidth=2)
    axes.plot(share, share, color=_GREY, linestyle=":", linewidth=1)
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="share of the rounds, heaviest first", ylabel="share of the weight")
    tail = found.diagnostics.tail
    axes.set_title(
        f"effective questions {found.diagnostics.effective:.0f} of {found.diagnostics.n_questions}, largest weight "
        f"{tail.largest:.3g},\nspread from {tail.behind_spread:.0f} rounds",
        fontsize=8,
        loc="left",
    )
