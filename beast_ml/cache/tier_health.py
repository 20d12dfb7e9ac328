"""Whether a tier is worth a call: one that failed is left alone for a moment, longer each time, then tried again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from beast_ml.errors import InputError

__all__ = ["TierHealth"]

_TRIAL_S: Final = 5.0
"""A trial that nobody told the end of for so long makes room for another."""


class TierHealth:
    """A breaker for one tier; may be used from several threads.

    One failure is enough to open it: a call to a tier that is away costs a timeout, one to a tier that was not called
    costs a miss.

    Parameters
    ----------
    rest_s, max_rest_s
        Seconds that a tier is left alone: at first, and at most; doubled each time that a trial fails.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = 0.0
    >>> health = TierHealth(rest_s=1.0, clock=lambda: now)
    >>> health.failed()
    >>> health.allows()
    False
    >>> now = 1.0
    >>> health.allows(), health.allows()
    (True, False)
    >>> health.succeeded()
    >>> health.allows()
    True
    """

    def __init__(
        self, *, rest_s: float = 0.25, max_rest_s: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 < rest_s <= max_rest_s < math.inf:
            raise InputError(f"`rest_s` == {rest_s}, must be > 0 and <= `max_rest_s` == {max_rest_s}")
        self._rest_s, self._max_rest_s, self._clock = rest_s, max_rest_s, clock
        self._lock = threading.Lock()
        self._away = False
        self._until = self._trial_at = -math.inf
        self._next_rest_s = rest_s

    @property
    def is_away(self) -> bool:
        """Whether the last that is known of the tier is a failure."""
        return self._away

    def allows(self) -> bool:
        """Return whether a call may be made now; its end is to be told by `succeeded` or `failed`."""
        if not self._away:
            return True
        with self._lock:
            now = self._clock()
            if now < self._until or now < self._trial_at + _TRIAL_S:
                return not self._away
            self._trial_at = now
            return True

    def rests_s(self) -> float:
        """Return for how long it is surely not to be called."""
        return max(0.0, self._until - self._clock()) if self._away else 0.0

    def succeeded(self) -> None:
        """Count a call that was answered."""
        if self._away:
            with self._lock:
                self._away, self._trial_at, self._next_rest_s = False, -math.inf, self._rest_s

    def failed(self) -> None:
        """Count a call that was not answered; several at once count as one."""
        with self._lock:
            now = self._clock()
            if self._away and now < self._until:
                return
            self._away, self._trial_at = True, -math.inf
            self._until = now + self._next_rest_s
            self._next_rest_s = min(2 * self._next_rest_s, self._max_rest_s)
