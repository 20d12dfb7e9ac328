"""What the month will have cost at its end: what is spent, and what is expected of the days that are left."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain.money import usd
from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.rules import window_end, window_of, window_start
from beast_ml.operations.costs.amounts import nano_sql
from beast_ml.operations.costs.daily_model import LEAST_DAYS, draw_days
from beast_ml.operations.costs.question import requests_where

__all__ = ["MonthForecast", "forecast_month", "read_hours"]

Floats = NDArray[np.float64]

_MEMORY_DAYS: Final = 112
_DAY: Final = timedelta(days=1)
_ENDS: Final = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class MonthForecast:
    """The cost of a month at its end (UTC), as far as it can be told before.

    Parameters
    ----------
    at
        Until when costs are known.
    month
        Such as ``2026-11``.
    spent_usd
        In the month so far.
    expected_usd, low_usd, high_usd
        Median of the whole month, with 95% interval.
    history
        (day, cost) of the whole days that it was forecast by.
    days
        (day, median, low, high) of each day that is left, the one that runs included.
    """

    at: datetime
    month: str
    spent_usd: float
    expected_usd: float
    low_usd: float
    high_usd: float
    history: tuple[tuple[date, float], ...]
    days: tuple[tuple[date, float, float, float], ...]

    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"{self.month} has cost ${self.spent_usd:,.6g} until {self.at:%Y-%m-%d %H:%M} UTC, and is expected to cost "
            f"${self.expected_usd:,.6g} [{self.low_usd:,.6g}, {self.high_usd:,.6g}] by its end (95%; by "
            f"{len(self.history)} whole days before)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "sentence": self.sentence(),
            "at": self.at.isoformat(),
            "month": self.month,
            "spent_usd": self.spent_usd,
            "expected_usd": self.expected_usd,
            "low_usd": self.low_usd,
            "high_usd": self.high_usd,
            "days": [
                {"day": day.isoformat(), "expected_usd": middle, "low_usd": low, "high_usd": high}
                for day, middle, low, high in self.days
            ],
        }


def read_hours(store: LogStore, at: datetime, tenant: str | None = None) -> dict[datetime, int]:
    """Return the nano-dollars of each hour (UTC) before a time, as far back as a forecast looks.

    Hours without a request are left out, but the first hour that a request of the tenant was received in is in it.

    Raises
    ------
    InputError
        If the time has no zone.
    DataError
        If a file of the store is damaged.
    """
    where = requests_where(at - (_MEMORY_DAYS + 1) * _DAY, at, tenant)
    rows = store.sql(f"""
        SELECT date_trunc('hour', received_at) AS hour, CAST(coalesce(sum({nano_sql("cost_usd")}), 0) AS BIGINT) AS nano
        FROM log WHERE {where} GROUP BY ALL ORDER BY ALL
    """)  # noqa: S608 - expressions of column names, times and quoted texts only
    return dict(zip(rows["hour"].to_pylist(), map(int, rows["nano"].to_pylist()), strict=True))


def forecast_month(hours: dict[datetime, int], at: datetime, rng: np.random.Generator) -> MonthForecast:
    """Return what the month that a time is in will have cost at its end.

    Of the day that runs, what is known counts as it is; what is left of it is the part of a day's cost that the days
    before spent at these hours.

    Parameters
    ----------
    hours
        Nano-dollars by hour before that time, see `read_hours`.
    rng
        Draws the days to come.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than a week's whole days, or nothing was spent.
    """
    at = at.astimezone(UTC)
    month = window_of("month", at)
    start, end = window_start(month), window_end(month)
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    n_left = (end - today).days
    days = _whole_days(hours, today)
    if len(days) < LEAST_DAYS:
        raise NotEnoughDataError(
            f"{len(days)} whole days of costs before {today:%Y-%m-%d} are too little to forecast by: at least "
            f"{LEAST_DAYS} are needed"
        )
    spent = usd(sum(nano for hour, nano in hours.items() if start <= hour < at))
    drawn = draw_days(np.array([cost for _, cost in days]), n_left, rng)
    spent_today = usd(sum(nano for hour, nano in hours.items() if hour >= today))
    left_of_today = 1.0 - _elapsed(hours, today, at)
    total = spent + left_of_today * drawn[:, 0] + drawn[:, 1:].sum(axis=1)
    low, middle, high = (float(x) for x in np.quantile(total, _ENDS))
    by_day = drawn.copy()
    by_day[:, 0] = spent_today + left_of_today * drawn[:, 0]
    ends = np.quantile(by_day, _ENDS, axis=0).T.tolist()
    return MonthForecast(
        at,
        month,
        spent,
        middle,
        low,
        high,
        tuple(days),
        tuple(((today + i * _DAY).date(), mid, lo, hi) for i, (lo, mid, hi) in enumerate(ends)),
    )


def _whole_days(hours: dict[datetime, int], today: datetime) -> list[tuple[date, float]]:
    """Return the cost of each whole day before today; the first day may have begun in its middle, and is left out."""
    by_day: defaultdict[date, int] = defaultdict(int)
    for hour, nano in hours.items():
        by_day[hour.astimezone(UTC).date()] += nano
    if not by_day:
        return []
    first = max(min(by_day) + _DAY, (today - _MEMORY_DAYS * _DAY).date())
    n = max((today.date() - first).days, 0)
    return [(first + i * _DAY, usd(by_day[first + i * _DAY])) for i in range(n)]


def _elapsed(hours: dict[datetime, int], today: datetime, at: datetime) -> float:
    """Return which share of a day's cost is spent by now, by the days before; that of the hours where they cost 0."""
    profile = np.zeros(24)
    for hour, nano in hours.items():
        if hour < today:
            profile[hour.astimezone(UTC).hour] += nano
    now_h = (at - today).total_seconds() / 3600.0
    if profile.sum() == 0:
        return now_h / 24.0
    whole = int(now_h)
    spent = profile[:whole].sum() + (profile[whole] * (now_h - whole) if whole < 24 else 0.0)
    return float(spent / profile.sum())
