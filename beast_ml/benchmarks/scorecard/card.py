"""The scorecard as a whole: measured, told as plain values, and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import msgspec

from beast_ml.benchmarks.scorecard.roadmap import targets
from beast_ml.benchmarks.scorecard.score import Reading, Score, Target
from beast_ml.benchmarks.scorecard.sources import Sources
from beast_ml.errors import BeastError

__all__ = ["ceiling", "describe", "goal", "measure_all", "measured", "summary", "to_markdown"]


def measure_all(
    sources: Sources, only: Sequence[str], progress: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[Score, ...]:
    """Return the score of every target that is read from some sources.

    Parameters
    ----------
    sources
        Measures.
    only
        Names of sources.
    progress
        Called with (what, sources done, sources in all).
    """
    wanted = [target for target in targets(sources.plan.baseline) if target.source in only]
    names = list(dict.fromkeys(target.source for target in wanted))
    for i, name in enumerate(names):
        progress("scorecard", i, len(names))
        _score(next(target for target in wanted if target.source == name), sources)
    progress("scorecard", len(names), len(names))
    return tuple(_score(target, sources) for target in wanted)


def _score(target: Target, sources: Sources) -> Score:
    reading: Reading | None = None
    try:
        reading, why_not = target.read(sources.report(target.source)), "what was measured does not tell"
    except BeastError as error:
        why_not = str(error)
    return Score(target, reading, "" if reading is not None else why_not, sources.command(target.source))


def summary(scores: Sequence[Score]) -> str:
    """Return how many targets are met, in a sentence."""
    words = Counter(score.word for score in scores)
    return f"of {len(scores)} targets " + ", ".join(f"{n} {word}" for word, n in words.most_common())


def describe(scores: Sequence[Score], command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``scorecard.json`` holds."""
    return {
        "command": command,
        "summary": summary(scores),
        "targets": [
            {
                "name": score.target.name,
                "definition": score.target.definition,
                "unit": score.target.unit,
                "goal": msgspec.to_builtins(score.target.goal),
                "reading": _told(score.reading),
                "verdict": score.word,
                "why_not": score.why_not or None,
                "command": score.command,
            }
            for score in scores
        ],
    }


def to_markdown(scores: Sequence[Score], command: str) -> str:
    """Return the scorecard for people: a table, then what each line means and how to measure it again."""
    lines = ["# Scorecard", "", f"`{command}`", "", f"{summary(scores).capitalize()}.", ""]
    lines += ["| target | goal | measured | ceiling | verdict |", "|---|---|---|---|---|"]
    for score in scores:
        cells = (score.target.name, goal(score.target), measured(score), ceiling(score), score.word)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Brackets: 95% intervals, or ranges over repetitions where it says so.", ""]
    for score in scores:
        lines += [f"**{score.target.name}**: {score.target.definition}"]
        if score.reading is not None and score.reading.note:
            lines.append(f"Here: {score.reading.note}.")
        if score.reading is None:
            lines.append(f"Not measurable here: {score.why_not}.")
        if score.target.goal is not None and score.target.goal.ours:
            lines.append("The roadmap names no figure; the goal is our own.")
        lines += [f"Again: `{score.command}`", ""]
    return "\n".join(lines)


def goal(target: Target) -> str:
    """Return a goal for a table."""
    if target.goal is None:
        return "-"
    said = f"{target.goal.rule} {_number(target.goal.value, target)}"
    return f"{said} (ours)" if target.goal.ours else said


def measured(score: Score) -> str:
    """Return what was measured for a table."""
    found = score.reading
    if found is None:
        return "-"
    said = _number(found.value, score.target)
    if found.low is None or found.high is None:
        return said
    return f"{said} [{_number(found.low, score.target)}, {_number(found.high, score.target)}]"


def ceiling(score: Score) -> str:
    """Return the best that the data allow, for a table."""
    found = score.reading
    return "-" if found is None or found.ceiling is None else _number(found.ceiling, score.target)


def _told(reading: Reading | None) -> dict[str, Any] | None:
    """Return a reading as plain values; what is endless, such as a recovery that never came, is no number in JSON."""
    if reading is None:
        return None
    found: dict[str, Any] = msgspec.to_builtins(reading)
    return {name: None if isinstance(each, float) and not isfinite(each) else each for name, each in found.items()}


def _number(value: float, target: Target) -> str:
    if target.unit == "share":
        return f"{100 * value:.4g}%"
    if target.unit == "USD":
        return f"${value:.4g}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
