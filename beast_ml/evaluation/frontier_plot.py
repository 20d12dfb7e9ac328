"""The picture of an evaluation: cost against quality, every router where it stands."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.pool import Pool
from beast_ml.evaluation.routing_metrics import Points, Scoreboard
from beast_ml.evaluation.scores import RouterScore
from beast_ml.evaluation.verdict import Verdict
from beast_ml.policy.frontier import Frontier

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_frontier"]

Floats = NDArray[np.float64]

_OURS: Final = "#0b6e4f"
_GREY: Final = "#8a8f98"
_LINES: Final[dict[str, tuple[str, str, float]]] = {
    "knn": ("#d1495b", "-", 1.4),
    "best_per_task": ("#edae49", "-", 1.4),
    "oracle": ("#30638e", ":", 1.4),
}
"""Router -> colour, line style, width."""

_LOG_FROM: Final = 30.0  # ratio of the dearest to the cheapest model from which a linear axis hides the cheap ones
_LABEL_ALL: Final = 12
_BAND_POINTS: Final = 120
_UNITS: Final = {"cost_usd": "USD per query", "latency_s": "seconds per query"}


def draw_frontier(
    path: Path, scores: Mapping[str, RouterScore], board: Scoreboard, pool: Pool, verdict: Verdict
) -> None:
    """Draw the cost-quality frontier of every router; without costs, the qualities alone.

    Shown are the single models and their hull (the zero router), the curve of ``beast`` with its 95% band and its
    operating point with its intervals, the baselines, and the oracle.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if pool.cost == "none" or board.ranges[0].high <= board.ranges[0].low:
        _draw_qualities(axes, scores)
    else:
        _draw_curves(axes, scores, board, pool)
        axes.set_xlabel(f"mean cost, {_UNITS[pool.cost]}")
        axes.set_ylabel("mean quality")
        axes.legend(loc="lower right", framealpha=0.85, edgecolor="none", fontsize=9)
    axes.set_title("\n".join(textwrap.wrap(verdict.sentence, 100)), loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path)


def _draw_curves(axes: Axes, scores: Mapping[str, RouterScore], board: Scoreboard, pool: Pool) -> None:
    costs = board.ranges[0]
    if costs.low > 0 and costs.high / costs.low > _LOG_FROM:
        axes.set_xscale("log")
        grid = np.geomspace(costs.low, costs.high, _BAND_POINTS)
    else:
        grid = np.linspace(costs.low, costs.high, _BAND_POINTS)
    singles = board.singles
    hull = board.frontier(singles)
    axes.plot(grid, hull.quality_at(grid), "--", color=_GREY, linewidth=1.3, label="zero router (mixed single models)")
    axes.scatter(singles.cost[0], singles.quality[0], s=22, color=_GREY, zorder=3)
    _label_models(axes, singles, hull, pool.models)
    for name, (colour, style, width) in _LINES.items():
        if name in scores:
            curve = board.frontier(scores[name].points)
            axes.plot(grid, curve.quality_at(grid), style, color=colour, linewidth=width, label=name)
    ours = scores["beast"]
    curves = np.stack([curve.quality_at(grid) for curve in board.frontiers(ours.points)])
    low, high = np.nanpercentile(curves[1:], (2.5, 97.5), axis=0) if len(curves) > 1 else (curves[0], curves[0])
    axes.fill_between(grid, low, high, color=_OURS, alpha=0.15, linewidth=0)
    axes.plot(grid, curves[0], color=_OURS, linewidth=2.4, label="beast (95% band)")
    cost, quality = ours.operating["cost"], ours.operating["quality"]
    assert cost.value is not None  # noqa: S101  means of observed values are always defined
    assert quality.value is not None  # noqa: S101  likewise
    axes.errorbar(
        cost.value,
        quality.value,
        xerr=_arms(cost.value, cost.low, cost.high),
        yerr=_arms(quality.value, quality.low, quality.high),
        fmt="*",
        markersize=15,
        color=_OURS,
        markeredgecolor="white",
        elinewidth=1.0,
        zorder=5,
        label="beast, operating point",
    )


def _label_models(axes: Axes, singles: Points, hull: Frontier, models: tuple[str, ...]) -> None:
    """Name the single models: all of a small pool, else those on the hull and the cheapest, dearest and best."""
    cost, quality = singles.cost[0], singles.quality[0]
    named = set(range(len(models)))
    if len(models) > _LABEL_ALL:
        on_hull = np.flatnonzero(np.isin(cost, hull.cost) & np.isin(quality, hull.quality))
        named = {*on_hull.tolist(), int(cost.argmin()), int(cost.argmax()), int(quality.argmax())}
    to_screen = axes.transData.transform
    left_end, right_end = to_screen([(cost.min(), 0.0), (cost.max(), 0.0)])[:, 0]
    right_edge = left_end + 0.85 * (right_end - left_end)
    taken: list[tuple[float, float]] = []
    for i in sorted(named, key=lambda i: (-quality[i], cost[i])):
        x, y = to_screen((cost[i], quality[i]))
        drop = 0.0
        while any(abs(x - left) < 120 and abs(y - drop - top) < 14 for left, top in taken):
            drop += 14.0
        taken.append((float(x), float(y) - drop))
        at_right_edge = x > right_edge
        axes.annotate(
            models[i],
            (cost[i], quality[i]),
            xytext=(-6 if at_right_edge else 6, -14 - drop * 72 / axes.figure.dpi),
            textcoords="offset points",
            horizontalalignment="right" if at_right_edge else "left",
            fontsize=7.5,
            color="#50555d",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            zorder=4,
        )


def _draw_qualities(axes: Axes, scores: Mapping[str, RouterScore]) -> None:
    """Draw the quality of every router and model with its interval, best on top."""
    named = {name: s.operating["quality"] for name, s in scores.items() if "quality" in s.operating}
    order = sorted(named, key=lambda name: named[name].value or 0.0)
    for row, name in enumerate(order):
        estimate = named[name]
        assert estimate.value is not None  # noqa: S101  means of observed values are always defined
        colour = _OURS if name == "beast" else _LINES.get(name, (_GREY, "", 0.0))[0]
        axes.errorbar(
            estimate.value, row, xerr=_arms(estimate.value, estimate.low, estimate.high), fmt="o", color=colour
        )
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_xlabel("mean quality at the operating point")


def _arms(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    if low is None or high is None:
        return None
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]
