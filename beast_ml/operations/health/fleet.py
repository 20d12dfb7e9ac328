"""Every endpoint's health, as one worker sees it: which models may be called, and where."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import InputError
from beast_ml.events import events
from beast_ml.operations.health.balance import Balancer, Seat
from beast_ml.operations.health.breaker import Breaker, BreakerSettings, BreakerState
from beast_ml.operations.health.nearness import RegionDistances, near_seats

__all__ = ["FAULTS", "EndpointHealth", "FleetHealth"]

FAULTS: Final[frozenset[ErrorKind]] = frozenset({"provider", "timeout", "rate_limit", "auth"})
"""Failures that are the endpoint's own."""

_ANSWERS: Final[frozenset[ErrorKind]] = frozenset({"context_length", "content_filter", "invalid_request"})
"""The endpoint did what it should, and is alive; other kinds say nothing about it."""

_TOLD_FAULTS: Final[frozenset[ErrorKind]] = frozenset({"provider", "timeout"})
"""What clients tell that may mask a model: keys that are refused and rates that are limited are their own."""

_TOLD_TRIAL_S: Final = 2.0
_TOLD_HALF_OPEN_S: Final = 30.0
_TENANT_ACTIVE_S: Final = 60.0
_TRIAL_ANSWERS_S: Final = 1.0
_NEAR_S: Final = 0.1

_NO_ADDRESS: Final = "http://no-address.invalid"


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one endpoint.

    Parameters
    ----------
    name, model, region
        Of the endpoint.
    state
        Of its breaker; an endpoint that asked to be left alone for a while is open, too.
    may_be_called
        Whether one more call is let through now.
    cause
        Why it opened the last time; empty: it never did.
    in_flight
        Calls that have not ended.
    n_calls, failure_rate, slow_rate
        Calls of the last seconds, and what share of them failed or was slow.
    latency_s
        What is expected of the next call; None: never seen.
    tries_again_in_s
        Seconds until an open one is tried; 0: it may be called.
    """

    name: str
    model: str
    region: str
    state: BreakerState
    may_be_called: bool
    cause: str
    in_flight: int
    n_calls: int
    failure_rate: float
    slow_rate: float
    latency_s: float | None
    tries_again_in_s: float


class _LatestTwo:
    """The two tenants of whom something was last heard: enough to tell whether there is more than one."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: list[tuple[str, float]] = []

    def heard(self, tenant: str, now: float) -> None:
        self._heard = [(tenant, now), *(each for each in self._heard if each[0] != tenant)][:2]

    def forget(self, tenant: str) -> None:
        self._heard = [each for each in self._heard if each[0] != tenant]

    def another_since(self, tenant: str, moment: float) -> bool:
        return any(name != tenant and at >= moment for name, at in self._heard)


class _Watched(Seat):
    """An endpoint with all that is kept of it."""

    __slots__ = ("alive_at", "allowed", "breaker", "endpoint", "failing", "state")

    def __init__(
        self, endpoint: Endpoint, settings: BreakerSettings, clock: Callable[[], float], distance_s: float
    ) -> None:
        super().__init__(clock(), distance_s)
        self.endpoint = endpoint
        self.breaker = Breaker(settings, clock=clock)
        self.allowed = True
        self.failing = _LatestTwo()
        self.alive_at = -math.inf
        self.state: BreakerState = "closed"


