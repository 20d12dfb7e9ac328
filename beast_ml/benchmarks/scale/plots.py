"""The picture of a capacity run: where a request's CPU time goes, and what hits change."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from beast_ml.benchmarks.scale.scale_bench import ScaleResult
from beast_ml.benchmarks.serving.plots import new_figure, tidy

__all__ = ["draw_all"]

_SHARES: Final = (
    ("worker_us", "#0b6e4f", "worker"),
    ("supervisor_us", "#8a8f98", "supervisor"),
    ("chores_us", "#c3c7cd", "other processes of the host"),
    ("embedding_us", "#5b8def", "embedding"),
    ("valkey_us", "#c8553d", "Valkey"),
    ("postgres_us", "#e0a458", "PostgreSQL"),
)


def draw_all(result: ScaleResult, folder: Path) -> tuple[Path, ...]:
    """Draw what there is to draw into a folder, and return the files."""
    files = []
    if result.cost is not None:
        files.append(folder / "cost.png")
        _draw_cost(files[-1], result)
    if result.sensitivity:
        files.append(folder / "hits.png")
        _draw_hits(files[-1], result)
    return tuple(files)


def _draw_cost(path: Path, result: ScaleResult) -> None:
    cost = result.cost
    assert cost is not None  # noqa: S101  asked before
    rows = [(f"{deployment.name}: {each.path}", each) for deployment in cost.deployments for each in deployment.paths]
    figure = new_figure(9.0, 1.2 + 0.28 * len(rows))
    axes = figure.add_subplot()
    for place, (_, each) in enumerate(reversed(rows)):
        left = 0.0
        for column, colour, label in _SHARES:
            value = each.of(column)
            axes.barh(place, value, left=left, color=colour, height=0.62, label=label if not place else None)
            left += value
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)], fontsize=8)
    axes.axvline(cost.echo_us.median, color="black", linewidth=1, linestyle=":", label="a bare echo")
    axes.set_xlabel("CPU us a request", fontsize=8)
    # Beside the bars; a place that matplotlib seeks takes long on a busy machine, and it warns of it.
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    tidy(axes)
    figure.savefig(path)


def _draw_hits(path: Path, result: ScaleResult) -> None:
    figure = new_figure(6.0, 3.2)
    axes = figure.add_subplot()
    for mix in dict.fromkeys(each.mix for each in result.sensitivity):
        found = [each for each in result.sensitivity if each.mix == mix]
        axes.plot([100 * each.hit_share for each in found], [each.plan.usd_per_million for each in found], label=mix)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("hits, % of requests", fontsize=8)
    axes.set_ylabel("USD a million requests", fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    tidy(axes)
    figure.savefig(path)
