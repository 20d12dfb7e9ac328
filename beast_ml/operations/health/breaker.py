"""Whether an endpoint may be called: closed (yes), open (no), half-open (a few calls, to see)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from beast_ml.errors import InputError
from beast_ml.operations.health.window import RecentCalls

__all__ = ["Breaker", "BreakerSettings", "BreakerState"]

BreakerState = Literal["closed", "open", "half_open"]
"""Whether calls go through: all, none, or trials."""

_LONGEST_REST_S: Final = 86_400.0
"""No endpoint is left alone for longer than a day, whatever it asks for."""

_GRAIN_S: Final = 1e-3
"""To which the beginning of a call is known: its end less its latency."""


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, and how it closes again.

    Parameters
    ----------
    window_s
        Seconds over which rates are taken.
    min_calls
        Rates of fewer calls say nothing.
    failure_rate, slow_rate
        From these shares of failed, and of slow, calls on it opens.
    failures_in_a_row
        So many open it at once, however few calls there are.
    probe_failures_in_a_row
        The same for active probes.
    cooldown_s, max_cooldown_s
        Seconds until it is half-open: at first, and at most; doubled each time that it opens again soon.
    n_trials
        Successful calls of a half-open one that close it. One more at a time is let through after each.
    trial_s
        A trial that nobody told the end of for so long makes room for another.
    half_open_s
        A half-open one closes by itself after so many seconds in which no trial failed; infinite: only trials that
        are answered close it.
    """

    window_s: float = 10.0
    min_calls: int = 20
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    failures_in_a_row: int = 5
    probe_failures_in_a_row: int = 2
    cooldown_s: float = 1.0
    max_cooldown_s: float = 15.0
    n_trials: int = 3
    trial_s: float = 10.0
    half_open_s: float = math.inf

    def __post_init__(self) -> None:
        for name in ("window_s", "cooldown_s", "trial_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be a number > 0")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be in (0, 1]")
        for name in ("min_calls", "failures_in_a_row", "probe_failures_in_a_row", "n_trials"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be >= 1")
        if not self.half_open_s > 0:
            raise InputError(f"`half_open_s` == {self.half_open_s}, must be > 0")
        if not self.cooldown_s <= self.max_cooldown_s < math.inf:
            raise InputError(f"`max_cooldown_s` == {self.max_cooldown_s}, must be a number >= `cooldown_s`")


class Breaker:
    """The state machine of one endpoint.

    Time moves it only when it is looked at, so that it needs no timer.

    Parameters
    ----------
    settings
        When it opens, and how it closes.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = 0.0
    >>> breaker = Breaker(BreakerSettings(failures_in_a_row=2, n_trials=1), clock=lambda: now)
    >>> for _ in range(2):
    ...     _ = breaker.failed()
    >>> breaker.state, breaker.allows()
    ('open', False)
    >>> now = 1.0
    >>> breaker.state, breaker.allows()
    ('half_open', True)
    >>> breaker.started()
    True
    >>> breaker.succeeded()
    True
    >>> breaker.state
    'closed'
    """

    __slots__ = (
        "_clock",
        "_closed_at",
        "_in_a_row",
        "_last_trial_at",
        "_n_opens",
        "_probe_saw_it",
        "_probes_in_a_row",
        "_settings",
        "_since",
        "_state",
        "_successes",
        "_trials",
        "_until",
        "cause",
        "recent",
        "rests_until",
    )

    def __init__(self, settings: BreakerSettings | None = None, *, clock: Callable[[], float]) -> None:
        self._settings = BreakerSettings() if settings is None else settings
        self._clock = clock
        self._state: BreakerState = "closed"
        self._since = self._closed_at = self._until = -math.inf
        self.rests_until = -math.inf
        """Until when its endpoint asked to be left alone."""
        self._in_a_row = self._probes_in_a_row = self._n_opens = 0
        self._trials = self._successes = 0
        self._last_trial_at = -math.inf
        self._probe_saw_it = False
        self.cause = ""
        """Why it opened the last time; empty: it never did."""
        self.recent = RecentCalls(self._settings.window_s)

    @property
    def state(self) -> BreakerState:
        """What it is now; one that rests because its endpoint asked for it is open."""
        now = self._clock()
        self._look(now)
        return "open" if now < self.rests_until else self._state

    def allows(self) -> bool:
        """Return whether one more call may be made now."""
        now = self._clock()
        self._look(now)
        if now < self.rests_until or self._state == "open":
            return False
        return self._state == "closed" or self._has_room(now)

    def changes_at(self) -> float:
        """Return when time alone may change what it allows; infinite: never."""
        now = self._clock()
        self._look(now)
        if self._state == "open":
            return max(self._until, self.rests_until)
        if now < self.rests_until:
            return self.rests_until
        if self._state != "half_open":
            return math.inf
        closes_at = self._since + self._settings.half_open_s
        return closes_at if self._has_room(now) else min(closes_at, self._last_trial_at + self._settings.trial_s)

    def started(self) -> bool:
        """Count a call that begins; return whether that may change what is allowed."""
        if self._state == "closed":
            return False
        now = self._clock()
        self._look(now)
        if self._state != "half_open":
            return False
        written_off = now - self._last_trial_at >= self._settings.trial_s
        self._trials = 1 if written_off else self._trials + 1
        self._last_trial_at = now
        return True

    def succeeded(self, *, slow: bool = False, began_at: float | None = None) -> bool:
        """Count a call that was answered; return whether that may change what is allowed.

        Parameters
        ----------
        slow
            It took far longer than it should have.
        began_at
            When it was sent: a call older than the present state says nothing about it.
        """
        now = self._clock()
        self._look(now)
        self._probes_in_a_row = 0
        if began_at is not None and began_at < self._since - _GRAIN_S:
            return False
        if self._state == "closed":
            self._in_a_row = 0
            self.recent.add(now, slow=slow)
            return slow and self._judge(now)
        if self._state == "open":
            return False
        self._trials = max(0, self._trials - 1)
        if slow:
            self._open(now, "slow")
            return True
        self._successes += 1
        if self._successes >= self._settings.n_trials:
            self._close(now)
        return True

    def failed(
        self, *, began_at: float | None = None, retry_after_s: float | None = None, cause: str = "failed"
    ) -> bool:
        """Count a call that failed; return whether that may change what is allowed.

        Parameters
        ----------
        began_at
            When it was sent: a call older than the present state says nothing about it.
        retry_after_s
            What the endpoint asked for: it is not called before.
        cause
            One word for logs.
        """
        now = self._clock()
        self._look(now)
        rests = retry_after_s is not None and 0 < retry_after_s < math.inf
        if rests:
            assert retry_after_s is not None  # noqa: S101  said above
            self.rests_until = max(self.rests_until, now + min(retry_after_s, _LONGEST_REST_S))
            self.cause = cause
        if began_at is not None and began_at < self._since - _GRAIN_S:
            return rests
        if self._state == "closed":
            self._in_a_row += 1
            self.recent.add(now, failed=True)
            if self._in_a_row >= self._settings.failures_in_a_row:
                self._open(now, cause)
                return True
            return self._judge(now) or rests
        if self._state == "half_open":
            self._open(now, cause)
            return True
        return rests

    def forgotten(self) -> bool:
        """Count a call that ended without telling anything; return whether that may change what is allowed."""
        if self._state == "half_open":
            self._trials = max(0, self._trials - 1)
            return True
        return False

    def probe_succeeded(self) -> bool:
        """Count a probe that was answered; return whether that may change what is allowed.

        Where probes saw the fault, they see its end, too, and calls are tried at once; where they never saw one (a
        server that lists its models, but cannot run them), the cooldown holds.
        """
        now = self._clock()
        self._look(now)
        self._probes_in_a_row = 0
        if self._state == "open" and self._probe_saw_it:
            self._half_open(now)
            return True
        return False

    def probe_failed(self, *, cause: str = "probe", retry_after_s: float | None = None) -> bool:
        """Count a probe that failed; return whether that may change what is allowed.

        Calls know better: probes say nothing against an endpoint whose recent calls were answered, nor end a trial.
        """
        now = self._clock()
        self._look(now)
        if self._calls_contradict(now):
            return False
        self._probes_in_a_row += 1
        if self._state == "open":
            self._probe_saw_it = True
            return False
        if retry_after_s is not None and 0 < retry_after_s < math.inf:
            self.rests_until = max(self.rests_until, now + min(retry_after_s, _LONGEST_REST_S))
            self.cause = cause
            return True
        if self._state == "closed" and self._probes_in_a_row >= self._settings.probe_failures_in_a_row:
            self._open(now, cause)
            self._probe_saw_it = True
            return True
        return False

    def hinted(self) -> None:
        """Take note that another host's breaker of the same endpoint has opened: the next probe that fails suffices.

        By itself it opens nothing, and it is forgotten with the next answer, of a probe or of a call.
        """
        now = self._clock()
        self._look(now)
        if self._state == "closed" and not self._calls_contradict(now):
            self._probes_in_a_row = max(self._probes_in_a_row, self._settings.probe_failures_in_a_row - 1)

    def _calls_contradict(self, now: float) -> bool:
        self.recent.forget_before(now)
        return self._state == "closed" and self.recent.n_calls > self.recent.n_failed and not self._in_a_row

    def _has_room(self, now: float) -> bool:
        return self._trials < 1 + self._successes or now - self._last_trial_at >= self._settings.trial_s

    def _look(self, now: float) -> None:
        if self._state == "open" and now >= self._until:
            self._half_open(now)
        if self._state == "half_open" and now >= self._since + self._settings.half_open_s:
            self._close(now)

    def _judge(self, now: float) -> bool:
        recent, settings = self.recent, self._settings
        if recent.n_calls < settings.min_calls:
            return False
        if recent.failure_rate >= settings.failure_rate:
            self._open(now, "failure_rate")
        elif recent.slow_rate >= settings.slow_rate:
            self._open(now, "slow")
        return self._state == "open"

    def _open(self, now: float, cause: str) -> None:
        settings = self._settings
        if self._state == "closed" and now - self._closed_at > settings.max_cooldown_s:
            self._n_opens = 0
        cooldown_s = min(settings.cooldown_s * 2.0 ** min(self._n_opens, 30), settings.max_cooldown_s)
        self._state, self._since, self.cause = "open", now, cause
        self._until = now + cooldown_s
        self._n_opens += 1
        self._probe_saw_it = False

    def _half_open(self, now: float) -> None:
        self._state, self._since = "half_open", now
        self._trials = self._successes = 0
        self._last_trial_at = -math.inf

    def _close(self, now: float) -> None:
        self._state, self._since, self._closed_at = "closed", now, now
        self._in_a_row = self._probes_in_a_row = 0
        self.recent.clear()
