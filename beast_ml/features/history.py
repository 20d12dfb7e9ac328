"""How each candidate model has done lately: shrunk, decayed means of what was known strictly before a request.

The same `History` makes the rows a router is trained on (`beast_ml.features.history_replay` drives it through a log)
and the rows it decides by, so that the two are equal to the bit.

A mean is kept for every model and statistic, over all requests and for each tenant and kind of request. With the
decayed sum S and weight W of its observations it is (S + k x prior) / (W + k): a tenant's or a kind's prior is the
mean over all requests, whose own prior is a constant. An observation's weight halves every ``half_life_s``, counted
until the newest observation of all: when nobody reports outcomes the means stay as they are.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError, UnknownModelError

__all__ = ["BY", "STATISTICS", "By", "History", "HistorySpec", "HistoryState", "MeansState", "Statistic", "to_us"]

Statistic = Literal["quality", "failure", "log_latency"]
"""What is remembered of a model's answers."""

By = Literal["tenant", "kind"]
"""Of whose requests."""

Observed = tuple[int, str, str, int, float]
"""(microseconds, tenant, kind, cell, value); heaps compare it, so ties in time are broken by content."""

STATISTICS: Final[tuple[Statistic, ...]] = ("quality", "failure", "log_latency")
"""All of `Statistic`."""

BY: Final[tuple[By, ...]] = ("tenant", "kind")
"""All of `By`."""

_ALL: Final = "all"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_LATENCY_S: Final = 1e-3


class HistorySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which means of the past are features, and how they forget.

    Parameters
    ----------
    models
        The m models whose outcomes are followed, sorted.
    statistics
        Of "quality", "failure" (rate of calls that failed) and "log_latency" (log of seconds).
    by
        Beside the means over all requests, means for the request's "tenant" and for its "kind".
    half_life_s
        After this many seconds an observation weighs half.
    prior_strength
        How many observations the prior of a mean weighs, > 0.
    prior_quality, prior_failure_rate, prior_latency_s
        What is believed of a model that was never tried.
    max_keys
        So many tenants, and so many kinds, are remembered: the last ones something was observed of.
    """

    models: tuple[str, ...]
    statistics: tuple[Statistic, ...] = STATISTICS
    by: tuple[By, ...] = BY
    half_life_s: float = 86_400.0
    prior_strength: float = 10.0
    prior_quality: float = 0.5
    prior_failure_rate: float = 0.05
    prior_latency_s: float = 1.0
    max_keys: int = 10_000

    def __post_init__(self) -> None:
        for name in ("half_life_s", "prior_strength", "prior_latency_s", "prior_quality", "prior_failure_rate"):
            # 1 and 1.0 are different JSON, hence different hashes of one spec
            msgspec.structs.force_setattr(self, name, float(getattr(self, name)))
        for name in ("half_life_s", "prior_strength", "prior_latency_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` == {value}, must be a finite number > 0")
        for name in ("prior_quality", "prior_failure_rate"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` == {value}, must be in 0..1")
        if self.max_keys < 1:
            raise ValueError(f"`max_keys` == {self.max_keys}, must be >= 1")
        if not self.models or list(self.models) != sorted(set(self.models)):
            raise ValueError(f"`models` == {self.models}, must be different names in sorted order")
        for name, allowed in (("statistics", STATISTICS), ("by", BY)):
            given = getattr(self, name)
            if given != tuple(known for known in allowed if known in given):
                raise ValueError(f"`{name}` == {given}, must be of {allowed}, each once and in this order")
        if not self.statistics:
            raise ValueError(f"`statistics` is empty, must have some of {STATISTICS}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the k features, in order."""
        return tuple(
            f"history_{level}_{statistic}={model}"
            for level in (_ALL, *self.by)
            for statistic in self.statistics
            for model in self.models
        )

    @property
    def dim(self) -> int:
        """The number k of features."""
        return (1 + len(self.by)) * len(self.statistics) * len(self.models)

    @property
    def prior(self) -> NDArray[np.float64]:
        """(statistics x models,) what is believed of a model that was never tried."""
        of = {
            "quality": self.prior_quality,
            "failure": self.prior_failure_rate,
            "log_latency": math.log(max(self.prior_latency_s, _MIN_LATENCY_S)),
        }
        return np.repeat([of[statistic] for statistic in self.statistics], len(self.models))


