from collections.abc import Callable, Sequence

import pytest

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tier_health import TierHealth
from beast_ml.cache.tiers.memory import MemoryTier
from beast_ml.cache.write_back import WriteBack, WriteBackLimits
from beast_ml.errors import UnavailableError
from beast_ml.testing.cache_entries import cache_entry, cache_key

OLD = cache_entry("one", cache_key(), 0.0, answer=b"old")
NEW = cache_entry("one", cache_key(), 1.0, answer=b"new")


class FailingOnce(MemoryTier):
    """Fails the first time that it is written to, after something else has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__(clock=lambda: 0.0)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
            raise UnavailableError("gone")
        super().put_many(entries)


@pytest.mark.parametrize("what", ["removed", "replaced", "neither"])
def test_what_could_not_be_written_waits_unless_it_was_removed_or_replaced_meanwhile(what: str) -> None:
    def meanwhile() -> None:
        if what == "removed":
            writer.remove(["one"])
        if what == "replaced":
            writer.put(NEW)

    now = 0.0
    tier = FailingOnce(meanwhile)
    writer = WriteBack(tier, TierHealth(clock=lambda: now), in_background=False)
    writer.put(OLD)
    assert writer.flush() == (what != "neither")  # True: what was told before is no longer wanted
    now = 60.0
    assert writer.flush()
    assert list(tier.scan()) == {"removed": [], "replaced": [NEW], "neither": [OLD]}[what]
    assert writer.n_waiting == 0


def test_a_flush_waits_for_what_came_before_it_only() -> None:
    tier = MemoryTier(clock=lambda: 0.0)
    writer = WriteBack(tier, TierHealth(), WriteBackLimits(batch=1), in_background=False)
    put_many = tier.put_many

    def busy(entries: Sequence[CacheEntry]) -> None:  # another entry comes with each that is written
        writer.put(cache_entry(entries[0].entry_id + "+", cache_key("acme", entries[0].entry_id + "+"), 0.0))
        put_many(entries)

    tier.put_many = busy  # type: ignore[method-assign]
    writer.put(OLD)
    assert writer.flush()
    assert (writer.n_waiting, writer.n_written) == (1, 1)


def test_a_removal_that_came_too_late_for_its_entry_takes_it_away_again() -> None:
    tier = MemoryTier(clock=lambda: 0.0)
    writer = WriteBack(tier, TierHealth(), in_background=False)
    writer.put(OLD)
    assert writer.flush()
    writer.remove(["one"])
    assert writer.flush()
    assert list(tier.scan()) == []
    writer.remove(["one"])
    writer.put(NEW)
    assert writer.flush()
    assert list(tier.scan()) == [NEW]


def test_a_writer_bounds_bytes_and_removals() -> None:
    tier = MemoryTier(clock=lambda: 0.0)
    limits = WriteBackLimits(max_bytes=30_000, max_removals=5)
    writer = WriteBack(tier, TierHealth(), limits, in_background=False)
    for n in range(10):
        writer.put(cache_entry(f"{n}", cache_key("acme", f"{n}"), 0.0, answer=bytes(9_000)))
    assert writer.n_waiting == 3
    writer.remove(f"gone {n}" for n in range(20))
    assert writer.n_waiting == 8
    assert writer.n_dropped == 7 + 15
