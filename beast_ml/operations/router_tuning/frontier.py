"""Trials that nothing beats in quality, cost and latency at once, and the picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from beast_ml.operations.router_tuning.search import Trial

__all__ = ["changes", "draw_trials", "trial_frontier"]

_OURS: Final = "#0b6e4f"
_GREY: Final = "#8a8f98"
_RED: Final = "#d1495b"
_UNITS: Final = {"cost_usd": "mean cost, USD per query", "latency_s": "mean latency, s per query"}


def trial_frontier(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the finished trials that no other is as good as in everything and better in something, cheapest first.

    Of those that do exactly as well, the first stands for all.
    """
    first = {_losses(trial): trial for trial in reversed(trials) if not trial.pruned}
    found = [trial for trial in first.values() if not any(_dominates(other, trial) for other in first.values())]
    return tuple(sorted(found, key=lambda trial: trial.cost))


def changes(trial: Trial, defaults: Trial) -> dict[str, Any]:
    """Return the parameters of a trial that differ from the defaults."""
    return {name: value for name, value in trial.params.items() if defaults.params.get(name) != value}


def draw_trials(path: Path, trials: Sequence[Trial], cost: str) -> None:
    """Draw what every trial costs and gives at its operating point, on inner folds; the defaults come first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    finished, frontier = [trial for trial in trials if not trial.pruned], trial_frontier(trials)
    axes.scatter([t.cost for t in finished], [t.quality for t in finished], s=26, color=_GREY, label="trials")
    axes.step(
        [t.cost for t in frontier],
        [t.quality for t in frontier],
        "o-",
        where="post",
        color=_OURS,
        label="trials that nothing beats",
    )
    axes.plot(trials[0].cost, trials[0].quality, "*", markersize=15, color=_RED, label="defaults")
    axes.set_xlabel(_UNITS.get(cost, "no cost"))
    axes.set_ylabel("mean quality")
    axes.set_title("Trials at their operating points, on inner folds", loc="left", fontsize=10)
    axes.legend(loc="lower right", framealpha=0.85, edgecolor="none", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _dominates(one: Trial, other: Trial) -> bool:
    ours, theirs = _losses(one), _losses(other)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


def _losses(trial: Trial) -> tuple[float, ...]:
    return (-trial.quality, trial.cost, *(() if trial.latency_s is None else (trial.latency_s,)))
