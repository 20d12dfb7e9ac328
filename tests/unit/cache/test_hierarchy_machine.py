from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beast_ml.cache.hierarchy import Hit, TieredCache
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.failing_tier import FailingTier

KEYS = [cache_key(tenant, n) for tenant in ("a", "b") for n in ("0", "1", "2", "3")]
keys = st.sampled_from(KEYS)
processes = st.integers(0, 1)


class CacheMachine(RuleBasedStateMachine):
    """Two processes over two shared tiers that come and go: no answer is ever wrong, dead, or one that was removed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.tiers = [FailingTier(MemoryTier(clock=lambda: self.now), name) for name in ("valkey", "sql")]
        self.caches = [self.process() for _ in range(2)]
        self.n_stored = 0
        self.removed: list[set[str]] = [set(), set()]
        self.removed_for_all: set[str] = set()

    def process(self) -> TieredCache:
        memory = MemoryTier(MemoryLimits(max_entries=3), clock=lambda: self.now)
        return TieredCache(memory, self.tiers, clock=lambda: self.now, monotonic=lambda: self.now, in_background=False)

    @rule(process=processes, key=keys, life_s=st.sampled_from([5.0, 60.0, 600.0]))
    def store(self, process: int, key: object, life_s: float) -> None:
        self.n_stored += 1
        entry = cache_entry(f"{self.n_stored}", key, self.now + self.n_stored / 1e6, life_s, answer=f"{key}".encode())
        self.caches[process].store(entry)

    @rule(process=processes, key=keys)
    def look(self, process: int, key: object) -> None:
        cache = self.caches[process]
        for hit in (cache.lookup(key), cache.lookup_shared(key)):
            if hit is not None:
                self.check(process, key, hit)

    @rule(process=processes, which=st.integers(0, 100))
    def remove(self, process: int, which: int) -> None:
        name = f"{which % (self.n_stored + 1)}"
        away = [tier.away for tier in self.tiers]
        removal = self.caches[process].remove([name])
        self.removed[process].add(name)
        if not removal.unreached:
            assert not any(away)
            for tier in self.tiers:
                assert tier.by_id([name]) == {}

    @rule(tier=st.integers(0, 1))
    def cut_or_mend(self, tier: int) -> None:
        self.tiers[tier].away = not self.tiers[tier].away

    @rule(process=processes)
    def write(self, process: int) -> None:
        done = self.caches[process].flush()
        assert not (done and any(tier.waiting for tier in self.caches[process].stats().tiers))

    @rule(process=processes)
    def restart(self, process: int) -> None:
        self.caches[process] = self.process()
        self.removed[process] = set()

    @rule(process=processes)
    def warm(self, process: int) -> None:
        self.caches[process].warm()

    @rule(seconds=st.sampled_from([0.5, 15.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def memory_is_right(self) -> None:
        for process, cache in enumerate(self.caches):
            for key in KEYS:
                hit = cache.lookup(key)
                if hit is not None:
                    self.check(process, key, hit)

    def check(self, process: int, key: object, hit: Hit) -> None:
        assert hit.entry.answer == f"{key}".encode()
        assert hit.entry.expires_at > self.now
        assert hit.entry.entry_id not in self.removed[process]

    def teardown(self) -> None:
        """All mends by itself: within a minute both tiers are written to, by both processes."""
        for tier in self.tiers:
            tier.away = False
        self.now += 15.0
        for cache in self.caches:
            assert cache.flush()
        for key in KEYS:
            self.caches[0].store(cache_entry(f"last {key.tenant_id} {key.text}", key, self.now + 1.0, answer=b"last"))
        assert self.caches[0].flush()
        for tier in self.tiers:
            assert {entry.answer for entry in tier.get_many([key.exact for key in KEYS]).values()} == {b"last"}


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
