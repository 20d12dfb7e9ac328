"""Replays a stream through a cache on a virtual clock, and counts what it saves and what it gets wrong.

    stream -> lookup -> hit | miss -> model's answer -> store

A hit is wrong in two ways. It is *false* if its answer was made for another question (or tenant), and *stale* if it was
made for this one, which has changed since. Only right hits save anything: a wrong answer is no saving.

A request is *common* if its tenant has asked its question before, in whatever words, and the answer made then is still
within its life: what a cache that recognises every paraphrase would hit. Which requests are common depends on the
stream and the lives alone, not on the cache that is replayed. It is *known* if even its canonical form was asked by its
tenant within the life of the answer made then: what a cache that never loses an entry would hit without any semantics.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from beast_ml.cache.entry import HitKind
from beast_ml.cache.replay.stream import Stream, StreamRequest

__all__ = ["Hit", "ReplayReport", "ReplayedCache", "replay"]

_HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Hit:
    """What a cache found for a request.

    Parameters
    ----------
    source
        Number of the request that the answer was made for.
    how
        Exact, normalised or semantic.
    tier
        Where it was found.
    made_at_s
        When the answer was made, in seconds of the stream.
    """

    source: int
    how: HitKind
    tier: str
    made_at_s: float


class ReplayedCache(Protocol):
    """What a cache must do to be replayed; it sees a request's tenant, text and kind, never its truth."""

    def lookup(self, request: StreamRequest, now_s: float) -> Hit | None:
        """Return what is found for a request."""
        ...

    def store(self, request: StreamRequest, now_s: float) -> None:
        """Keep the answer that the request was given; `Hit.source` is to name the request."""
        ...


