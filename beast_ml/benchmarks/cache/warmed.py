"""Replays a stream with a cache that is warmed each hour, beside one that is not.

The warmer sees what a deployment sees: which texts its tenants asked, when and at what cost. Every hour it forecasts
the demand, and makes answers in advance for what is likely to be asked and is not in the cache, within its budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from beast_ml.benchmarks.cache.plain_cache import PlainCache
from beast_ml.cache.forecast import DemandHistory, fit_forecast
from beast_ml.cache.replay.replay import Hit, ReplayedCache, ReplayReport, replay
from beast_ml.cache.replay.stream import Stream, StreamRequest
from beast_ml.cache.warming import WarmingCandidate, execute_plan, expected_hits, plan_warming
from beast_ml.errors import NotEnoughDataError

__all__ = ["WarmableCache", "WarmedCache", "compare_warming"]

_HOUR_S = 3_600.0
_LEAST_REQUESTS = 3
_LEAST_HOURS = 24


class WarmableCache(ReplayedCache, Protocol):
    """What a cache must tell its warmer."""

    def key(self, request: StreamRequest) -> str | None:
        """Return what equal requests have in common, tenant and all; None where nothing is ever kept."""
        ...

    def expires_at(self, request: StreamRequest) -> float:
        """Return when what would be found for a request expires; 0 if nothing is."""
        ...


class WarmedCache:
    """A cache and its warmer.

    Parameters
    ----------
    cache
        What is warmed.
    life_s
        How long an answer of a kind is kept.
    budget_usd
        What warming may cost an hour.
    still_right
        Probability that an answer is right within its life.
    horizon_h
        How far ahead demand counts.
    """

    def __init__(
        self,
        cache: WarmableCache,
        life_s: Callable[[str], float],
        budget_usd: float,
        still_right: float = 0.95,
        horizon_h: int = 6,
    ) -> None:
        self._cache = cache
        self._life_s, self._budget_usd = life_s, budget_usd
        self._still_right, self._horizon_h = still_right, horizon_h
        self._at_s: list[float] = []
        self._keys: list[str] = []
        self._latest: dict[str, StreamRequest] = {}
        self._chosen: tuple[float, float] | None = None

    def lookup(self, request: StreamRequest, now_s: float) -> Hit | None:
        """Return what the cache finds, and remember that it was asked."""
        key = self._cache.key(request)
        if key is not None:
            self._at_s.append(now_s)
            self._keys.append(key)
            self._latest[key] = request
        return self._cache.lookup(request, now_s)

    def store(self, request: StreamRequest, now_s: float) -> None:
        """Keep an answer."""
        self._cache.store(request, now_s)

    def warm(self, now_s: float) -> float:
        """Plan and make what is worth it; return what it cost."""
        try:
            history = DemandHistory.of_requests(self._at_s, self._keys, until_s=now_s, least=_LEAST_REQUESTS)
        except NotEnoughDataError:
            return 0.0
        if len(history.counts) < _LEAST_HOURS:
            return 0.0
        if self._chosen is None or now_s // _HOUR_S % 24 == 0:
            found = fit_forecast(history, 1)
            self._chosen = found.half_life_h, found.strength
        forecast = fit_forecast(history, self._horizon_h, *self._chosen)
        lives = [self._life_s(self._latest[key].kind) for key in forecast.keys]
        gains = expected_hits(forecast, lives, self._still_right)
        candidates = []
        for key, gain, life_s in zip(forecast.keys, gains, lives, strict=True):
            latest = self._latest[key]
            if life_s > 0.0 and self._cache.expires_at(latest) < now_s + min(_HOUR_S, life_s / 2):
                candidates.append(
                    WarmingCandidate(key, latest.tenant_id, (latest.text,), latest.cost_usd, (float(gain),))
                )
        plan = plan_warming(candidates, self._budget_usd, least_gain=0.2)

        def answer(planned_key: str) -> float:
            request = self._latest[planned_key]
            self._cache.store(request, now_s)
            return request.cost_usd

        return execute_plan(plan, lambda planned: answer(planned.key)).spent_usd


def compare_warming(
    stream: Stream, life_s: Callable[[str], float], budget_usd: float, from_s: float, lost_at_s: float | None = None
) -> tuple[ReplayReport, ReplayReport]:
    """Return what came of the stream without and with warming.

    Parameters
    ----------
    stream
        What is asked.
    life_s
        How long an answer of a kind is kept.
    budget_usd
        What warming may cost an hour.
    from_s
        Requests before this are not counted.
    lost_at_s
        When the cache is lost altogether, at a full hour.
    """
    reports = []
    for hourly_usd in (0.0, budget_usd):
        plain = PlainCache(life_s)
        warmed = WarmedCache(plain, life_s, hourly_usd)

        def each_hour(
            now_s: float, plain: PlainCache = plain, warmed: WarmedCache = warmed, hourly_usd: float = hourly_usd
        ) -> float:
            if now_s == lost_at_s:
                plain.clear()
            return warmed.warm(now_s) if hourly_usd and now_s >= from_s else 0.0

        reports.append(replay(stream, warmed, life_s, from_s=from_s, each_hour=each_hour))
    return reports[0], reports[1]
