"""The pictures of a load run: capacity beside the echo's, latency at half of it, memory of a soak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beast_ml.benchmarks.serving.serving_bench import ServingResult
from beast_ml.benchmarks.serving.verdicts import half_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_all", "new_figure", "tidy"]

_OURS: Final = "#0b6e4f"
_GREY: Final = "#8a8f98"
_QUANTILES: Final = (("p50_us", "o", "median"), ("p95_us", "s", "p95"), ("p99_us", "D", "p99"))


def draw_all(result: ServingResult, folder: Path) -> tuple[Path, ...]:
    """Draw what there is to draw into a folder, and return the files."""
    files = []
    if result.cases:
        files.append(folder / "capacity.png")
        _draw_capacity(files[-1], result)
    if result.soak is not None and result.soak.at_s:
        files.append(folder / "soak.png")
        _draw_soak(files[-1], result)
    return tuple(files)


def _draw_capacity(path: Path, result: ServingResult) -> None:
    cases = list(reversed(result.cases))
    figure = new_figure(10.0, 1.2 + 0.34 * len(cases))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    names = [f"{case.name}, {case.workers} worker{'s' * (case.workers > 1)}" for case in cases]
    for row, case in enumerate(cases):
        colour = _GREY if case.name.startswith(("echo", "LiteLLM")) else _OURS
        per_s = case.per_s
        left.barh(row, per_s.median, color=colour, height=0.62)
        left.plot([per_s.low, per_s.high], [row, row], color="black", linewidth=1.2)
        left.text(per_s.high, row, f"  {per_s.median:,.0f}", va="center", fontsize=8)
        for name, marker, label in _QUANTILES:
            found = half_ms(case, name)
            if found is not None:
                right.plot(found.median, row, marker, color=colour, markersize=5, label=label)
    left.set_yticks(range(len(cases)), names, fontsize=8)
    left.margins(x=0.15)
    left.set_xlabel("decisions a second, lowest to highest repetition", fontsize=8)
    right.set_xscale("log")
    right.set_xlabel("latency at half of that, ms", fontsize=8)
    handles, labels = right.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower right", ncols=len(known), fontsize=8, frameon=False)
    for axes in (left, right):
        tidy(axes)
    figure.savefig(path)


def _draw_soak(path: Path, result: ServingResult) -> None:
    one = result.soak
    assert one is not None  # noqa: S101  asked before
    figure = new_figure(8.0, 3.2)
    axes = figure.add_subplot()
    minutes = [at / 60 for at in one.at_s]
    axes.plot(minutes, one.worker_mb, color=_OURS, label="workers")
    axes.plot(minutes, one.other_mb, color=_GREY, label="other processes")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"minutes at {one.rate:g} requests a second", fontsize=8)
    axes.set_ylabel("resident memory, MB", fontsize=8)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    tidy(axes)
    figure.savefig(path)


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches, which no window shows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def tidy(axes: Axes) -> None:
    """Take away what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
