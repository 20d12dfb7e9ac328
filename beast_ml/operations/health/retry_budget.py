"""How many calls beyond the first one requests may take, so that retries do not finish off who is struggling."""

from __future__ import annotations

import time
from collections.abc import Callable

from beast_ml.errors import InputError

__all__ = ["RetryBudget"]


class RetryBudget:
    """A token bucket: every request puts in a share of a token, time puts in a floor, every further call takes one.

    Over any stretch of n requests and t seconds at most ``share * n + floor_per_s * t + most`` further calls are made.

    Parameters
    ----------
    share
        Of requests.
    floor_per_s
        Further calls a second that are there without traffic.
    most
        Tokens it holds at most, and at first.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> budget = RetryBudget(share=0.5, floor_per_s=0.0, most=1.0)
    >>> budget.take(), budget.take()
    (True, False)
    >>> budget.request(); budget.request()
    >>> budget.take()
    True
    """

    __slots__ = ("_at", "_clock", "_floor_per_s", "_most", "_share", "_tokens")

    def __init__(
        self,
        share: float = 0.2,
        floor_per_s: float = 2.0,
        most: float = 50.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= share <= 1:
            raise InputError(f"`share` == {share}, must be in [0, 1]")
        if not 0 <= floor_per_s < float("inf"):
            raise InputError(f"`floor_per_s` == {floor_per_s}, must be a number >= 0")
        if not 1 <= most < float("inf"):
            raise InputError(f"`most` == {most}, must be a number >= 1")
        self._share, self._floor_per_s, self._most = share, floor_per_s, most
        self._clock = clock
        self._at = clock()
        self._tokens = most

    def request(self) -> None:
        """Count a request."""
        self._tokens = min(self._most, self._tokens + self._share)

    def take(self) -> bool:
        """Return whether one more call may be made, and count it."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self._floor_per_s)
        self._at = max(self._at, now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
