"""A target, what was measured of it, and whether that meets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from beast_ml.evaluation.proportion import wilson

__all__ = ["Goal", "Reading", "Score", "Target", "judge"]

Rule = Literal["at least", "at most", "below"]
Unit = Literal["share", "points", "number", "ms", "s", "USD"]
Word = Literal[
    "met", "met, within the interval", "not met, within the interval", "not met", "no goal", "not measurable"
]


@dataclass(frozen=True)
class Goal:
    """What a figure must reach.

    Parameters
    ----------
    rule, value
        For example at least .95.
    ours
        Whether the figure is our own, because the roadmap names none.
    """

    rule: Rule
    value: float
    ours: bool = False

    def met_by(self, value: float) -> bool:
        """Return whether a value reaches it.

        Examples
        --------
        >>> Goal("at least", 0.95).met_by(0.95), Goal("below", 0.05).met_by(0.05)
        (True, False)
        """
        if self.rule == "at least":
            return value >= self.value
        return value <= self.value if self.rule == "at most" else value < self.value


@dataclass(frozen=True)
class Reading:
    """What was measured.

    Parameters
    ----------
    value
        The figure.
    low, high
        95% interval, or the range over repetitions where ``note`` says so; None where there is neither.
    ceiling
        The best that these data allow, whoever decides; None where nothing but the machine sets a limit.
    note
        What else there is to say.
    """

    value: float
    low: float | None = None
    high: float | None = None
    ceiling: float | None = None
    note: str = ""

    @classmethod
    def of_share(cls, n_such: int, n: int, note: str = "") -> Reading | None:
        """Return the share of so many among all, with its interval; None among none.

        Examples
        --------
        >>> found = Reading.of_share(0, 1000)
        >>> found.value, found.low, round(found.high, 4)
        (0.0, 0.0, 0.0038)
        """
        return cls(n_such / n, *wilson(n_such / n, n), note=note) if n else None


@dataclass(frozen=True)
class Target:
    """A target of the roadmap.

    Parameters
    ----------
    name
        What it is.
    unit
        Of its figure.
    goal
        None: the roadmap names no figure, and neither do we; it is measured.
    definition
        What exactly is measured, in one sentence.
    source
        The measurement it is read from; see `beast_ml.benchmarks.scorecard.sources`.
    read
        Takes it from there; None where that does not hold it.
    """

    name: str
    unit: Unit
    goal: Goal | None
    definition: str
    source: str
    read: Callable[[Mapping[str, Any]], Reading | None]


@dataclass(frozen=True)
class Score:
    """A target beside what was measured.

    Parameters
    ----------
    target
        The target.
    reading
        None: not measurable here.
    why_not
        Then, why.
    command
        Measures it again.
    """

    target: Target
    reading: Reading | None
    why_not: str
    command: str

    @property
    def word(self) -> Word:
        """The verdict."""
        return judge(self.target.goal, self.reading)


def judge(goal: Goal | None, reading: Reading | None) -> Word:
    """Return the verdict on a figure; one whose interval reaches across the goal is said to be within it.

    Examples
    --------
    >>> judge(Goal("at least", 0.9), Reading(0.95, 0.92, 0.97)), judge(Goal("at least", 0.9), Reading(0.95, 0.85, 0.97))
    ('met', 'met, within the interval')
    >>> judge(Goal("below", 5.0), Reading(7.0)), judge(Goal("below", 5.0), None)
    ('not met', 'not measurable')
    """
    if reading is None:
        return "not measurable"
    if goal is None:
        return "no goal"
    met = goal.met_by(reading.value)
    ends = [end for end in (reading.low, reading.high) if end is not None]
    clear = all(goal.met_by(end) == met for end in ends)
    if met:
        return "met" if clear else "met, within the interval"
    return "not met" if clear else "not met, within the interval"
