"""The picture of an evaluation: hit rate against false-hit rate, every method a line, its threshold a mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beast_ml.cache.verifier.curves import trade_off
from beast_ml.cache.verifier.evaluate import Method

__all__ = ["Line", "draw_curves", "draw_lines"]

_OURS: Final = "#0b6e4f"
_OTHERS: Final = ("#8a8f98", "#d1495b", "#edae49", "#30638e", "#7d5ba6")


@dataclass(frozen=True)
class Line:
    """One method's curve.

    Parameters
    ----------
    rates, hits
        (k,) false-hit rates and hit rates.
    marks
        (false-hit rate, hit rate) of the thresholds in use.
    randomised
        Whether its points are joined straight, as draws between them give; else hits step up.
    """

    rates: ArrayLike
    hits: ArrayLike
    marks: Sequence[tuple[float, float]]
    randomised: bool = False


def draw_curves(
    path: Path, methods: Mapping[str, Method], right: NDArray[np.bool_], epsilon: float, title: str = ""
) -> None:
    """Draw the curves of decided pairs up to five times epsilon, and epsilon itself."""
    most = min(5 * epsilon, 1.0)
    lines = {}
    for name, method in methods.items():
        mark = (float((method.hit & ~right).mean()), float(method.hit.mean()))
        if method.randomised is None:
            rates, hits = trade_off(method.scores, right, most=most)
        else:
            hits, rates = method.randomised(right)
        lines[name] = Line(rates, hits, [mark], method.randomised is not None)
    draw_lines(path, lines, [epsilon], most, title or f"{len(right)} lookups; dots: the thresholds in use")


def draw_lines(path: Path, lines: Mapping[str, Line], epsilons: Sequence[float], most: float, title: str) -> None:
    """Draw lines up to a false-hit rate, the one called ``verifier`` in front, and each epsilon."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    others, top = iter(_OTHERS * 3), 0.0
    for name, line in lines.items():
        ours = name == "verifier"
        colour, width = (_OURS, 2.2) if ours else (next(others), 1.3)
        rates, hits = np.asarray(line.rates), np.asarray(line.hits)
        style = "default" if line.randomised else "steps-post"
        axes.plot(rates, hits, drawstyle=style, color=colour, lw=width, label=name)
        top = max(top, hits[rates <= most].max(initial=0.0))
        axes.plot(*zip(*line.marks, strict=True), "o", color=colour, ms=7 if ours else 5)
    for epsilon in epsilons:
        axes.axvline(epsilon, color="#444444", lw=0.9, ls="--")
    axes.annotate(
        "epsilon", (epsilons[-1], 0.0), xytext=(4, 4), textcoords="offset points", fontsize=8, color="#444444"
    )
    axes.set_xlim(0.0, most)
    axes.set_ylim(0.0, 1.08 * top or 1.0)  # a mark beyond the axis (a threshold far too loose) is not drawn
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("false-hit rate: wrong hits / lookups")
    axes.set_ylabel("hit rate: hits / lookups")
    axes.set_title(title, fontsize=10, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