class FleetHealth:
    """The endpoints of all models.

    A model without an endpoint, as all are where a deployment only routes, has an implicit one that bears the model's
    name: what clients tell of their own calls is its traffic. It cannot be called from here, so `pick` never returns
    it. Clients can be wrong, or lie: where more than one tenant is active, failures of one alone mask nothing, and
    what clients tell never masks the last models there are.

    Parameters
    ----------
    endpoints
        Where models answer.
    models
        The candidates.
    settings
        Of every endpoint's breaker.
    clock
        Monotonic seconds.
    rng
        Of the balance between a model's endpoints.
    distances
        Of regions: a model's calls stay in the nearest one while that is no slower than the next, and may be called.
        None: all are as near.

    Raises
    ------
    InputError
        If two endpoints bear the same name.

    Examples
    --------
    >>> small = [Endpoint("a", "small", "http://a"), Endpoint("b", "small", "http://b")]
    >>> fleet = FleetHealth(small, ["small", "large"])
    >>> [fleet.pick("small").name for _ in range(4)]
    ['a', 'b', 'a', 'b']
    >>> for _ in range(5):
    ...     fleet.finished("large", "provider", 0.1)
    >>> sorted(fleet.masked_models())
    ['large']
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint] = (),
        models: Sequence[str] = (),
        *,
        settings: BreakerSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        distances: RegionDistances | None = None,
    ) -> None:
        self._settings = BreakerSettings() if settings is None else settings
        self._told_settings = msgspec.structs.replace(
            self._settings,
            trial_s=min(self._settings.trial_s, _TOLD_TRIAL_S),
            half_open_s=min(self._settings.half_open_s, _TOLD_HALF_OPEN_S),
        )
        self._active = _LatestTwo()
        self._clock = clock
        self._rng = random.Random() if rng is None else rng  # noqa: S311  nothing secret
        self._by_name: dict[str, _Watched] = {}
        self._by_model: dict[str, list[_Watched]] = {}
        self._balancers: dict[str, Balancer] = {}
        self._implicit: set[str] = set()
        self._distances = RegionDistances() if distances is None else distances
        self._apart: dict[str, tuple[float, float]] = {}
        """Models whose endpoints are not all as far: how far those are that are called now, and until when they are."""
        self._masked: frozenset[str] = frozenset()
        self._looks_at = math.inf
        for endpoint in endpoints:
            if endpoint.name in self._by_name:
                raise InputError(f"two endpoints are named {endpoint.name!r}: each needs a name of its own")
            self._add(endpoint)
        self.follow(models)

    def follow(self, models: Sequence[str]) -> None:
        """Take the candidates of a new router; endpoints that stay keep what is known of them."""
        for model in [name for name in self._implicit if name not in models]:
            self._implicit.remove(model)
            del self._by_name[model], self._by_model[model], self._balancers[model]
        for model in models:
            if model in self._by_model:
                continue
            if model in self._by_name:
                # What clients tell of the model would be taken for the endpoint's; it goes unwatched instead.
                events.error("endpoint.named_as_a_model", endpoint=model, of=self._by_name[model].endpoint.model)
                continue
            self._implicit.add(model)
            self._add(Endpoint(model, model, _NO_ADDRESS))
        self._mask_again()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that have an address."""
        return tuple(each.endpoint for each in self._by_name.values() if each.endpoint.model not in self._implicit)

    def masked_models(self) -> frozenset[str]:
        """Return the models none of whose endpoints may be called now; the same object while nothing changes.

        When that would be all models, those that clients call themselves are left out: nobody has seen that they fail.
        """
        if self._clock() >= self._looks_at:
            self._look_at_all()
        return self._masked

    def tried_again_in_s(self, model: str) -> float:
        """Return in how many seconds a model that is masked is tried again; 0: it may be called now.

        Where a trial of it is under way it is back as soon as that has gone well: said to be a second.
        """
        now = self._clock()
        breakers = [each.breaker for each in self._by_model.get(model, ())]
        return min((0.0 if each.allows() else _wait_s(each, now) for each in breakers), default=0.0)

    def pick(self, model: str, exclude: frozenset[str] = frozenset()) -> Endpoint | None:
        """Return where a model's next call should go; None: nowhere now.

        Parameters
        ----------
        model
            Whose endpoint.
        exclude
            Endpoints that were tried already.
        """
        watched = self._by_model.get(model)
        if watched is None or model in self._implicit:
            return None
        now = self._clock()
        if now >= self._looks_at:
            self._look_at_all()
        ready = [each for each in watched if each.allowed and each.endpoint.name not in exclude]
        if not ready:
            return None
        if model in self._apart:
            ready = self._near(model, ready, now, keep=not exclude)
        return ready[self._balancers[model].choose(ready, now)].endpoint

    def started(self, endpoint: str) -> None:
        """Count a call that is sent."""
        each = self._by_name.get(endpoint)
        if each is None:
            return
        each.in_flight += 1
        if each.breaker.started():
            self._changed(each)

    def finished(
        self, endpoint: str, error_kind: ErrorKind | None, latency_s: float | None, retry_after_s: float | None = None
    ) -> None:
        """Learn from a call that has ended.

        Parameters
        ----------
        endpoint
            Where it was sent; one that is not known (any more) is passed over.
        error_kind
            What went wrong; what is not the endpoint's fault counts as an answer, or as nothing.
        latency_s
            Seconds from sending to the end; None with no error: given up by the client, which says nothing.
        retry_after_s
            What a failed one asked for.
        """
        each = self._by_name.get(endpoint)
        if each is None:
            return
        if each.in_flight:
            each.in_flight -= 1
        breaker, now = each.breaker, self._clock()
        began_at = None if latency_s is None else now - latency_s
        if error_kind is None and latency_s is not None:
            each.alive_at = now
            slow = each.latency.observe(latency_s, now, trial=breaker.state != "closed")
            changed = breaker.succeeded(slow=slow, began_at=began_at)
        elif error_kind in FAULTS:
            assert error_kind is not None  # noqa: S101  None is no fault
            changed = breaker.failed(began_at=began_at, retry_after_s=retry_after_s, cause=error_kind)
        elif error_kind in _ANSWERS:
            each.alive_at = now
            changed = breaker.succeeded(began_at=began_at)
        else:
            changed = breaker.forgotten()
        if changed:
            self._changed(each)

    def taken(self, model: str, tenant: str | None = None) -> None:
        """Take note that a request was decided for a model that clients call themselves.

        When its breaker is half-open that is a trial, and other requests wait for what is told of it, for seconds:
        a trial of which nothing is told counts neither way.
        """
        if tenant is not None and self._implicit:
            self._active.heard(tenant, self._clock())
        if model in self._implicit:
            each = self._by_name[model]
            if each.state != "closed" and each.breaker.started():
                self._changed(each)

    def told(self, model: str, error_kind: ErrorKind | None, latency_s: float | None, *, tenant: str) -> None:
        """Learn what a client tells of a call that it made itself; of a model we call, it says nothing new.

        Parameters
        ----------
        model
            Whom it called.
        error_kind
            What went wrong; only what is plainly the provider's fault counts.
        latency_s
            Seconds that it took.
        tenant
            Whose client. Its failures count where no other tenant was active in the last minute, or another has met
            failures of the model, too.
        """
        if model not in self._implicit:
            return
        each, now = self._by_name[model], self._clock()
        self._active.heard(tenant, now)
        breaker = each.breaker
        began_at = None if latency_s is None else now - latency_s
        if error_kind in _TOLD_FAULTS:
            each.failing.heard(tenant, now)
            since = now - _TENANT_ACTIVE_S
            if self._active.another_since(tenant, since) and not each.failing.another_since(tenant, since):
                changed = breaker.forgotten()
            else:
                changed = breaker.failed(began_at=began_at, cause=error_kind or "")
        elif error_kind is None or error_kind in _ANSWERS:
            each.failing.forget(tenant)
            each.alive_at = now
            if error_kind is None and latency_s is not None:
                each.latency.observe(latency_s, now, trial=breaker.state != "closed")  # to be shown, not judged by
            changed = breaker.succeeded(began_at=began_at)
        else:
            changed = breaker.forgotten()
        if changed:
            self._changed(each)

    def probed(self, endpoint: str, error_kind: ErrorKind | None, retry_after_s: float | None = None) -> None:
        """Learn from an active probe."""
        each = self._by_name.get(endpoint)
        if each is None:
            return
        if error_kind is None or error_kind not in FAULTS:
            changed = each.breaker.probe_succeeded()
        else:
            changed = each.breaker.probe_failed(cause=f"probe:{error_kind}", retry_after_s=retry_after_s)
        if changed:
            self._changed(each)

    def hinted(self, endpoint: str) -> None:
        """Take note that another host found an endpoint out; see `Breaker.hinted`."""
        each = self._by_name.get(endpoint)
        if each is not None:
            each.breaker.hinted()

    def seconds_since_answer(self, endpoint: str) -> float:
        """Return how long ago a call was answered; infinite where none was yet."""
        each = self._by_name.get(endpoint)
        return math.inf if each is None else self._clock() - each.alive_at

    def state(self, endpoint: str) -> BreakerState:
        """Return the state of an endpoint's breaker."""
        each = self._by_name.get(endpoint)
        return "closed" if each is None else each.breaker.state

    def rests_for_s(self, endpoint: str) -> float:
        """Return for how long an endpoint has asked to be left alone from now; 0: not at all."""
        each = self._by_name.get(endpoint)
        return 0.0 if each is None else max(0.0, each.breaker.rests_until - self._clock())

    def snapshot(self) -> list[EndpointHealth]:
        """Return what is known of every endpoint, implicit ones included."""
        return [self._health(each, self._clock()) for each in self._by_name.values()]

    def _near(self, model: str, ready: list[_Watched], now: float, *, keep: bool) -> list[_Watched]:
        """Return those of the region that is to be called; which that is, is looked at ten times a second."""
        distance_s, until = self._apart[model]
        if now < until:
            near = [each for each in ready if each.distance_s == distance_s]
            if near:
                return near
        near = near_seats(ready, now)
        if keep:
            self._apart[model] = near[0].distance_s, now + _NEAR_S
        return near

    def _health(self, each: _Watched, now: float) -> EndpointHealth:
        breaker, recent = each.breaker, each.breaker.recent
        recent.forget_before(now)
        may_be_called = breaker.allows()
        return EndpointHealth(
            name=each.endpoint.name,
            model=each.endpoint.model,
            region=each.endpoint.region,
            state=breaker.state,
            may_be_called=may_be_called,
            cause=breaker.cause,
            in_flight=each.in_flight,
            n_calls=recent.n_calls,
            failure_rate=recent.failure_rate,
            slow_rate=recent.slow_rate,
            latency_s=each.latency.expected_s,
            tries_again_in_s=0.0 if may_be_called else max(0.0, breaker.changes_at() - now),
        )

    def _add(self, endpoint: Endpoint) -> None:
        settings = self._told_settings if endpoint.model in self._implicit else self._settings
        each = _Watched(endpoint, settings, self._clock, self._distances.of(endpoint.region))
        self._by_name[endpoint.name] = each
        seats = self._by_model.setdefault(endpoint.model, [])
        seats.append(each)
        if each.distance_s != seats[0].distance_s:
            self._apart[endpoint.model] = 0.0, -math.inf
        self._balancers.setdefault(endpoint.model, Balancer(self._rng))

    def _changed(self, each: _Watched) -> None:
        """Take note of what one breaker allows now, and of when time may change it."""
        allowed = each.breaker.allows()
        self._looks_at = min(self._looks_at, each.breaker.changes_at())
        self._say(each)
        if allowed != each.allowed:
            each.allowed = allowed
            self._mask_again()

    def _look_at_all(self) -> None:
        self._looks_at = math.inf
        for each in self._by_name.values():
            self._changed(each)

    def _mask_again(self) -> None:
        masked = frozenset(
            model for model, watched in self._by_model.items() if not any(each.allowed for each in watched)
        )
        if len(masked) == len(self._by_model):
            masked -= self._implicit  # better to ask whoever was said to be out than to ask nobody
        if masked != self._masked:
            self._masked = masked

    def _say(self, each: _Watched) -> None:
        state = each.breaker.state
        if state == each.state:
            return
        each.state = state
        where = {"endpoint": each.endpoint.name, "model": each.endpoint.model}
        if state == "open":
            wait_s = max(0.0, each.breaker.changes_at() - self._clock())
            events.warning("endpoint.opened", **where, cause=each.breaker.cause, tries_again_in_s=round(wait_s, 1))
        else:
            events.info("endpoint.closed" if state == "closed" else "endpoint.half_open", **where)


def _wait_s(breaker: Breaker, now: float) -> float:
    wait_s = max(0.0, breaker.changes_at() - now)
    return min(wait_s, _TRIAL_ANSWERS_S) if breaker.state == "half_open" and now >= breaker.rests_until else wait_s
