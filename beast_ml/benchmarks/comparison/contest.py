"""One contest: a figure of ours beside the same figure of others, and who is ahead."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Contest", "Entry", "Verdict"]

Verdict = Literal["ahead", "level", "behind", "alone"]
"""Of ours against the best of the others."""


class Entry(msgspec.Struct, frozen=True):
    """Somebody's figure.

    Parameters
    ----------
    name
        Who.
    value
        The figure.
    low, high
        Its 95% interval, or what the figure's own note says; None: it is a count of this very run.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class Contest(msgspec.Struct, frozen=True):
    """A figure of all who took part.

    Parameters
    ----------
    field
        ``routing``, ``decision time``, ``cache`` or ``service``.
    figure
        What was measured, on what.
    unit
        ``share``, ``us`` or ``count``; says how figures are shown.
    wanted
        Which way is better.
    ours, others
        Who took part.
    """

    field: str
    figure: str
    unit: Literal["share", "us", "count"]
    wanted: Literal["more", "less"]
    ours: Entry
    others: tuple[Entry, ...]

    @property
    def best_other(self) -> Entry | None:
        """The best of the others by its figure; None where ours is alone."""
        if not self.others:
            return None
        best = max if self.wanted == "more" else min
        return best(self.others, key=lambda entry: entry.value)

    @property
    def verdict(self) -> Verdict:
        """Whether ours is ahead of the best of the others: by whole intervals, where there are any.

        Who is best is known after the fact only, which flatters the others; intervals that touch are level.
        """
        best = self.best_other
        if best is None:
            return "alone"
        ours, theirs = _ends(self.ours), _ends(best)
        if self.wanted == "less":
            ours, theirs = (-ours[1], -ours[0]), (-theirs[1], -theirs[0])
        if ours[0] > theirs[1]:
            return "ahead"
        return "behind" if ours[1] < theirs[0] else "level"


def _ends(entry: Entry) -> tuple[float, float]:
    return (
        entry.value if entry.low is None else entry.low,
        entry.value if entry.high is None else entry.high,
    )
