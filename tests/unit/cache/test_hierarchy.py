import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.negative import NegativeLives
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.cache.write_back import WriteBackLimits
from beast_ml.errors import InputError
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.failing_tier import FailingTier


class World:
    """A cache of three tiers in virtual time; what is to be written waits for `flush`."""

    def __init__(self, limits: WriteBackLimits | None = None) -> None:
        self.now = 1000.0
        self.valkey = FailingTier(self.memory(), "valkey")
        self.sql = FailingTier(self.memory(), "sql")
        self.limits = limits
        self.cache = self.process()

    def memory(self, limits: MemoryLimits | None = None) -> MemoryTier:
        return MemoryTier(limits, clock=lambda: self.now)

    def process(self, limits: MemoryLimits | None = None) -> TieredCache:
        """Return the cache of a process that has just started."""
        return TieredCache(
            self.memory(limits),
            [self.valkey, self.sql],
            limits=self.limits,
            lives=NegativeLives(refusal_s=60.0, error_s=5.0),
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            in_background=False,
        )


@pytest.fixture
def world() -> World:
    return World()


def test_what_one_process_stores_another_finds_and_then_has_in_memory(world: World) -> None:
    key = cache_key()
    entry = cache_entry("one", key, world.now)
    assert world.cache.store(entry)
    assert world.cache.flush()
    other = world.process()
    assert other.lookup(key) is None
    hit = other.lookup_shared(key)
    assert hit is not None
    assert (hit.entry, hit.kind, hit.tier) == (entry, "exact", "valkey")
    again = other.lookup(key)
    assert again is not None
    assert (again.entry, again.tier) == (entry, "memory")


def test_what_only_the_last_tier_has_is_kept_in_those_before(world: World) -> None:
    key = cache_key()
    entry = cache_entry("one", key, world.now)
    world.sql.put_many([entry])
    hit = world.cache.lookup_shared(key)
    assert hit is not None
    assert hit.tier == "sql"
    world.cache.flush()
    assert world.valkey.by_id(["one"]) == {"one": entry}


def test_the_exact_answer_goes_before_that_of_another_form(world: World) -> None:
    exact, other = cache_key("acme", "Hello!", "hello"), cache_key("acme", "hello ", "hello")
    for cache in (world.cache, world.process()):
        world.cache.store(cache_entry("exact", exact, world.now))
        world.cache.store(cache_entry("other", other, world.now + 1))
        world.cache.flush()
        find = cache.lookup if cache is world.cache else cache.lookup_shared
        third = cache_key("acme", "HELLO", "hello")
        found = [find(key) for key in (exact, other, third)]
        assert [hit and (hit.entry.entry_id, hit.kind) for hit in found] == [
            ("exact", "exact"),
            ("other", "exact"),
            ("other", "normalised"),
        ]


def test_an_exact_key_alone_is_enough_to_be_served_at_once(world: World) -> None:
    key, variant = cache_key("acme", "Hello!", "hello"), cache_key("acme", "hello")
    entry = cache_entry("one", key, world.now)
    world.cache.store(entry)
    hit = world.cache.lookup_exact(key.partition, key.exact)
    assert hit is not None
    assert (hit.entry, hit.kind) == (entry, "exact")
    assert world.cache.lookup_exact(b"other", key.exact) is None
    assert world.cache.lookup_exact(variant.partition, variant.exact) is None  # that is its normalised key
    assert (world.cache.stats().lookups, world.cache.stats().hit_rate) == (1, 1.0)


def test_what_no_longer_holds_is_as_good_as_not_there_in_any_tier(world: World) -> None:
    taken_back: set[str] = set()
    cache = TieredCache(
        world.memory(),
        [world.valkey, world.sql],
        holds=lambda entry: entry.entry_id not in taken_back,
        clock=lambda: world.now,
        in_background=False,
    )
    key = cache_key()
    cache.store(cache_entry("one", key, world.now))
    cache.flush()
    taken_back.add("one")
    assert cache.lookup_exact(key.partition, key.exact) is cache.lookup(key) is cache.lookup_shared(key) is None
    assert cache.by_id(["one"]) == cache.by_id_shared(["one"]) == {}
    assert cache.warm() == 0
    world.sql.put_many([cache_entry("two", key, world.now + 1)])  # by another process
    hit = cache.lookup_shared(key)
    assert hit is not None
    assert (hit.entry.entry_id, hit.tier) == ("two", "sql")
    assert cache.lookup(key) is not None


def test_an_entry_of_another_tenant_or_partition_is_a_miss_whatever_a_tier_says(world: World) -> None:
    key = cache_key()
    foreign = cache_entry("foreign", msgspec.structs.replace(key, tenant_id="other"), world.now)
    world.valkey.put_many([foreign])
    world.sql.put_many([cache_entry("elsewhere", msgspec.structs.replace(key, partition=b"other"), world.now)])
    assert world.cache.lookup_shared(key) is None
    world.cache.store(foreign)
    assert world.cache.lookup(key) is None


