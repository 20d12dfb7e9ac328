"""Shares with exact intervals."""

from __future__ import annotations

from scipy.stats import binomtest

from beast_ml.benchmarks.scorecard.score import Reading

__all__ = ["share_of"]


def share_of(n_such: int, n: int, note: str = "", ceiling: float | None = None) -> Reading | None:
    """Return the share of so many among all, with its exact 95% interval; None among none.

    Examples
    --------
    >>> found = share_of(0, 1000)
    >>> found.value, found.low, round(found.high, 4)
    (0.0, 0.0, 0.0037)
    """
    if not n:
        return None
    ends = binomtest(n_such, n).proportion_ci()
    return Reading(n_such / n, float(ends.low), float(ends.high), ceiling, note)