@dataclass(frozen=True)
class ReplayReport:
    """What came of a replay.

    Parameters
    ----------
    n_requests, n_hits, n_false, n_stale
        Requests, hits, and the wrong ones among those.
    n_common, n_common_hits
        Common requests, and the right hits on them.
    n_known, n_known_hits
        Known requests, and the right hits on them; none where canonical forms were not given.
    n_common_served, n_known_served
        The hits on them, right or wrong.
    n_new
        Requests for questions that their tenant had never asked: nobody can hit them, or know of them in advance.
    n_first, n_first_hits, first_s
        Requests for known questions that are not common: the earlier answer's life is over; the right hits on them
        (what warming is for), and how long they waited altogether.
    saved_usd, saved_s, spent_usd, warmed_usd
        What right hits saved, and what the misses and warming cost.
    by_tier, by_kind_of_hit
        Hits.
    stale_by_kind
        Stale answers by kind of request.
    """

    n_requests: int
    n_hits: int
    n_false: int
    n_stale: int
    n_common: int
    n_common_hits: int
    n_known: int
    n_known_hits: int
    n_common_served: int
    n_known_served: int
    n_new: int
    n_first: int
    n_first_hits: int
    first_s: float
    saved_usd: float
    saved_s: float
    spent_usd: float
    warmed_usd: float
    by_tier: dict[str, int]
    by_kind_of_hit: dict[str, int]
    stale_by_kind: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return rates and counts as plain values."""
        hits = max(1, self.n_hits)
        return {
            "requests": self.n_requests,
            "hit_rate": self.n_hits / max(1, self.n_requests),
            "right_hit_rate": (self.n_hits - self.n_false - self.n_stale) / max(1, self.n_requests),
            "common_share": self.n_common / max(1, self.n_requests),
            "common_hit_rate": self.n_common_hits / max(1, self.n_common),
            "known_share": self.n_known / max(1, self.n_requests),
            "known_hit_rate": self.n_known_hits / max(1, self.n_known),
            "common_served_rate": self.n_common_served / max(1, self.n_common),
            "known_served_rate": self.n_known_served / max(1, self.n_known),
            "new_share": self.n_new / max(1, self.n_requests),
            "first_share": self.n_first / max(1, self.n_requests),
            "first_request_latency_s": self.first_s / max(1, self.n_first),
            "first_request_hit_rate": self.n_first_hits / max(1, self.n_first),
            "false_hit_rate": self.n_false / max(1, self.n_requests),
            "false_share_of_hits": self.n_false / hits,
            "stale_rate": self.n_stale / max(1, self.n_requests),
            "stale_share_of_hits": self.n_stale / hits,
            "saved_usd": self.saved_usd,
            "saved_share": self.saved_usd / max(1e-12, self.saved_usd + self.spent_usd + self.warmed_usd),
            "saved_s": self.saved_s,
            "spent_usd": self.spent_usd,
            "warmed_usd": self.warmed_usd,
            "tiers": {tier: n / hits for tier, n in sorted(self.by_tier.items())},
            "hits": {how: n / hits for how, n in sorted(self.by_kind_of_hit.items())},
            "stale_by_kind": dict(sorted(self.stale_by_kind.items())),
        }


def replay(
    stream: Stream,
    cache: ReplayedCache,
    life_s: Callable[[str], float],
    *,
    from_s: float = 0.0,
    each_hour: Callable[[float], float] | None = None,
    on_answer: Callable[[StreamRequest, StreamRequest | None, float], None] | None = None,
    answer_s: bool = False,
    canonical: Callable[[StreamRequest], Hashable | None] = lambda _: None,
) -> ReplayReport:
    """Return what a cache makes of a stream.

    Parameters
    ----------
    stream
        What is asked.
    cache
        Empty, or as another replay left it.
    life_s
        How long an answer of a kind is meant to be kept: what makes a request common.
    from_s
        Requests before this are replayed, but not counted: to compare caches when they are full.
    each_hour
        Called with the time at the start of each hour; returns the dollars that it spent on warming.
    on_answer
        Called at each miss with the request, the last one before it that was answered for the same question (None if
        there is none), and the time: what a deployment learns from when answers are made again.
    answer_s
        Whether an answer reaches the cache only when the model is done, so that requests meanwhile miss.
    canonical
        Returns a request's canonical form, tenant and all; None where it has none, as what bypasses the cache.
    """
    counts: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    hows: Counter[str] = Counter()
    stale: Counter[str] = Counter()
    money = dict.fromkeys(("saved", "seconds", "spent", "warmed", "first"), 0.0)
    made: dict[tuple[str, int], StreamRequest] = {}
    ideal_made_s: dict[tuple[str, int], float] = {}
    form_made_s: dict[Hashable, float] = {}
    under_way: deque[tuple[float, StreamRequest]] = deque()
    next_hour_s = 0.0
    for request in stream.requests:
        now_s = request.at_s
        while each_hour is not None and now_s >= next_hour_s:
            money["warmed"] += each_hour(next_hour_s)
            next_hour_s += _HOUR_S
        while under_way and under_way[0][0] <= now_s:
            done_s, answered = under_way.popleft()
            cache.store(answered, done_s)
        hit = cache.lookup(request, now_s)
        key = (request.tenant_id, request.question)
        last = made.get(key)
        is_new = key not in ideal_made_s
        common = not is_new and now_s - ideal_made_s[key] < life_s(request.kind)
        is_first = not is_new and not common
        if not common:
            ideal_made_s[key] = now_s
        form = canonical(request)
        known = form is not None and now_s < form_made_s.get(form, -inf) + life_s(request.kind)
        if form is not None and not known:
            form_made_s[form] = now_s
        source = None if hit is None else stream.requests[hit.source]
        is_false = source is not None and not request.asks_the_same_as(source)
        is_stale = False
        if hit is not None and source is not None and not is_false:
            is_stale = stream.version(source.question, hit.made_at_s) != request.version
        right = hit is not None and not is_false and not is_stale
        if hit is None:
            if on_answer is not None:
                on_answer(request, last, now_s)
            made[key] = request
            if answer_s:
                under_way.append((now_s + request.latency_s, request))
                if len(under_way) > 1 and under_way[-1][0] < under_way[-2][0]:
                    under_way = deque(sorted(under_way, key=lambda each: each[0]))
            else:
                cache.store(request, now_s)
        if now_s >= from_s:
            counts.update(
                requests=1,
                hits=hit is not None,
                false=is_false,
                stale=is_stale,
                common=common,
                common_hits=common and right,
                known=known,
                known_hits=known and right,
                common_served=common and hit is not None,
                known_served=known and hit is not None,
                new=is_new,
                first=is_first,
                first_hits=is_first and right,
            )
            if is_first and not right:
                money["first"] += request.latency_s
            if hit is None:
                money["spent"] += request.cost_usd
            else:
                tiers[hit.tier] += 1
                hows[hit.how] += 1
                stale[request.kind] += is_stale
            if right:
                money["saved"] += request.cost_usd
                money["seconds"] += request.latency_s
    return ReplayReport(
        n_requests=counts["requests"],
        n_hits=counts["hits"],
        n_false=counts["false"],
        n_stale=counts["stale"],
        n_common=counts["common"],
        n_common_hits=counts["common_hits"],
        n_known=counts["known"],
        n_known_hits=counts["known_hits"],
        n_common_served=counts["common_served"],
        n_known_served=counts["known_served"],
        n_new=counts["new"],
        n_first=counts["first"],
        n_first_hits=counts["first_hits"],
        first_s=money["first"],
        saved_usd=money["saved"],
        saved_s=money["seconds"],
        spent_usd=money["spent"],
        warmed_usd=money["warmed"],
        by_tier=dict(tiers),
        by_kind_of_hit=dict(hows),
        stale_by_kind={kind: n for kind, n in stale.items() if n},
    )