def test_refusals_and_errors_live_shortly_and_are_found_by_the_same_request_only(world: World) -> None:
    for kind, life_s in (("refusal", 60.0), ("error", 5.0)):
        key, variant = cache_key("acme", f"{kind}!", kind), cache_key("acme", kind)
        entry = msgspec.structs.replace(cache_entry(kind, key, world.now), kind=kind)
        assert world.cache.store(entry)
        assert world.cache.lookup(key) is not None
        assert world.cache.lookup(variant) is None
        world.now += life_s
        assert world.cache.lookup(key) is None


def test_an_error_never_takes_the_place_of_an_answer(world: World) -> None:
    key = cache_key()
    world.cache.store(cache_entry("answer", key, world.now))
    error = msgspec.structs.replace(cache_entry("error", key, world.now + 1), kind="error")
    assert not world.cache.store(error)
    hit = world.cache.lookup(key)
    assert hit is not None
    assert hit.entry.entry_id == "answer"


def test_what_lives_for_moments_is_not_shared_and_what_is_dead_is_not_kept(world: World) -> None:
    assert world.cache.store(cache_entry("brief", cache_key("acme", "brief"), world.now, life_s=9.0))
    assert not world.cache.store(cache_entry("dead", cache_key("acme", "dead"), world.now, life_s=0.0))
    world.cache.flush()
    assert list(world.valkey.scan()) == list(world.sql.scan()) == []


@pytest.mark.parametrize("lost", ["valkey", "sql"])
def test_a_tier_that_is_away_is_skipped_while_others_serve_and_heals_within_a_minute(world: World, lost: str) -> None:
    before, during, after = (cache_key("acme", name) for name in ("before", "during", "after"))
    tier = getattr(world, lost)
    world.cache.store(cache_entry("before", before, world.now))
    assert world.cache.flush()
    tier.away = True
    for second in range(600):  # ten minutes of lookups by a process whose memory is empty
        hit = world.process().lookup_shared(before)
        assert hit is not None
        assert hit.tier == ("sql" if lost == "valkey" else "valkey")
        world.cache.store(cache_entry(f"during {second}", cache_key("acme", f"during {second}"), world.now))
        world.cache.flush()
        world.cache.lookup_shared(cache_key("acme", f"unknown {second}"))
        world.now += 1.0
    world.cache.store(cache_entry("during", during, world.now))
    skipped = next(each for each in world.cache.stats().tiers if each.tier == lost)
    assert skipped.away
    assert skipped.skipped > 500
    assert skipped.failures < 100
    tier.away = False
    seconds = 0
    while not world.cache.flush():
        world.now += 1.0
        seconds += 1
    assert seconds < 60
    world.cache.store(cache_entry("after", after, world.now))
    assert world.cache.flush()
    assert set(tier.by_id(["during", "after"])) == {"during", "after"}
    assert tier.by_id([f"during {second}" for second in range(599, 300, -1)])
    assert not next(each for each in world.cache.stats().tiers if each.tier == lost).away


def test_all_tiers_away_is_a_miss_and_memory_serves(world: World) -> None:
    key = cache_key()
    world.valkey.away = world.sql.away = True
    world.cache.store(cache_entry("one", key, world.now))
    assert world.cache.lookup(key) is not None
    assert world.cache.lookup_shared(cache_key("acme", "unknown")) is None
    assert not world.cache.flush(0.1)
    assert world.cache.by_id_shared(["one"]) == {}
    assert world.cache.warm() == 0


def test_what_was_removed_is_gone_everywhere(world: World) -> None:
    key = cache_key()
    world.cache.store(cache_entry("one", key, world.now))
    world.cache.flush()
    removal = world.cache.remove(["one"])
    assert (removal.n_removed, removal.unreached) == (1, ())
    assert world.cache.lookup(key) is world.cache.lookup_shared(key) is None
    assert list(world.valkey.scan()) == list(world.sql.scan()) == []


def test_what_was_removed_while_a_tier_was_away_never_returns(world: World) -> None:
    key = cache_key()
    world.cache.store(cache_entry("one", key, world.now))
    world.cache.flush()
    world.sql.away = True
    assert world.cache.remove(["one"]).unreached == ("sql",)
    world.sql.away = False
    world.now += 60.0
    assert world.cache.lookup_shared(key) is None  # the tier has it still
    assert world.cache.by_id_shared(["one"]) == {}
    assert world.cache.flush()
    assert list(world.sql.scan()) == []


def test_an_entry_removed_before_it_was_written_is_never_written(world: World) -> None:
    world.cache.store(cache_entry("one", cache_key(), world.now))
    world.cache.remove(["one"])
    world.cache.flush()
    assert list(world.valkey.scan()) == []


