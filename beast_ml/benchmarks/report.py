"""The report of a run: ``report.json`` for programs, ``report.md`` for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.floors import Verdict, judge_all, summary
from beast_ml.benchmarks.routing_bench import BenchConfig, BenchResult
from beast_ml.evaluation.report import package_versions
from beast_ml.evaluation.routers import UNDISTILLED

__all__ = ["describe", "interval", "to_markdown"]

_PART_TITLES: Final = {
    "shares": "Share of the zero-router-to-oracle gap",
    "savings": "Savings at operating points chosen on training folds",
    "strong_calls": "Two-model pools by share of strong calls (RouteLLM's metrics)",
    "calibration": "Calibration of predicted quality",
    "cost": "Cost before the request",
    "logs": "Learning from logs: loss against the logging policy, and what a uniform log keeps",
    "speed": "Speed: microseconds of one core's CPU time a decision",
    "kinds": "Request kinds: in domain, and on sets whose like was never seen",
    "new_models": "New candidate models: how soon one that joins is as useful as one trained with the pool",
    "pooling": "Pooling: what other sets add to n queries of a set's own",
    "scale": "Training on simulated logs of growing size",
}
_HOW_TO_READ: Final = (
    "Every figure: mean over seeds ± standard error over seeds, [95% interval by resampling queries]. All queries of a "
    "set are decided out of fold and scored together, once a seed. Operating points are chosen on training folds."
)
_REFERENCES: Final = (UNDISTILLED, "zero_router", "oracle", "random", "best_per_true_task")
_PERCENT: Final = ("saving", "cpt")


def describe(config: BenchConfig, result: BenchResult, command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    verdicts = judge_all(result.figures, config.encoder)
    return {
        "command": command,
        "settings": {
            "sets": [one.name for one in config.sets],
            "parts": list(config.parts),
            "folds": config.n_folds,
            "seeds": config.n_seeds,
            "encoder": config.encoder,
            "resamples": config.n_resamples,
        },
        "floors": [
            {
                "part": verdict.floor.part,
                "set": verdict.floor.dataset,
                "figure": verdict.floor.name,
                "floor": verdict.floor.sentence,
                "measured": None if verdict.figure is None else verdict.figure.value,
                "met": verdict.met,
            }
            for verdict in verdicts
        ],
        "sets": {
            one.name: {
                "about": one.about,
                "cost": one.cost,
                "models": one.models,
                "queries": one.queries,
                "scored": one.scored,
                "seconds_a_fold": one.seconds,
            }
            for one in result.sets
        },
        "left_out": result.left_out,
        "figures": msgspec.to_builtins(result.figures),
        "notes": [note for part in _parts(result) for note in part.notes],
        "seconds": result.seconds,
        "seconds_by_part": {
            part: sum(one.seconds for one in _parts(result) if one.part == part) for part in config.parts
        },
        "versions": package_versions(),
    }


def to_markdown(config: BenchConfig, result: BenchResult, command: str) -> str:
    """Return the report for people: floors first, then a table a part."""
    about = describe(config, result, command)
    lines = [
        "# Routing benchmark",
        "",
        f"    {command}",
        "",
        f"{config.n_folds} folds over questions, {config.n_seeds} seeds, encoder {config.encoder}; "
        f"{result.seconds:.0f} s. "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + ".",
        "",
        _HOW_TO_READ,
        "",
    ]
    for name, why in result.left_out.items():
        lines += [f"Left out: {name} ({why}).", ""]
    lines += ["## Sets", "", *_table(("set", "rows and models", "cost", "models", "queries", "scored"), (
        (one.name, one.about, one.cost, len(one.models), one.queries, one.scored) for one in result.sets
    )), ""]  # fmt: skip
    verdicts = judge_all(result.figures, config.encoder)
    lines += ["## Floors", "", f"{summary(verdicts).capitalize()}.", "", *_floor_table(verdicts), ""]
    for part in config.parts:
        figures = [figure for figure in result.figures if figure.part == part]
        notes = [note for one in _parts(result) if one.part == part for note in one.notes]
        if not figures and not notes:
            continue
        lines += [f"## {_PART_TITLES.get(part, part)}", ""]
        for name in dict.fromkeys(figure.name for figure in figures):
            lines += [f"### {name}", "", *_figure_table([figure for figure in figures if figure.name == name]), ""]
        lines += [*(f"- {note}" for note in notes), ""] if notes else []
    return "\n".join(lines)


def interval(figure: Figure | None) -> str:
    """Return a figure for a table.

    Examples
    --------
    >>> interval(Figure("shares", "s", "r", "share_of_gap", 0.2412, 0.003, 0.21, 0.27))
    '.241 ± .003 [.210, .270]'
    >>> interval(Figure("savings", "s", "r", "saving_100", 0.2412))
    '24.1%'
    >>> interval(Figure("savings", "s", "r", "cost_100", 0.000412))
    '0.000412'
    """
    if figure is None or figure.value is None:
        return "-"
    percent = figure.name.startswith(_PERCENT)
    text = _number(figure.value, percent=percent)
    if figure.standard_error is not None:
        text += f" ± {_number(figure.standard_error, percent=percent)}"
    if figure.low is not None and figure.high is not None:
        text += f" [{_number(figure.low, percent=percent)}, {_number(figure.high, percent=percent)}]"
    return text


def _number(value: float, *, percent: bool) -> str:
    if percent:
        return f"{100 * value:z.1f}%"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0.0 < abs(value) < 0.001:  # such as the dollars of a request
        return f"{value:.3g}"
    return f"{value:z.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4g}"


def _floor_table(verdicts: Sequence[Verdict]) -> list[str]:
    words = {True: "met", False: "**not met**", None: "not measured"}
    return _table(
        ("part", "set", "figure", "floor", "measured", "verdict"),
        (
            (
                one.floor.part,
                one.floor.dataset,
                one.floor.name,
                one.floor.sentence,
                interval(one.figure),
                words[one.met],
            )
            for one in verdicts
        ),
    )


def _figure_table(figures: Sequence[Figure]) -> list[str]:
    """Return a table of one figure by router, references last, and set; whatever there are more of goes down."""
    routers = sorted(dict.fromkeys(figure.router for figure in figures), key=lambda name: name in _REFERENCES)
    sets = list(dict.fromkeys(figure.dataset for figure in figures))
    found = {(figure.router, figure.dataset): interval(figure) for figure in figures}
    if len(routers) > len(sets):
        return _table(("router", *sets), ((name, *(found.get((name, one), "-") for one in sets)) for name in routers))
    return _table(("set", *routers), ((one, *(found.get((name, one), "-") for name in routers)) for one in sets))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), line("---" for _ in columns), *(line(row) for row in rows)]


def _parts(result: BenchResult) -> list[Any]:
    return [*(part for one in result.sets for part in one.parts), *result.own]
