"""Counts over the last seconds."""

from __future__ import annotations

from typing import Final

__all__ = ["RecentCalls"]

_N_BUCKETS: Final = 10


class RecentCalls:
    """How many of the calls that ended in the last seconds failed, or were slow.

    Parameters
    ----------
    window_s
        How far it looks back, to a tenth of itself.

    Examples
    --------
    >>> recent = RecentCalls(10.0)
    >>> recent.add(0.0, failed=True)
    >>> recent.add(6.0)
    >>> (recent.n_calls, recent.failure_rate)
    (2, 0.5)
    >>> recent.forget_before(12.0)
    >>> (recent.n_calls, recent.failure_rate)
    (1, 0.0)
    """

    __slots__ = ("_at", "_calls", "_failed", "_slow", "_width_s", "n_calls", "n_failed", "n_slow")

    def __init__(self, window_s: float) -> None:
        self._width_s = window_s / _N_BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._calls, self._failed, self._slow = [0] * _N_BUCKETS, [0] * _N_BUCKETS, [0] * _N_BUCKETS
        self._at = 0
        self.n_calls = self.n_failed = self.n_slow = 0

    @property
    def failure_rate(self) -> float:
        """Share of the calls that failed; 0 without calls."""
        return self.n_failed / self.n_calls if self.n_calls else 0.0

    @property
    def slow_rate(self) -> float:
        """Share of the calls that were slow; 0 without calls."""
        return self.n_slow / self.n_calls if self.n_calls else 0.0

    def add(self, now: float, *, failed: bool = False, slow: bool = False) -> None:
        """Count one call that ended now."""
        self.forget_before(now)
        bucket = self._at % _N_BUCKETS
        self._calls[bucket] += 1
        self.n_calls += 1
        if failed:
            self._failed[bucket] += 1
            self.n_failed += 1
        if slow:
            self._slow[bucket] += 1
            self.n_slow += 1

    def forget_before(self, now: float) -> None:
        """Drop what is older than the window; a clock that stands still or goes back drops nothing."""
        at = int(now / self._width_s)
        if at <= self._at:
            return
        for index in range(max(self._at + 1, at - _N_BUCKETS + 1), at + 1):
            bucket = index % _N_BUCKETS
            self.n_calls -= self._calls[bucket]
            self.n_failed -= self._failed[bucket]
            self.n_slow -= self._slow[bucket]
            self._calls[bucket] = self._failed[bucket] = self._slow[bucket] = 0
        self._at = at
