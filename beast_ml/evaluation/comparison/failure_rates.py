"""Intervals of failure rates: resampling and spread say nothing where none, or all, of a few calls failed."""

from __future__ import annotations

from math import hypot

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.proportion import wilson

__all__ = ["failure_rate", "rates_apart"]


def failure_rate(seen: Estimate, n: float) -> Estimate:
    """Return a share of n calls, which may be an effective number, with an interval that holds Wilson's.

    Examples
    --------
    >>> failure_rate(Estimate(0.0, 0.0, 0.0), 16).high > 0.19
    True
    """
    if seen.value is None:
        return seen
    low, high = wilson(seen.value, n) if n > 0 else (0.0, 1.0)
    return _holding(seen, low, high)


def rates_apart(gap: Estimate, rate: Estimate, reference: Estimate) -> Estimate:
    """Return the difference of two rates, with an interval that holds what those of both give (Newcombe 1998).

    Examples
    --------
    >>> none = failure_rate(Estimate(0.0, 0.0, 0.0), 16)
    >>> rates_apart(Estimate(0.0, 0.0, 0.0), none, none).low < -0.19
    True
    """
    one, other = _reach(rate), _reach(reference)
    if gap.value is None or one is None or other is None:
        return Estimate(gap.value)
    return _holding(gap, gap.value - hypot(one[0], other[1]), gap.value + hypot(one[1], other[0]))


def _reach(rate: Estimate) -> tuple[float, float] | None:
    """Return how far an interval reaches down and up."""
    if rate.value is None or rate.low is None or rate.high is None:
        return None
    return rate.value - rate.low, rate.high - rate.value


def _holding(seen: Estimate, low: float, high: float) -> Estimate:
    if seen.low is None or seen.high is None:
        return Estimate(seen.value, low, high)
    return Estimate(seen.value, min(seen.low, low), max(seen.high, high))