def test_an_entry_removed_while_it_was_fetched_does_not_stay(world: World) -> None:
    key = cache_key()
    world.sql.put_many([cache_entry("one", key, world.now)])
    fetch = world.sql.get_many

    def fetch_while_removed(keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        found = fetch(keys)
        world.cache.remove(["one"])
        return found

    world.sql.get_many = fetch_while_removed  # type: ignore[method-assign]
    assert world.cache.lookup_shared(key) is None
    assert world.cache.lookup(key) is None
    world.cache.flush()
    assert list(world.valkey.scan()) == []


def test_too_much_that_waits_drops_the_oldest() -> None:
    world = World(WriteBackLimits(max_entries=10, batch=4))
    world.sql.away = True
    for n in range(25):
        world.cache.store(cache_entry(f"{n}", cache_key("acme", f"{n}"), world.now))
    assert not world.cache.flush()
    world.sql.away = False
    world.now += 60.0
    assert world.cache.flush()
    assert [entry.entry_id for entry in world.sql.scan()] == [f"{n}" for n in range(15, 25)]
    assert next(each for each in world.cache.stats().tiers if each.tier == "sql").dropped == 15


def test_an_entry_that_a_tier_cannot_hold_does_not_hold_up_others(world: World) -> None:
    put = world.sql.put_many

    def picky(entries: Sequence[CacheEntry]) -> None:
        if any(entry.entry_id == "bad" for entry in entries):
            raise InputError("an entry cannot be kept")
        put(entries)

    world.sql.put_many = picky  # type: ignore[method-assign]
    for name in ("good", "bad", "better"):
        world.cache.store(cache_entry(name, cache_key("acme", name), world.now))
    assert not world.cache.flush()  # one of them was dropped
    assert {entry.entry_id for entry in world.sql.scan()} == {"good", "better"}
    assert world.cache.flush()


def test_a_new_process_is_warmed_with_the_youngest_that_fit(world: World) -> None:
    for n in range(50):
        world.cache.store(cache_entry(f"{n:02d}", cache_key("acme", f"{n}"), world.now + n / 100))
    world.cache.flush()
    cache = world.process(MemoryLimits(max_entries=20))
    assert cache.warm() == 20
    assert set(cache.by_id([f"{n:02d}" for n in range(50)])) == {f"{n:02d}" for n in range(30, 50)}


def test_what_the_index_found_is_fetched_by_id_from_the_nearest_tier(world: World) -> None:
    entries = [cache_entry(f"{n}", cache_key("acme", f"{n}"), world.now) for n in range(3)]
    world.cache.store(entries[0])
    world.valkey.put_many([entries[1]])
    world.sql.put_many([entries[1], entries[2]])
    assert world.cache.by_id(["0", "1", "2"]) == {"0": (entries[0], "memory")}
    assert world.cache.by_id_shared(["1", "2", "3"]) == {"1": (entries[1], "valkey"), "2": (entries[2], "sql")}
    assert set(world.cache.by_id(["0", "1", "2"])) == {"0", "1", "2"}


def test_stats_say_where_hits_came_from(world: World) -> None:
    world.sql.put_many([cache_entry("deep", cache_key("acme", "Deep", "deep"), world.now)])
    world.cache.store(cache_entry("near", cache_key("acme", "near"), world.now))
    for key in (cache_key("acme", "near"), cache_key("acme", "deep"), cache_key("acme", "none")):
        world.cache.lookup(key) or world.cache.lookup_shared(key)
    stats = world.cache.stats()
    assert [(t.tier, t.exact, t.normalised, t.misses) for t in stats.tiers] == [
        ("memory", 1, 0, 2),
        ("valkey", 0, 0, 2),
        ("sql", 0, 1, 1),
    ]
    assert stats.lookups == 3
    assert stats.hit_rate == pytest.approx(2 / 3)


def test_threads_write_in_the_background_and_closing_writes_the_rest() -> None:
    now = time.time()
    kept = MemoryTier()
    cache = TieredCache(MemoryTier(), [kept], limits=WriteBackLimits(delay_s=0.01))

    def work(worker: int) -> None:
        for n in range(200):
            cache.store(cache_entry(f"{worker} {n}", cache_key("acme", f"{worker} {n}"), now))
            if n % 3 == 0:
                cache.remove([f"{worker} {n}"])
            cache.lookup_shared(cache_key("acme", f"{worker} {n - 1}"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert cache.flush()
    expected = {f"{worker} {n}" for worker in range(4) for n in range(200) if n % 3}
    assert {entry.entry_id for entry in kept.scan()} == expected
    cache.store(cache_entry("last", cache_key("acme", "last"), now))
    written: list[list[str]] = []
    kept.put_many = lambda entries: written.append([entry.entry_id for entry in entries])  # type: ignore[method-assign]
    assert cache.close()
    assert written == [["last"]]
    assert not any(thread.name == "cache-memory-writer" for thread in threading.enumerate())


def test_impossible_settings_are_refused() -> None:
    for make in (
        lambda: WriteBackLimits(batch=0),
        lambda: WriteBackLimits(delay_s=-1.0),
        lambda: NegativeLives(error_s=-1.0),
        lambda: MemoryLimits(max_entries=0),
        lambda: MemoryLimits(tenant_share=0.0),
    ):
        with pytest.raises(InputError, match="must be"):
            make()
