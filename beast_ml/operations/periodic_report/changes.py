"""What changed against the period before, with intervals.

A day is the unit: requests of one day share its traffic, its incidents and its prices, so the spread between days, not
between requests, says what could have come about by chance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from beast_ml.logs.endings import ENDED, FAILED, REFUSED, status_sql
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.question import FROM_CACHE, UTC_DAY, requests_where
from beast_ml.operations.periodic_report.period import Period

__all__ = ["MEASURES", "Change", "Measure", "compare_periods", "read_days"]

Floats = NDArray[np.float64]

_SUMS: Final = {
    "requests": "count(*)",
    "ended": f"count(*) FILTER (WHERE {status_sql(ENDED)})",
    "failed": f"count(*) FILTER (WHERE {status_sql(FAILED)})",
    "refused": f"count(*) FILTER (WHERE {status_sql(REFUSED)})",
    "fallbacks": "count(*) FILTER (WHERE status = 'ok' AND served_model <> chosen_model)",
    "answered": "count(*) FILTER (WHERE status = 'ok' AND NOT cached)",
    "cached": "count(*) FILTER (WHERE cached)",
    "labelled": "count(quality)",
    "quality": "coalesce(sum(quality), 0)",
    "priced": "count(cost_usd)",
    "cost": "coalesce(sum(cost_usd), 0)",
    "timed": "count(latency_s) FILTER (WHERE status = 'ok')",
    "latency": "coalesce(sum(latency_s) FILTER (WHERE status = 'ok'), 0)",
}


@dataclass(frozen=True)
class Measure:
    """A mean that is a sum over another.

    Parameters
    ----------
    name
        For people.
    of, over
        Names of the sums; over ``days`` is a mean a day.
    form
        How a value is written.
    higher_is
        Better, worse, or neither.
    """

    name: str
    of: str
    over: str
    form: str
    higher_is: str = ""


MEASURES: Final = (
    Measure("requests a day", "requests", "days", "{:.4g}"),
    Measure("quality of labelled answers", "quality", "labelled", "{:.3f}", "better"),
    Measure("cost a day, USD", "cost", "days", "{:,.4g}", "worse"),
    Measure("cost a request, USD", "cost", "priced", "{:.4g}", "worse"),
    Measure("mean latency, s", "latency", "timed", "{:.3g}", "worse"),
    Measure("share answered by the cache", "cached", "requests", "{:.2%}", "better"),
    Measure("share that failed", "failed", "ended", "{:.2%}", "worse"),
    Measure("share that was refused", "refused", "requests", "{:.2%}", "worse"),
    Measure("share saved by a fallback", "fallbacks", "answered", "{:.2%}"),
    Measure("share with a quality label", "labelled", "requests", "{:.2%}", "better"),
)
"""What is compared with the period before, each a ratio of sums over days."""

_DIGITS: Final = re.compile(r"\.(\d)g}")
"""Of a form that names how many digits count."""

_P95: Final = Measure("95th percentile of latency, s", "", "", "{:.3g}", "worse")


@dataclass(frozen=True)
class Change:
    """A measure in a period and in the one before.

    Parameters
    ----------
    measure
        Which.
    now, before
        None where nothing was recorded.
    low, high
        95% interval of the difference; None where it cannot be told, as of a single day.
    """

    measure: Measure
    now: float | None
    before: float | None
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float | None:
        """By how much it changed."""
        return None if self.now is None or self.before is None else self.now - self.before

    @property
    def form(self) -> str:
        """How its figures are written: a difference to as many decimals as four digits of the value take.

        Examples
        --------
        >>> Change(Measure("cost a request, USD", "cost", "priced", "{:.4g}"), 0.001739, 0.001782).form
        '{:,.6f}'
        """
        largest = max(abs(self.now or 0.0), abs(self.before or 0.0))
        digits = _DIGITS.search(self.measure.form)
        if digits is None or largest == 0.0:
            return self.measure.form
        decimals = max(int(digits[1]) - 1 - math.floor(math.log10(largest)), 0)
        return f"{{:,.{decimals}f}}"

    @property
    def is_none(self) -> bool:
        """Whether there is no difference at all, nor room for one."""
        return self.difference == 0 and not self.low and not self.high

    @property
    def is_sure(self) -> bool:
        """Whether the interval excludes that nothing changed."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """Return whether it is better or worse, in a word."""
        if self.difference is None:
            return "nothing to compare with"
        if self.low is None:
            return "cannot be told"
        if not self.is_sure:
            return "no sure change"
        way = "up" if self.difference > 0 else "down"
        if not self.measure.higher_is:
            return way
        good = (self.measure.higher_is == "better") == (self.difference > 0)
        return f"{way}, {'better' if good else 'worse'}"

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return asdict(self) | {"difference": self.difference, "verdict": self.verdict}


def read_days(store: LogStore, period: Period) -> dict[date, dict[str, float]]:
    """Return the sums of every day of a period that has requests.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    sums = ", ".join(f'CAST({expression} AS DOUBLE) AS "{name}"' for name, expression in _SUMS.items())
    rows = store.sql(f"""
        SELECT {UTC_DAY} AS day, {sums} FROM (SELECT *, {FROM_CACHE} AS cached FROM log)
        WHERE {requests_where(period.since, period.until)} GROUP BY day ORDER BY day
    """)  # noqa: S608 - fixed expressions and times
    return {row.pop("day"): row | {"days": 1.0} for row in rows.to_pylist()}


