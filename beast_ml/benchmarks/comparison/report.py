"""The public comparison as one table: ours, the best of the others, everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.comparison.contest import Contest, Entry

__all__ = ["COLUMNS", "describe", "rows", "summary", "to_markdown"]

COLUMNS: Final = ("", "ours", "best of the others", "")
"""Of `rows`."""

_HOW_TO_READ: Final = (
    "In brackets 95% intervals; of CPU times the lowest and highest repetition. Ahead or behind: the intervals of ours "
    "and of the best of the others, chosen after the fact, do not touch; else level. Routers decide out of fold, on "
    "the same vectors; label learners are run with the rows of their training in both orders."
)


def rows(contests: Sequence[Contest]) -> list[tuple[str, ...]]:
    """Return a row a contest."""
    found: list[tuple[str, ...]] = []
    for contest in contests:
        best = contest.best_other
        theirs = "-" if best is None else f"{_shown(contest, best)} ({best.name})"
        found.append((contest.figure, _shown(contest, contest.ours), theirs, contest.verdict))
    return found


def summary(contests: Sequence[Contest]) -> str:
    """Return how often ours is ahead, level and behind."""
    counts = {word: sum(contest.verdict == word for contest in contests) for word in ("ahead", "level", "behind")}
    return f"Of {len(contests)} figures ours is " + ", ".join(f"{word} in {n}" for word, n in counts.items())


def describe(contests: Sequence[Contest], left_out: Mapping[str, str], command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    told = [{**msgspec.to_builtins(contest), "verdict": contest.verdict} for contest in contests]
    return {"command": command, "contests": told, "left_out": dict(left_out)}


def to_markdown(contests: Sequence[Contest], left_out: Mapping[str, str], command: str) -> str:
    """Return the report for people: the table, then everybody's figure."""
    parts = ["# Beside others", f"    {command}", f"{summary(contests)}. {_HOW_TO_READ}"]
    for field in dict.fromkeys(contest.field for contest in contests):
        told = [contest for contest in contests if contest.field == field]
        parts.append(f"## {field.capitalize()}\n\n" + _table(COLUMNS, rows(told)))
        everybody = [
            (contest.figure, entry.name, _shown(contest, entry))
            for contest in told
            for entry in (contest.ours, *contest.others)
        ]
        parts.append(_table(("", "who", "figure"), everybody))
    parts += [f"Left out: {name} ({why})" for name, why in left_out.items()]
    return "\n\n".join(parts) + "\n"


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def _shown(contest: Contest, entry: Entry) -> str:
    def number(value: float) -> str:
        if contest.unit == "share":
            return f"{value:.3f}"
        return f"{value:.0f}" if contest.unit == "count" or abs(value) >= 100 else f"{value:.1f}"

    value = f"{number(entry.value)} us" if contest.unit == "us" else number(entry.value)
    return value if entry.low is None or entry.high is None else f"{value} [{number(entry.low)}, {number(entry.high)}]"
