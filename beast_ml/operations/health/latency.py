"""What latency to expect of an endpoint."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["LatencyEstimate"]

_WEIGHT: Final = 1 / 32
_USUAL_WEIGHT: Final = 1 / 200
_USUAL_WEIGHT_OF_TRIALS: Final = 1 / 5
_MIN_CALLS: Final = 8
_STALE_S: Final = 120.0
_RETRY_S: Final = 120.0
_SURE: Final = 4.0
_LEAST_DIFFERENCE: Final = math.log(1.25)
_FASTEST_S: Final = 1e-4
_SLOW_FACTOR: Final = math.log(5.0)
_SLOW_FROM_S: Final = 10.0
_SLOW_MIN_CALLS: Final = 20


class LatencyEstimate:
    """Exponentially weighted mean and variance of the logarithm of an endpoint's latencies.

    Latencies of language models spread over decades and have long tails, which logarithms tame; what is expected is
    the geometric mean.

    Parameters
    ----------
    now
        Monotonic seconds.
    """

    __slots__ = ("_n", "_n_again", "_usual", "_variance", "looked_at", "mean")

    def __init__(self, now: float) -> None:
        self.mean = self._usual = 0.0
        self._variance = 0.0
        self._n = 0
        self._n_again = round(1.0 / _WEIGHT)
        self.looked_at = now
        """When it was observed the last time, or a call was sent to observe it again."""

    @property
    def expected_s(self) -> float | None:
        """Seconds to expect; None: never observed."""
        return math.exp(self.mean) if self._n else None

    @property
    def usual_s(self) -> float:
        """Seconds that it takes as a rule, which is learned slowly."""
        return math.exp(self._usual)

    @property
    def is_known(self) -> bool:
        """Whether it was observed often enough to be compared."""
        return self._n >= _MIN_CALLS

    def is_surely_above(self, seconds: float, now: float) -> bool:
        """Return whether it takes longer than that beyond doubt, and by a quarter; doubt grows while nobody looks."""
        difference = self.mean - math.log(max(seconds, _FASTEST_S))
        return difference >= _LEAST_DIFFERENCE and difference * difference > _SURE * _SURE * self._uncertainty(now)

    def is_due(self, now: float) -> bool:
        """Return whether nobody has looked for so long that it may have changed."""
        return self.is_known and now - self.looked_at >= _RETRY_S

    def look_again(self, now: float) -> None:
        """Take note that it is tried again: what is observed next counts for more than what was before."""
        self._n_again = 0
        self.looked_at = now

    def observe(self, latency_s: float, now: float, *, trial: bool = False) -> bool:
        """Learn from a call that was answered; return whether it was slow: five times the usual, and 10 seconds.

        What an endpoint usually takes is learned slowly, and faster from trials of an endpoint that was cut off for
        being slow: what stays slow is the new usual.
        """
        value = math.log(max(latency_s, _FASTEST_S))
        self._n += 1
        self._n_again += 1
        weight = max(1.0 / self._n, 1.0 / (_MIN_CALLS + self._n_again), _WEIGHT)
        change = value - self.mean
        self.mean += weight * change
        self._variance = (1.0 - weight) * (self._variance + weight * change * change)
        self.looked_at = now
        limit = self._usual + _SLOW_FACTOR
        slow = self._n > _SLOW_MIN_CALLS and value > limit and latency_s > _SLOW_FROM_S
        usual_weight = max(1.0 / self._n, _USUAL_WEIGHT_OF_TRIALS if trial else _USUAL_WEIGHT)
        self._usual += usual_weight * ((limit if slow else value) - self._usual)
        return slow

    def excess(self, other: LatencyEstimate, now: float) -> float:
        """Return log(own / other), where that differs from 0 beyond doubt and by a quarter; else 0.

        The longer an endpoint was not observed, the less its estimate says.
        """
        if self._n < _MIN_CALLS or other._n < _MIN_CALLS:
            return 0.0
        difference = self.mean - other.mean
        if -_LEAST_DIFFERENCE < difference < _LEAST_DIFFERENCE:
            return 0.0
        variance = self._uncertainty(now) + other._uncertainty(now)
        return difference if difference * difference > _SURE * _SURE * variance else 0.0

    def _uncertainty(self, now: float) -> float:
        share = max(1.0 / self._n, _WEIGHT / (2.0 - _WEIGHT))
        return self._variance * (share + max(0.0, now - self.looked_at) / _STALE_S)