class MeansState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decayed means of one tenant, one kind, or all requests; a plain value.

    Parameters
    ----------
    level, key
        "all" and "", or "tenant" or "kind" and which one.
    newest_us
        Time of the newest observation, microseconds since 1970.
    sums, weights
        (statistics x models,) as of that time.
    """

    level: str
    key: str
    newest_us: int
    sums: tuple[float, ...]
    weights: tuple[float, ...]


class HistoryState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a `History` knows; numbers survive JSON to the bit.

    Parameters
    ----------
    means
        Those nothing was observed of for longest come first.
    pending
        Observations that are not in the means yet, because no request came after they were known.
    """

    means: tuple[MeansState, ...] = ()
    pending: tuple[Observed, ...] = ()


class _Means:
    """Decayed sums (row 0) and weights (row 1), as of the newest observation."""

    __slots__ = ("newest_us", "values")

    def __init__(self, newest_us: int, values: NDArray[np.float64]) -> None:
        self.newest_us = newest_us
        self.values = values

    def add(self, known_us: int, cell: int, value: float, half_life_us: float) -> None:
        weight = 1.0
        if known_us > self.newest_us:
            self.values *= 2.0 ** ((self.newest_us - known_us) / half_life_us)
            self.newest_us = known_us
        elif known_us < self.newest_us:  # reported late
            weight = 2.0 ** ((known_us - self.newest_us) / half_life_us)
        self.values[0, cell] += weight * value
        self.values[1, cell] += weight