def compare_periods(store: LogStore, period: Period) -> tuple[Change, ...]:
    """Return what changed against the period before.

    The differences of means have Welch's t intervals over days, a ratio of sums linearised (Cochran 1977, 6.4); that of
    percentiles combines the intervals of both (Zou and Donner 2008), each from its order statistics.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    now, before = (_columns(read_days(store, each), each) for each in (period, period.before()))
    changes = [_change(measure, now, before) for measure in MEASURES]
    tails = [_percentile(store, each) for each in (period, period.before())]
    changes.insert(5, _tail_change(*tails))
    return tuple(changes)


def _columns(days: Mapping[date, Mapping[str, float]], period: Period) -> dict[str, Floats]:
    """Return (n_days,) sums; days without requests are 0, before the log began they are no days."""
    if not days:
        return {}
    shown = [day for day in period.days if day >= min(days)]
    nothing = dict.fromkeys(_SUMS, 0.0) | {"days": 1.0}
    return {name: np.array([days.get(day, nothing)[name] for day in shown]) for name in nothing}


def _change(measure: Measure, now: Mapping[str, Floats], before: Mapping[str, Floats]) -> Change:
    (value, spread, n), (old, old_spread, old_n) = (_mean(measure, each) for each in (now, before))
    if value is None or old is None or spread is None or old_spread is None:
        return Change(measure, value, old)
    total = spread**2 + old_spread**2
    if total == 0:
        return Change(measure, value, old, value - old, value - old)
    freedom = total**2 / (spread**4 / (n - 1) + old_spread**4 / (old_n - 1))
    half = float(student.ppf(0.975, freedom) * np.sqrt(total))
    return Change(measure, value, old, value - old - half, value - old + half)


def _mean(measure: Measure, sums: Mapping[str, Floats]) -> tuple[float | None, float | None, int]:
    """Return a ratio of sums, its standard error over the days that have any, and their number."""
    if not sums:
        return None, None, 0
    of, over = sums[measure.of], sums[measure.over]
    seen = over > 0
    n = int(seen.sum())
    if n == 0:
        return None, None, 0
    value = float(of.sum() / over.sum())
    if n == 1:
        return value, None, 1
    residual = (of - value * over)[seen]
    return value, float(np.sqrt((residual**2).sum() * n / (n - 1)) / over.sum()), n


def _percentile(store: LogStore, period: Period) -> Sequence[float] | None:
    """Return the 95th percentile of latency, and its 95% interval by the binomial of how many lie below it."""
    where = f"{requests_where(period.since, period.until)} AND status = 'ok' AND latency_s IS NOT NULL"
    n = int(store.sql(f"SELECT count(*) AS n FROM log WHERE {where}")["n"][0].as_py())  # noqa: S608 - times
    if n == 0:
        return None
    half = float(norm.ppf(0.975) * np.sqrt(0.95 * 0.05 / n))
    levels = [0.95, max(0.95 - half, 0.0), min(0.95 + half, 1.0)]
    found = store.sql(f"SELECT quantile_cont(latency_s, {levels}) AS q FROM log WHERE {where}")  # noqa: S608 - times
    return [float(x) for x in found["q"][0].as_py()]


def _tail_change(now: Sequence[float] | None, before: Sequence[float] | None) -> Change:
    if now is None or before is None:
        return Change(_P95, None if now is None else now[0], None if before is None else before[0])
    difference = now[0] - before[0]
    low = difference - float(np.hypot(now[0] - now[1], before[2] - before[0]))
    high = difference + float(np.hypot(now[2] - now[0], before[0] - before[1]))
    return Change(_P95, now[0], before[0], low, high)
