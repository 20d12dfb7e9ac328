"""Pictures of an experiment that an analyst can paste: effects over time, p-values, and all variants at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from beast_ml.experiments.analysis import ExperimentAnalysis
from beast_ml.experiments.checks import two_sided

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_effects", "draw_experiment", "draw_forest", "draw_p_values"]

_COLOURS: Final = ("#0b6e4f", "#d1495b", "#30638e", "#edae49", "#7d5ba6", "#8a8f98")
_GREY: Final = "#8a8f98"
_MOST_LINES: Final = 6
_POINTS: Final = 600


def draw_experiment(folder: Path, analysis: ExperimentAnalysis) -> list[Path]:
    """Write effects.png, p_values.png and forest.png, and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"effects.png": draw_effects, "p_values.png": draw_p_values, "forest.png": draw_forest}
    for name, draw in drawn.items():
        draw(folder / name, analysis)
    return [folder / name for name in drawn]


def draw_effects(path: Path, analysis: ExperimentAnalysis) -> None:
    """Draw each variant's effect with its confidence sequence over time; of many variants the most telling ones."""
    from matplotlib.dates import date2num

    figure, axes = _canvas(8.5, 4.8)
    axes.axhline(0.0, color="#444444", lw=0.9)
    shade = 0.15 if len(analysis.comparisons) < 3 else 0.05
    for colour, each in zip(_COLOURS, _most_telling(analysis), strict=False):
        looks = _shown(each.path.start, len(analysis.looked_at))
        if not len(looks):
            continue
        low, high = (bounds[looks] for bounds in each.path.interval(analysis.interval_alpha))
        times = analysis.looked_at[looks]
        axes.fill_between(times, low, high, color=colour, alpha=shade, lw=0)
        for bound in (low, high):
            axes.plot(times, bound, color=colour, lw=0.6, alpha=0.6)
        axes.plot(times, each.path.effect[looks], color=colour, lw=1.8, label=each.name)
        if each.found_at is not None:
            axes.axvline(date2num(each.found_at), color=colour, lw=0.9, ls="--")
    _limit_to_late_bounds(axes, analysis)
    axes.set_ylabel(f"{analysis.metric}: variant minus control")
    level = 1.0 - analysis.interval_alpha
    _finish(figure, axes, path, f"Effects with {100 * level:.3g}% confidence sequences; dashed: found different")


def draw_p_values(path: Path, analysis: ExperimentAnalysis) -> None:
    """Draw the always-valid p-value of each comparison over time, beside what an ordinary test would have shown."""
    figure, axes = _canvas(8.5, 4.2)
    axes.axhline(analysis.config.alpha, color="#444444", lw=0.9, ls="--")
    for colour, each in zip(_COLOURS, _most_telling(analysis), strict=False):
        looks = _shown(each.path.start, len(analysis.looked_at))
        if not len(looks):
            continue
        times, so_far = analysis.looked_at[looks], np.minimum.accumulate(each.path.p_value)[looks]
        studentised = each.path.effect[looks] / np.sqrt(each.path.variance[looks])
        ordinary = np.array([two_sided(z) for z in studentised.tolist()])
        axes.plot(times, np.maximum(so_far, 1e-12), color=colour, lw=1.8, label=each.name)
        axes.plot(times, np.maximum(ordinary, 1e-12), color=colour, lw=0.7, alpha=0.5)
    axes.set_yscale("log")
    axes.set_ylabel("p-value")
    _finish(figure, axes, path, "Always-valid p-values, unadjusted; thin: an ordinary test, wrong if looked at often")


def draw_forest(path: Path, analysis: ExperimentAnalysis) -> None:
    """Draw all variants' effects with their intervals, the best on top."""
    known = [(each.effect, each) for each in analysis.comparisons if each.effect is not None]
    known.sort(key=lambda pair: pair[0])
    figure, axes = _canvas(7.5, 1.6 + 0.32 * max(len(known), 1))
    axes.axvline(0.0, color="#444444", lw=0.9)
    for row, (effect, each) in enumerate(known):
        colour = _GREY if each.found_at is None else (_COLOURS[0] if effect > 0 else _COLOURS[1])
        if each.low is not None and each.high is not None:
            axes.plot([each.low, each.high], [row, row], color=colour, lw=2.0)
        axes.plot(effect, row, "o", color=colour, ms=6)
    axes.set_yticks(range(len(known)), [each.name for _, each in known])
    axes.set_ylim(-0.6, max(len(known), 1) - 0.4)
    axes.set_xlabel(f"{analysis.metric}: variant minus control")
    _finish(figure, axes, path, "Effects; grey: not found different", legend=False)


def _most_telling(analysis: ExperimentAnalysis) -> list[Any]:
    ordered = sorted(analysis.comparisons, key=lambda each: each.p_value_alone)
    return ordered[:_MOST_LINES]


def _shown(start: int | None, n_looks: int) -> Any:
    if start is None:
        return np.array([], dtype=np.intp)
    return np.unique(np.linspace(start, n_looks - 1, _POINTS).round().astype(np.intp))


def _limit_to_late_bounds(axes: Axes, analysis: ExperimentAnalysis) -> None:
    """Show what the intervals are from a tenth of the looks on: the first ones are wide, and would dwarf it."""
    from_look = len(analysis.looked_at) // 10
    extremes = [0.0]
    for each in _most_telling(analysis):
        low, high = each.path.interval(analysis.interval_alpha)
        late = np.concatenate([low[from_look:], high[from_look:]])
        late = late[np.isfinite(late)]
        if late.size:
            extremes += [float(late.min()), float(late.max())]
    if max(extremes) > min(extremes):
        room = 0.05 * (max(extremes) - min(extremes))
        axes.set_ylim(min(extremes) - room, max(extremes) + room)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(figure: Figure, axes: Axes, path: Path, title: str, *, legend: bool = True) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    if legend and handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axes.tick_params(labelsize=8)
    figure.savefig(path)
