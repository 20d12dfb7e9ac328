"""Two regions keep, send, take and invalidate in any order: each serves what nothing it heard of has made invalid.

An answer counts as invalid where its region had not heard of the invalidation when it was asked for, wherever and
however late it arrives.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.valkey_store import ValkeyInvalidations
from beast_ml.cache.key import KeyMaker
from beast_ml.cache.region_stream import RegionStream
from beast_ml.cache.tiers.memory import MemoryTier
from beast_ml.errors import UnavailableError
from beast_ml.serving.answer_cache.answers import AnswerCache, Fresh
from beast_ml.serving.answer_cache.region_copies import RegionCopies
from beast_ml.serving.answer_cache.region_link import RegionLink
from beast_ml.testing.cache_entries import cache_key
from beast_ml.testing.network_namespace import network_namespace, valkey_inside, why_not_permitted

SECRET = b"sixteen bytes of it"
NAMES = ("eu", "us")
TAGS = ("prices", "news")

REGION = st.integers(0, 1)
STEP = st.one_of(
    st.tuples(st.just("ask"), REGION, st.sampled_from(TAGS)),
    st.tuples(st.just("keep"), REGION, st.none()),
    st.tuples(st.just("invalidate"), REGION, st.sampled_from(TAGS)),
    st.tuples(st.sampled_from(["send", "take", "hear"]), REGION, st.none()),
)


class Region:
    """A region's worker, and what it must have heard and hold."""

    def __init__(self, name: str, url: str) -> None:
        self.link = RegionLink(RegionStream.open(url, name, SECRET), in_background=False)
        self.invalidator = Invalidator(ValkeyInvalidations.open(url))
        self.tiers = TieredCache(MemoryTier(), holds=self.invalidator.table.holds)
        self.cache = AnswerCache(KeyMaker(SECRET), self.tiers, self.invalidator, regions=self.link)
        self.copies = RegionCopies(self.link.stream, self.cache)
        self.invalidator.refresh()
        self.heard = 0
        self.asked: list[tuple[int, str, int, int]] = []
        """Requests under way: number, tag, stamp, and how many invalidations the region had heard of."""
        self.unsent: set[int] = set()
        self.coming: set[int] = set()
        self.held: set[int] = set()

    def close(self) -> None:
        asyncio.run(self.cache.close())


class Regions:
    """Two regions, with all that was invalidated and kept."""

    def __init__(self, url: str) -> None:
        self.each = [Region(name, url) for name in NAMES]
        self.invalidated: list[str] = []
        self.entries: dict[int, tuple[str, int]] = {}
        self.n = 0

    def is_valid(self, region: Region, n: int) -> bool:
        tag, asked_at = self.entries[n]
        return asked_at <= region.heard and tag not in self.invalidated[asked_at : region.heard]

    def take(self, step: tuple[str, int, str | None]) -> None:
        what, place, tag = step
        here, there = self.each[place], self.each[1 - place]
        if what == "ask" and tag is not None:
            self.n += 1
            here.asked.append((self.n, tag, here.cache.stamp(), here.heard))
        elif what == "keep" and here.asked:
            n, tag, stamp, heard = here.asked.pop(0)
            self.entries[n] = tag, heard
            kept = here.cache.keep(cache_key("acme", str(n)), stamp, Fresh(answer=b"a", model="m", tags=(tag,)))
            assert (kept is not None) == self.is_valid(here, n)
            if kept is not None:
                here.unsent.add(n)
                here.held.add(n)
        elif what == "invalidate" and tag is not None:
            here.invalidator.invalidate(Scope("tag", tag))
            self.invalidated.append(tag)
            here.heard = len(self.invalidated)
        elif what == "send":
            assert here.link.flush()
            there.coming |= here.unsent
            here.unsent = set()
        elif what == "hear":
            here.invalidator.refresh()
            here.heard = len(self.invalidated)
        elif what == "take":
            while asyncio.run(here.copies.step()):
                pass
            if here.coming:
                here.heard = len(self.invalidated)
            here.held |= {n for n in here.coming if self.is_valid(here, n)}
            here.coming = set()

    def check(self) -> None:
        for region in self.each:
            for n in self.entries:
                found = region.tiers.lookup(cache_key("acme", str(n))) is not None
                assert found == (n in region.held and self.is_valid(region, n)), n


@pytest.fixture
def empty_url(valkey_url: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield valkey_url


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=40))
def test_each_region_serves_exactly_what_is_valid_as_far_as_it_has_heard(empty_url, steps):
    with redis.Redis.from_url(empty_url) as client:
        client.flushall()
    regions = Regions(empty_url)
    try:
        for step in steps:
            regions.take(step)
        regions.check()
        for what in ("send", "take", "hear"):  # then all is told, and both have the same
            for place in (0, 1):
                regions.take((what, place, None))
        regions.check()
        one, other = regions.each
        assert {n for n in one.held if regions.is_valid(one, n)} == {
            n for n in other.held if regions.is_valid(other, n)
        }
    finally:
        for region in regions.each:
            region.close()


def test_regions_agree_again_after_packets_between_network_namespaces_have_vanished(tmp_path: Path) -> None:
    if (why_not := why_not_permitted()) is not None:
        pytest.skip(why_not)
    with ExitStack() as stack:
        home = stack.enter_context(network_namespace(2))
        port = stack.enter_context(valkey_inside(home, tmp_path))
        eu, us = (Region(name, f"redis://{link.address}:{port}") for name, link in zip(NAMES, home.links, strict=True))
        stack.callback(us.close)
        stack.callback(eu.close)
        sent, late = cache_key("acme", "sent"), cache_key("acme", "late")
        fresh = Fresh(answer=b"a", model="m", tags=("prices",))
        assert eu.cache.keep(sent, eu.cache.stamp(), fresh)
        assert eu.link.flush()
        asyncio.run(us.copies.step())
        assert us.tiers.lookup(sent) is not None
        home.links[1].cut()
        assert us.tiers.lookup(sent) is not None  # asks nobody
        assert us.cache.keep(late, us.cache.stamp(), fresh)
        with pytest.raises(UnavailableError):
            us.invalidator.invalidate(Scope("tag", "prices"))
        assert not us.link.flush()
        eu.invalidator.invalidate(Scope("tag", "prices"))
        home.links[1].mend()
        deadline = time.monotonic() + 60
        while not us.link.flush():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        us.invalidator.refresh()
        asyncio.run(eu.copies.step())
        assert [each.tiers.lookup(key) for each in (eu, us) for key in (sent, late)] == [None] * 4
