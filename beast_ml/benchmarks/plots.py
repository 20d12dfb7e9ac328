"""The pictures of a run: frontiers set by set, shares beside baselines and floors, savings beside their ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.floors import FLOORS
from beast_ml.benchmarks.fold_results import QUALITY_TARGETS
from beast_ml.benchmarks.pooling_plot import draw_pooling
from beast_ml.benchmarks.routing_bench import BenchResult, SetResult
from beast_ml.evaluation.routers import UNDISTILLED
from beast_ml.policy.frontier import Frontier

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_all"]

_OURS: Final = "#0b6e4f"
_GREY: Final = "#8a8f98"
_LINES: Final[dict[str, tuple[str, str, float, str]]] = {
    "zero_router": (_GREY, "--", 1.2, "zero router (mixed single models)"),
    "best_per_task": ("#edae49", "-", 1.3, "best per guessed task"),
    "knn": ("#d1495b", "-", 1.3, "tuned kNN"),
    "oracle": ("#30638e", ":", 1.3, "oracle"),
    "beast": (_OURS, "-", 2.2, "beast"),
}
_DOTS: Final[dict[str, tuple[str, str]]] = {
    "beast": (_OURS, "beast"),
    UNDISTILLED: ("#6fb08f", "beast before distillation"),
    "knn": ("#d1495b", "tuned kNN"),
    "best_per_task": ("#edae49", "best per guessed task"),
    "best_per_true_task": ("#b08968", "best per true task (sees more than a router may)"),
}
_PEER_COLOURS: Final = ("#7b5ea7", "#3a86c8", "#c2569b", "#5a9367", "#a0522d", "#2f4858", "#e07a5f", "#6d597a")
_LOG_FROM: Final = 30.0  # ratio of the dearest to the cheapest model from which a linear axis hides the cheap ones
_GRID: Final = 150
_WORST_SHARE: Final = -0.5
_COST_NAMES: Final = {"cost_usd": "USD per query", "latency_s": "seconds per query", "none": "cost"}


def draw_all(result: BenchResult, folder: Path, encoder: str) -> tuple[Path, ...]:
    """Draw what there is to draw into a folder, and return the files."""
    files = []
    with_cost = [one for one in result.sets if one.cost != "none"]
    if with_cost:
        files.append(folder / "frontiers.png")
        _draw_frontiers(files[-1], with_cost)
    shares = [figure for figure in result.figures if figure.name == "share_of_gap"]
    if shares:
        files.append(folder / "shares.png")
        _draw_shares(files[-1], shares, encoder)
    savings = [figure for figure in result.figures if figure.part == "savings"]
    if savings:
        files.append(folder / "savings.png")
        _draw_savings(files[-1], savings)
    pooling = [figure for figure in result.figures if figure.part == "pooling"]
    if pooling:
        files.append(folder / "pooling.png")
        draw_pooling(files[-1], pooling)
    return tuple(files)


def _draw_frontiers(path: Path, sets: Sequence[SetResult]) -> None:
    columns = min(3, len(sets))
    rows = -(-len(sets) // columns)
    figure = _figure(max(4.6 * columns, 8.5), 3.5 * rows + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, one in zip(grid, sets, strict=False):
        _draw_frontier(axes, one)
    for axes in grid[len(sets) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path)


def _draw_frontier(axes: Axes, one: SetResult) -> None:
    picture = one.picture
    low, high = min(picture.singles.cost), max(picture.singles.cost)
    if low > 0 and high / low > _LOG_FROM:
        axes.set_xscale("log")
        grid = np.geomspace(low, high, _GRID)
    else:
        grid = np.linspace(low, high, _GRID)
    for name, (colour, style, width, label) in _LINES.items():
        if name in picture.curves:
            curve = picture.curves[name]
            # On a logarithmic axis a mixture of two points is no straight line: draw what lies between vertices.
            heights = Frontier(np.array(curve.cost), np.array(curve.quality)).quality_at(grid)
            axes.plot(grid, heights, style, color=colour, linewidth=width, label=label)
    axes.scatter(picture.singles.cost, picture.singles.quality, s=14, color=_GREY, zorder=3, label="single models")
    for target, (cost, quality) in picture.operating.items():
        axes.scatter(
            [cost], [quality], marker="*", s=130, color=_OURS, edgecolor="white", zorder=5,
            label="beast, operating point" if target == "100" else "_held to less",
        )  # fmt: skip
    top = picture.curves["oracle"].quality[-1]
    bottom = min(curve.quality[0] for curve in picture.curves.values())
    axes.set_ylim(bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom))
    axes.set_title(one.name, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(_COST_NAMES[one.cost], fontsize=8)
    axes.set_ylabel("mean quality", fontsize=8)
    _tidy(axes)


def _draw_shares(path: Path, figures: Sequence[Figure], encoder: str) -> None:
    """Draw the share of the gap with its interval, a band of rows a set; floors as bars."""
    sets = list(dict.fromkeys(figure.dataset for figure in figures))
    peers = [name for name in dict.fromkeys(figure.router for figure in figures) if _is_peer(name)]
    styles = {**_DOTS, **{name: (_PEER_COLOURS[i % 8], name) for i, name in enumerate(peers)}}
    picture = _figure(9.0, 1.4 + len(sets) * (0.35 + 0.13 * len(styles)))
    axes = picture.add_subplot()
    found = {(figure.dataset, figure.router): figure for figure in figures}
    floors = {floor.dataset: floor.value for floor in FLOORS if _is_share_floor(floor, encoder)}
    step = 0.8 / len(styles)
    for row, name in enumerate(reversed(sets)):
        for i, (router, (colour, label)) in enumerate(styles.items()):
            figure = found.get((name, router))
            if figure is not None and figure.value is not None:
                height = row + 0.4 - (i + 0.5) * step
                if figure.value < _WORST_SHARE:  # far off: an arrow and its value, not an axis that is mostly empty
                    axes.plot(_WORST_SHARE, height, marker="<", color=colour, label=label, linestyle="", clip_on=False)
                    axes.text(_WORST_SHARE + 0.01, height, f"{figure.value:.2f}", color=colour, fontsize=7, va="center")
                else:
                    _dot(axes, figure, height, colour, label, big=router == "beast")
        if name in floors:
            axes.plot([floors[name]] * 2, [row - 0.4, row + 0.4], color="black", linewidth=1.6, label="floor for beast")
        if row:
            axes.axhline(row - 0.5, color=_GREY, linewidth=0.5, alpha=0.5)
    axes.axvline(0.0, color=_GREY, linewidth=1.0, linestyle="--")
    axes.set_ylim(-0.5, len(sets) - 0.5)
    axes.set_yticks(range(len(sets)), list(reversed(sets)), fontsize=9)
    axes.set_xlabel("share of the gap from the zero router (0) to the oracle (1), with 95% intervals")
    _keep_in_view(axes, figures)
    _legend_below(picture, axes, [label for _, label in styles.values()])
    _tidy(axes)
    picture.savefig(path)


def _draw_savings(path: Path, figures: Sequence[Figure]) -> None:
    """Draw what the operating point saves against the best single model and against the dearest, beside the oracle."""
    there = {figure.name for figure in figures if figure.router == "beast"}
    wanted = [
        f"{kind}_{target}" for target in QUALITY_TARGETS for kind in ("saving", "saving_vs_dearest", "quality_gain")
    ]
    names = [name for name in wanted if name in there]
    sets = list(dict.fromkeys(figure.dataset for figure in figures))
    picture = _figure(2.2 + 3.0 * min(len(names), 3), 1.2 + (0.3 + 0.42 * len(sets)) * -(-len(names) // 3))
    grid = picture.subplots(-(-len(names) // 3), min(len(names), 3), sharey=True, squeeze=False).ravel()
    found = {(figure.dataset, figure.router, figure.name): figure for figure in figures}
    floors = {(floor.dataset, floor.name): floor.value for floor in FLOORS if floor.part == "savings"}
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid, names, strict=False):
        for row, one in enumerate(reversed(sets)):
            for router, colour, label, lift in (
                ("oracle", "#30638e", "oracle, the ceiling", -0.2),
                ("knn", "#d1495b", "tuned kNN", 0.0),
                ("beast", _OURS, "beast", 0.2),
            ):
                figure = found.get((one, router, name))
                if figure is not None and figure.value is not None:
                    _dot(axes, figure, row + lift, colour, label, big=router == "beast")
            if (one, name) in floors and name.startswith("saving"):
                axes.plot([floors[one, name]] * 2, [row - 0.35, row + 0.35], color="black", label="floor for beast")
        axes.axvline(0.0, color=_GREY, linewidth=1.0, linestyle="--")
        if name.startswith("saving"):
            axes.set_xlim(right=1.02)
        axes.set_yticks(range(len(sets)), list(reversed(sets)), fontsize=9)
        axes.set_title(_in_words(name), fontsize=9)
        axes.xaxis.set_major_formatter("{x:.0%}" if name.startswith("saving") else "{x:+.3f}")
        axes.locator_params(axis="x", nbins=5)
        _tidy(axes)
    _legend_below(picture, grid[0], ["beast", "tuned kNN"])
    picture.savefig(path)


def _in_words(name: str) -> str:
    kind, _, target = name.rpartition("_")
    against = {
        "saving": "cost saved against the best single model",
        "saving_vs_dearest": "cost saved against the dearest model",
        "quality_gain": "quality gained on the best single model",
    }[kind]
    return f"{against},\nheld to {target}% of the best single model's quality"


def _is_peer(name: str) -> bool:
    return name not in _DOTS and name not in ("zero_router", "oracle", "random")


def _is_share_floor(floor: Any, encoder: str) -> bool:
    return floor.name == "share_of_gap" and floor.rule == "at least" and floor.encoder in (None, encoder)


def _dot(axes: Axes, figure: Figure, height: float, colour: str, label: str, *, big: bool) -> None:
    assert figure.value is not None  # noqa: S101  the caller has looked
    low = figure.value if figure.low is None else min(figure.low, figure.value)
    high = figure.value if figure.high is None else max(figure.high, figure.value)
    axes.errorbar(
        figure.value, height, xerr=[[figure.value - low], [high - figure.value]], fmt="o", color=colour, label=label,
        markersize=6.5 if big else 4, elinewidth=1.8 if big else 1.0,
    )  # fmt: skip


def _keep_in_view(axes: Axes, figures: Sequence[Figure]) -> None:
    """Cut the axis where only intervals of the worst routers would go on."""
    values = [figure.value for figure in figures if figure.value is not None and figure.router != "random"]
    shown = [value for value in values if value < 1.0]
    axes.set_xlim(max(min([*shown, 0.0]) - 0.06, _WORST_SHARE), min(max([*shown, 0.1]) + 0.12, 1.0))


def _legend_below(picture: Any, axes: Axes, first: Sequence[str]) -> None:
    """Draw each label once, those that are named first in their order."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    order = [*(label for label in first if label in unique), *(label for label in unique if label not in first)]
    picture.legend(
        [unique[label] for label in order], order, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5
    )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=8)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(canvas)
    return canvas
