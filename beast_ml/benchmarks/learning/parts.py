"""The parts of the learning benchmark, by name, and one run of them.

To add a part, write a module with a function from a `PartContext` to a `PartResult`, and name it here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.drift_part import measure_drift
from beast_ml.benchmarks.learning.feedback_part import measure_feedback
from beast_ml.benchmarks.learning.loop_part import measure_loop
from beast_ml.benchmarks.learning.ope_part import measure_ope
from beast_ml.benchmarks.learning.savings_part import measure_savings
from beast_ml.benchmarks.learning.sequential_part import measure_sequential
from beast_ml.benchmarks.learning.tuning_part import measure_tuning
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.evaluation.report import package_versions

__all__ = ["LEARNING_PARTS", "describe", "run_parts", "tables", "to_markdown"]

LEARNING_PARTS: Final[Mapping[str, Callable[[PartContext], PartResult]]] = {
    "ope": measure_ope,
    "feedback": measure_feedback,
    "sequential": measure_sequential,
    "drift": measure_drift,
    "loop": measure_loop,
    "savings": measure_savings,
    "tuning": measure_tuning,
}
"""Every part, in the order of reports."""

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def run_parts(names: Sequence[str], context: PartContext) -> tuple[PartResult, ...]:
    """Return what the parts found; what an interrupted run measured is found again in the context's folder."""
    results = []
    for name in names:
        started = time.perf_counter()
        found = LEARNING_PARTS[name](context)
        results.append(msgspec.structs.replace(found, seconds=time.perf_counter() - started))
    return tuple(results)


def describe(results: Sequence[PartResult], command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    return {
        "command": command,
        "figures": [msgspec.to_builtins(figure) for one in results for figure in one.figures],
        "notes": {one.part: list(one.notes) for one in results},
        "seconds": {one.part: one.seconds for one in results},
        "versions": package_versions(),
    }


def tables(result: PartResult) -> list[Table]:
    """Return a table for each figure of a part: (title, columns, rows), a row for each setting."""
    found = []
    for name in dict.fromkeys(figure.name for figure in result.figures):
        of_name = [figure for figure in result.figures if figure.name == name]
        routers = tuple(dict.fromkeys(figure.router for figure in of_name))
        settings = dict.fromkeys(figure.dataset for figure in of_name)
        cells = {(figure.dataset, figure.router): _cell(figure) for figure in of_name}
        rows = [(where, *(cells.get((where, router), "") for router in routers)) for where in settings]
        found.append((f"{result.part}: {name.replace('_', ' ')}", ("", *routers), rows))
    return found


def to_markdown(results: Sequence[PartResult], command: str) -> str:
    """Return the report for people."""
    lines = ["# Learning from logs", "", f"`{command}`", ""]
    for one in results:
        lines += [f"{note[0].upper()}{note[1:]}." for note in one.notes]
        for title, columns, rows in tables(one):
            lines += ["", f"## {title}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
        lines.append("")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    value = f"{figure.value:.3g}" if abs(figure.value) < 1000 else f"{figure.value:.0f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} [{figure.low:.3g}, {figure.high:.3g}]"
