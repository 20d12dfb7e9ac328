from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.testing.cache_entries import cache_entry, cache_key

LIMITS = MemoryLimits(max_entries=24, max_bytes=60_000, tenant_share=0.6, n_looked_at=3)

puts = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(0, 30),
        st.sampled_from([0, 500, 3000, 20_000]),
        st.sampled_from([0.001, 1.0]),
        st.integers(0, 3),
    ),
    max_size=150,
)


@settings(max_examples=80, deadline=None)
@given(puts)
def test_nobody_holds_too_much_and_nobody_within_an_equal_part_gives_way_to_another(
    stream: list[tuple[str, int, int, float, int]],
) -> None:
    tier = MemoryTier(LIMITS, clock=lambda: 0.0, rng=np.random.default_rng(0))
    for tenant, n, size, cost_usd, n_asked in stream:
        key = cache_key(tenant, f"{n}")
        for _ in range(n_asked):
            tier.get(key.exact)
        before, kept = tier.usage(), [entry.key.tenant_id for entry in tier.scan()]
        tier.put_many([cache_entry(f"{tenant} {n}", key, 0.0, answer=bytes(size), cost_usd=cost_usd)])
        after, still = tier.usage(), Counter(entry.key.tenant_id for entry in tier.scan())
        assert {name: count for name, (count, _) in after.items()} == still
        assert sum(count for count, _ in after.values()) <= 24
        assert sum(held for _, held in after.values()) <= 60_000
        for name, (count, held) in after.items():
            assert count <= 0.6 * 24
            assert held <= 0.6 * 60_000
            assert name in before or name == tenant
        n_tenants = len(before.keys() | {tenant})
        for name, (count, held) in before.items():
            if name != tenant and max(count / 24, held / 60_000) <= 1 / n_tenants:
                assert still[name] == Counter(kept)[name]
