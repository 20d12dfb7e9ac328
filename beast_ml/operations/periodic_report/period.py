"""Weeks, months, quarters and years of whole UTC days, and the time before them that they are compared with."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args

__all__ = ["PERIOD_KINDS", "Period", "PeriodKind"]

PeriodKind = Literal["week", "month", "quarter", "year"]
"""How long a period is."""

PERIOD_KINDS: Final[tuple[PeriodKind, ...]] = get_args(PeriodKind)
"""Every length, the shortest first."""

_MONTHS: Final[dict[PeriodKind, int]] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Period:
    """Whole UTC days, the last one included.

    Parameters
    ----------
    kind
        How long it is.
    first, last
        Its first and its last day.
    """

    kind: PeriodKind
    first: date
    last: date

    @classmethod
    def ending(cls, kind: PeriodKind, last: date) -> Period:
        """Return the period whose last day this is: seven days, or as many months; of a month's end, whole months.

        Examples
        --------
        >>> Period.ending("month", date(2026, 2, 28)).first.isoformat()
        '2026-02-01'
        >>> Period.ending("quarter", date(2026, 5, 30)).first.isoformat()
        '2026-02-28'
        """
        after = last + timedelta(days=1)
        first = after - timedelta(days=7) if kind == "week" else _months_before(after, _MONTHS[kind])
        return cls(kind, first, last)

    def before(self) -> Period:
        """Return the one that ends where this begins."""
        return Period.ending(self.kind, self.first - timedelta(days=1))

    @property
    def since(self) -> datetime:
        """When it begins."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def until(self) -> datetime:
        """When it is over."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    @property
    def n_days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def days(self) -> tuple[date, ...]:
        """Its days, in order."""
        return tuple(self.first + timedelta(days=i) for i in range(self.n_days))

    def __str__(self) -> str:
        return f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"


def _months_before(day: date, n: int) -> date:
    months = day.year * 12 + day.month - 1 - n
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
