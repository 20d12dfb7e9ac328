from collections import OrderedDict
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from beast_ml.cache.entry import CacheKey
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.tier_conformance import START, MakeTier, TierConformance


class TestMemoryTier(TierConformance):
    n_lookups = 10_000

    @pytest.fixture
    def make_tier(self) -> MakeTier:
        def make(clock: Callable[[], float], *, max_entries: int | None = None, max_bytes: int | None = None) -> Tier:
            # Two tenants share it: each may have half.
            limits = MemoryLimits(
                max_entries=2 * (max_entries or 10_000), max_bytes=2 * (max_bytes or 100_000_000), tenant_share=0.5
            )
            return MemoryTier(limits, clock=clock, rng=np.random.default_rng(0))

        return make


def asked(tier: MemoryTier, key: CacheKey, times: int) -> None:
    for _ in range(times):
        tier.get(key.exact)


def tier_of(limits: MemoryLimits) -> MemoryTier:
    return MemoryTier(limits, clock=lambda: START, rng=np.random.default_rng(0))


def test_what_is_asked_for_often_drives_out_what_is_not_and_never_the_reverse() -> None:
    tier = tier_of(MemoryLimits(max_entries=4))
    old = [cache_entry(f"old {n}", cache_key("acme", f"old {n}"), START) for n in range(4)]
    tier.put_many(old)
    for entry in old:
        asked(tier, entry.key, 3)
    once, often = cache_key("acme", "once"), cache_key("acme", "often")
    asked(tier, once, 1)
    tier.put_many([cache_entry("once", once, START)])
    assert set(tier.by_id(["once", *(entry.entry_id for entry in old)])) == {entry.entry_id for entry in old}
    asked(tier, often, 5)
    tier.put_many([cache_entry("often", often, START)])
    assert "often" in tier.by_id(["often"])
    assert tier.usage()["acme"][0] == 4
    assert (tier.n_rejected, tier.n_evicted) == (1, 1)


def test_what_is_dear_to_make_drives_out_what_is_asked_for_as_often() -> None:
    tier = tier_of(MemoryLimits(max_entries=4))
    cheap = [cache_entry(f"{n}", cache_key("acme", f"{n}"), START, cost_usd=0.001) for n in range(4)]
    dear = cache_entry("dear", cache_key("acme", "dear"), START, cost_usd=0.01)
    slow = cache_entry("slow", cache_key("acme", "slow"), START, latency_s=20.0)
    tier.put_many(cheap)
    for entry in (*cheap, dear, slow):
        asked(tier, entry.key, 3)
    tier.put_many([dear, slow])
    assert set(tier.by_id(["dear", "slow"])) == {"dear", "slow"}


def test_a_large_entry_must_be_worth_all_that_would_leave_for_it() -> None:
    tier = tier_of(MemoryLimits(max_bytes=50_000))
    small = [cache_entry(f"{n}", cache_key("acme", f"{n}"), START, cost_usd=0.001) for n in range(20)]
    tier.put_many(small)
    for entry in small:
        asked(tier, entry.key, 2)
    large = cache_entry("large", cache_key("acme", "large"), START, answer=bytes(40_000), cost_usd=0.003)
    asked(tier, large.key, 2)
    tier.put_many([large])
    assert tier.by_id(["large"]) == {}
    tier.put_many([msgspec.structs.replace(large, cost_usd=0.1)])
    assert "large" in tier.by_id(["large"])
    assert tier.usage()["acme"][1] <= 50_000


def test_a_tenant_may_fill_what_nobody_else_needs_and_gives_it_back_but_never_more_than_its_part() -> None:
    tier = tier_of(MemoryLimits(max_entries=100))
    loud = [cache_entry(f"loud {n}", cache_key("loud", f"{n}"), START, cost_usd=1.0) for n in range(300)]
    for entry in loud:
        asked(tier, entry.key, 4)
        tier.put_many([entry])
    assert tier.usage() == {"loud": (100, tier.usage()["loud"][1])}
    for tenant in ("a", "b", "c"):
        tier.put_many([cache_entry(f"{tenant} {n}", cache_key(tenant, f"{n}"), START) for n in range(40)])
    held = {tenant: n for tenant, (n, _) in tier.usage().items()}
    assert sum(held.values()) == 100
    assert held["loud"] >= 25
    assert min(held.values()) >= 20
    before = tier.by_id([f"a {n}" for n in range(40)])
    for entry in loud:
        asked(tier, entry.key, 10)
        tier.put_many([entry])
    assert tier.by_id([f"a {n}" for n in range(40)]) == before


def test_what_has_expired_leaves_its_room_to_others() -> None:
    now = START
    tier = MemoryTier(MemoryLimits(max_entries=10), clock=lambda: now)
    tier.put_many([cache_entry(f"{n}", cache_key("acme", f"{n}"), START, life_s=10.0) for n in range(10)])
    now += 10.0
    fresh = [cache_entry(f"fresh {n}", cache_key("acme", f"fresh {n}"), now) for n in range(10)]
    tier.put_many(fresh)
    assert len(tier.by_id([entry.entry_id for entry in fresh])) == 10


def test_an_entry_replaced_many_times_leaves_nothing_behind() -> None:
    tier = tier_of(MemoryLimits(max_entries=10))
    for n in range(1000):
        tier.put_many([cache_entry("one", cache_key("acme", f"{n}"), START + n)])
    assert len(tier._deaths) < 100
    assert len(tier._exact) == len(tier._normalised) == 1


def test_on_requests_that_come_by_zipfs_law_it_saves_nearly_what_a_choice_in_hindsight_would() -> None:
    rng = np.random.default_rng(3)
    n_kinds, fixed = 3000, 1000
    costs, sizes = rng.lognormal(-6, 1, n_kinds), rng.integers(100, 4000, n_kinds)
    keys = [cache_key("acme", f"{n}") for n in range(n_kinds)]
    shares = np.arange(1, n_kinds + 1) ** -1.1
    stream = rng.choice(n_kinds, size=8000, p=shares / shares.sum())
    max_bytes = int(150 * (sizes.mean() + fixed))
    tier = tier_of(MemoryLimits(max_bytes=max_bytes))
    latest, latest_bytes, saved, saved_by_latest = OrderedDict[int, int](), 0, 0.0, 0.0
    for n in stream.tolist():
        if tier.get(keys[n].exact) is not None:
            saved += costs[n]
        else:
            answer = bytes(int(sizes[n]))
            tier.put_many([cache_entry(f"{n}", keys[n], START, answer=answer, cost_usd=float(costs[n]))])
        if n in latest:
            latest.move_to_end(n)
            saved_by_latest += costs[n]
        else:
            latest[n] = int(sizes[n]) + fixed
            latest_bytes += latest[n]
            while latest_bytes > max_bytes:
                latest_bytes -= latest.popitem(last=False)[1]
    best = np.argsort(-shares * costs / (sizes + fixed))
    best = best[np.cumsum(sizes[best] + fixed) <= max_bytes]
    saved_in_hindsight = costs[stream[np.isin(stream, best)]].sum()
    assert saved > 0.94 * saved_in_hindsight
    assert saved > 1.05 * saved_by_latest