class History:
    """What is known of each model's recent outcomes; changes with every observation. Threads may share it.

    An observation counts for a request only when it was known strictly before the request, whichever order the two
    are told in.

    Parameters
    ----------
    spec
        What is followed.
    state
        Where to go on from; default: nothing is known.

    Raises
    ------
    ValueError
        If the state is not of a history with this spec.

    Examples
    --------
    >>> noon = to_us(datetime(2026, 3, 1, 12, tzinfo=UTC))
    >>> history = History(HistorySpec(("large", "small"), statistics=("quality",), by=(), prior_strength=1.0))
    >>> history.observe("small", known_us=noon, quality=1.0)
    >>> history.features("acme", None, at_us=noon).tolist()
    [0.5, 0.5]
    >>> history.features("acme", None, at_us=noon + 1).tolist()
    [0.5, 0.75]
    """

    def __init__(self, spec: HistorySpec, state: HistoryState | None = None) -> None:
        self.spec = spec
        self._prior = spec.prior
        self._column = {name: j for j, name in enumerate(spec.models)}
        self._half_life_us = spec.half_life_s * 1e6
        self._lock = threading.Lock()
        # A dict keeps the order of insertion: the tenants and kinds nothing was observed of for longest come first.
        self._means: dict[str, dict[str, _Means]] = {level: {} for level in (_ALL, *spec.by)}
        state = state or HistoryState()
        for means in state.means:
            cells = (len(means.sums), len(means.weights))
            if means.level not in self._means or cells != self._prior.shape * 2:
                raise ValueError(f"the means of {means.level} {means.key!r} are not of this history's models")
            self._means[means.level][means.key] = _Means(means.newest_us, np.array([means.sums, means.weights]))
        newest_us = max((means.newest_us for means in state.means if means.level == _ALL), default=-math.inf)
        if any(means.newest_us > newest_us for means in state.means):
            raise ValueError("some tenant or kind has newer observations than all requests together")
        self._pending = list(state.pending)
        if any(not 0 <= cell < len(self._prior) for _, _, _, cell, _ in self._pending):
            raise ValueError("a pending observation is not of this history's models")
        heapq.heapify(self._pending)

    def observe(
        self,
        model: str,
        *,
        known_us: int,
        tenant: str = "default",
        kind: str | None = None,
        quality: float | None = None,
        failed: bool | None = None,
        latency_s: float | None = None,
    ) -> None:
        """Take note of what became known of one model's answer; None is what did not.

        Parameters
        ----------
        model
            The model that was called.
        known_us
            When it became known, microseconds since 1970.
        tenant, kind
            Of the request; kind None or "" is no kind.
        quality
            0..1.
        failed
            Whether the call failed.
        latency_s
            Seconds to the whole answer; less than a millisecond counts as one.

        Raises
        ------
        UnknownModelError
            If the model is none of the spec's.
        InputError
            If a number is out of range.
        """
        column = self._column.get(model)
        if column is None:
            raise UnknownModelError(f"no candidate {model!r}; the pool is {', '.join(self.spec.models)}")
        if quality is not None and not 0 <= quality <= 1:
            raise InputError(f"`quality` == {quality}, must be in 0..1")
        if latency_s is not None and not 0 <= latency_s < math.inf:
            raise InputError(f"`latency_s` == {latency_s}, must be a finite number >= 0")
        values = {
            "quality": quality,
            "failure": failed,
            "log_latency": None if latency_s is None else math.log(max(latency_s, _MIN_LATENCY_S)),
        }
        with self._lock:
            for place, statistic in enumerate(self.spec.statistics):
                value = values[statistic]
                if value is not None:
                    cell = place * len(self.spec.models) + column
                    heapq.heappush(self._pending, (known_us, tenant, kind or "", cell, float(value)))

    def features(self, tenant: str, kind: str | None, *, at_us: int) -> NDArray[np.float32]:
        """Return the (k,) features of a request received at a time (microseconds since 1970)."""
        with self._lock:
            self._advance(at_us)
            overall = self._shrunk(_ALL, "", self._prior)
            keys = {"tenant": tenant, "kind": kind or ""}
            parts = (self._shrunk(level, keys[level], overall) for level in self.spec.by)
            return np.concatenate([overall, *parts], dtype=np.float32, casting="same_kind")

    def advance(self, at_us: int) -> None:
        """Work in what was known strictly before a time, as a request received then would."""
        with self._lock:
            self._advance(at_us)

    def state(self) -> HistoryState:
        """Return all that is known, as a value to store; `History(spec, state)` goes on from it to the bit."""
        with self._lock:
            return HistoryState(tuple(self._stored()), tuple(sorted(self._pending)))

    def _advance(self, at_us: int) -> None:
        pending = self._pending
        while pending and pending[0][0] < at_us:
            known_us, tenant, kind, cell, value = heapq.heappop(pending)
            keys = {_ALL: "", "tenant": tenant, "kind": kind}
            for level, known in self._means.items():
                key = keys[level]
                if level == "kind" and not key:
                    continue
                means = known.pop(key, None) or _Means(known_us, np.zeros((2, len(self._prior))))
                means.add(known_us, cell, value, self._half_life_us)
                known[key] = means
                if len(known) > self.spec.max_keys:
                    del known[next(iter(known))]

    def _shrunk(self, level: str, key: str, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        means = self._means[level].get(key)
        if means is None:
            return prior
        newest_us = self._means[_ALL][""].newest_us  # never before that of a tenant or a kind
        sums, weights = means.values * 2.0 ** ((means.newest_us - newest_us) / self._half_life_us)
        strength = self.spec.prior_strength
        return np.asarray((sums + strength * prior) / (weights + strength))

    def _stored(self) -> Iterator[MeansState]:
        for level, known in self._means.items():
            for key, means in known.items():
                sums, weights = means.values.tolist()
                yield MeansState(level, key, means.newest_us, tuple(sums), tuple(weights))


def to_us(at: datetime) -> int:
    """Return whole microseconds since 1970.

    Raises
    ------
    InputError
        If the time has no zone.
    """
    if at.tzinfo is None:
        raise InputError(f"{at} has no time zone, must be aware: add tzinfo=datetime.UTC")
    return (at - _EPOCH) // timedelta(microseconds=1)
