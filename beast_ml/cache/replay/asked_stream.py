"""A log as a stream: what was asked is known, when its answers change is drawn from what is known of lives.

Two requests of a tenant ask the same where their canonical forms are equal; which other ones do, no log says.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.demand import AskedRequest
from beast_ml.cache.lifetimes import KindLife, Lifetimes
from beast_ml.cache.normalise import normalised_text
from beast_ml.cache.replay.stream import Stream, StreamRequest
from beast_ml.errors import NotEnoughDataError

__all__ = ["lives_at", "stream_of_asked"]

_DAY_S: Final = 86_400.0


def stream_of_asked(
    asked: Sequence[AskedRequest], lifetimes: Lifetimes, rng: np.random.Generator, source: str = "a log"
) -> Stream:
    """Return the requests of a log as a stream; costs and latencies that are not known are the median ones.

    Parameters
    ----------
    asked
        In order of time.
    lifetimes
        At what rate answers of a kind change.
    rng
        Draws when they do: a Poisson process for each question.
    source
        Where they come from.

    Raises
    ------
    NotEnoughDataError
        If no request has a cost, or there is none at all.
    """
    costs = [each.cost_usd for each in asked if each.cost_usd is not None]
    if not costs:
        raise NotEnoughDataError(
            f"none of {len(asked)} requests of {source} has a cost: nothing is saved that is known"
        )
    latencies = [each.latency_s for each in asked if each.latency_s is not None]
    typical_usd, typical_s = float(np.median(costs)), float(np.median(latencies)) if latencies else 0.0
    start_s = asked[0].at_s
    length_s = asked[-1].at_s - start_s + 1.0
    places: dict[tuple[str, str], int] = {}
    changes: list[NDArray[np.float64]] = []
    requests = []
    for number, each in enumerate(asked):
        kind = each.kind or ""
        form = each.tenant_id, normalised_text(each.text)
        if form not in places:
            places[form] = len(places)
            expected = _hazard_per_s(lifetimes, kind) * length_s
            changes.append(np.sort(rng.uniform(0.0, length_s, rng.poisson(expected))))
        question, at_s = places[form], each.at_s - start_s
        requests.append(
            StreamRequest(
                number=number,
                at_s=at_s,
                tenant_id=each.tenant_id,
                text=each.text,
                kind=kind,
                question=question,
                version=int(np.searchsorted(changes[question], at_s, side="right")),
                form="usual",
                cost_usd=typical_usd if each.cost_usd is None else each.cost_usd,
                latency_s=typical_s if each.latency_s is None else each.latency_s,
            )
        )
    return Stream("log", length_s / _DAY_S, source, tuple(requests), tuple(changes))


def lives_at(lifetimes: Lifetimes, stale_share: float, max_s: float) -> Lifetimes:
    """Return the same lives for another share of stale answers and another bound, at constant rates of change."""
    ttl = {kind: -log1p(-stale_share) / _hazard_per_s(lifetimes, kind) for kind in [*lifetimes.kinds, ""]}
    kinds = {kind: _with_ttl(each, min(ttl[kind], max_s)) for kind, each in lifetimes.kinds.items()}
    return Lifetimes(
        stale_share=stale_share, kinds=kinds, other_s=min(ttl[""], max_s), min_s=lifetimes.min_s, max_s=max_s
    )


def _hazard_per_s(lifetimes: Lifetimes, kind: str) -> float:
    known = lifetimes.kinds.get(kind)
    if known is None:  # what its life was chosen for
        return -log1p(-lifetimes.stale_share) / lifetimes.other_s
    return known.hazard_per_day / _DAY_S


def _with_ttl(life: KindLife, ttl_s: float) -> KindLife:
    return KindLife(life.n, life.hazard_per_day, life.low, life.high, ttl_s)
