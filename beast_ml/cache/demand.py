"""From what was asked to what may be warmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from beast_ml.cache.forecast import DemandHistory, Forecast, fit_forecast
from beast_ml.cache.lifetimes import Lifetimes
from beast_ml.cache.normalise import normalised_text
from beast_ml.cache.warming import WarmingCandidate, expected_hits

__all__ = ["AUDIT", "WARMING", "AskedRequest", "warming_candidates"]

WARMING: Final = "cache-warming-"
"""How sessions begin in which the cache asks on its own: no demand is to be learnt from them."""

AUDIT: Final = "cache-audit"
"""The app of a judge's calls: nobody learns from them as if they were a client's."""

_LEAST: Final = 3  # of requests for a question, to say anything of its future


class AskedRequest(msgspec.Struct, frozen=True):
    """A request of the past.

    Parameters
    ----------
    at_s
        When, in seconds since the epoch.
    tenant_id, text, kind
        Who asked what.
    cost_usd, latency_s
        Of the model's answer; None where it came from the cache, or is not known.
    """

    at_s: float
    tenant_id: str
    text: str
    kind: str | None = None
    cost_usd: float | None = None
    latency_s: float | None = None


def warming_candidates(
    requests: Sequence[AskedRequest],
    lifetimes: Lifetimes,
    now_s: float,
    n_hours: int = 24,
    is_cached: Callable[[str, str], bool] = lambda _tenant, _text: False,
) -> tuple[list[WarmingCandidate], Forecast]:
    """Return the questions that tenants asked repeatedly, with what warming each would gain, and the forecast.

    A question is a tenant's own: no request of one tenant warms the cache of another, who would pay for it and might
    learn from it.

    Parameters
    ----------
    requests
        What was asked.
    lifetimes
        How long answers are kept.
    now_s
        Seconds since the epoch; only what was asked before counts.
    n_hours
        How far ahead demand counts, where answers last that long.
    is_cached
        Whether a tenant's text would be hit anyway.

    Raises
    ------
    NotEnoughDataError
        If nothing was asked three times.
    """
    past = [each for each in requests if each.at_s < now_s]
    keys = [f"{each.tenant_id}\n{normalised_text(each.text)}" for each in past]
    history = DemandHistory.of_requests([each.at_s for each in past], keys, until_s=_next_hour(now_s), least=_LEAST)
    forecast = fit_forecast(history, n_hours)
    of_key: dict[str, list[AskedRequest]] = {key: [] for key in history.keys}
    for key, each in zip(keys, past, strict=True):
        if key in of_key:
            of_key[key].append(each)
    typical_usd = _median([each.cost_usd for each in past])
    typical_s = _median([each.latency_s for each in past])
    lives_s = [lifetimes.ttl_s(of_key[key][-1].kind) for key in history.keys]
    gains = expected_hits(forecast, lives_s, 1.0 - lifetimes.stale_share)
    found = []
    for key, life_s, gain in zip(history.keys, lives_s, gains, strict=True):
        asked = of_key[key]
        text = Counter(each.text for each in asked).most_common(1)[0][0]
        if life_s > 0.0 and not is_cached(asked[-1].tenant_id, text):
            cost_usd = _median([each.cost_usd for each in asked], typical_usd)
            latency_s = _median([each.latency_s for each in asked], typical_s)
            found.append(WarmingCandidate(key, asked[-1].tenant_id, (text,), cost_usd, (float(gain),), latency_s))
    return found, forecast


def _median(values: Sequence[float | None], otherwise: float = 0.0) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else otherwise


def _next_hour(now_s: float) -> float:
    """Return the end of the hour that runs: its requests count, though more may come."""
    return float(np.ceil(now_s / 3_600.0) * 3_600.0)
