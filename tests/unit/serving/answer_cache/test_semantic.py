import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from beast_ml.cache.index.partition import Neighbour
from beast_ml.cache.neighbours.client import Neighbours
from beast_ml.serving.answer_cache import semantic as semantic_module
from beast_ml.serving.answer_cache.semantic import Look, SemanticSearch, _with_others
from beast_ml.testing.cache_entries import cache_entry, cache_key

KEY = cache_key("acme", "how?")


class Client:
    instance, cache = "first", "digest"

    def __init__(self):
        self.told = []

    async def lookup(self, partition, text, k, *, gated, vectors, tenant):
        return Neighbours("searched", (Neighbour("one", 0.9),), 0.5)

    async def add(self, batch):
        if not self.told:
            self.told.append("failed")
            raise RuntimeError("for once")
        self.told += [each.entry_id for each in batch]
        return len(batch)


class Table:
    def needs_vectors(self, tenant_id):
        return False

    def allows(self, *_):
        return True


class Tiers:
    def by_id(self, entry_ids):
        return {"one": (cache_entry("one", cache_key("acme", "how so?"), 0.0), "memory")}


@pytest.fixture
def search():
    def broken(digest):
        raise RuntimeError("as numpy does")

    with ThreadPoolExecutor(1) as threads:
        yield SemanticSearch(Client(), broken, Tiers(), Table(), threads)


def test_what_breaks_while_it_is_looked_makes_a_miss(search):
    assert asyncio.run(search.look(KEY)) == Look("away")


def test_what_breaks_while_the_process_is_told_does_not_end_the_telling(search):
    async def run():
        search.stored(cache_entry("lost", KEY, 0.0))
        telling = asyncio.create_task(search.run())
        while not search.client.told:
            await asyncio.sleep(0.01)
        search.stored(cache_entry("next", KEY, 0.0))
        while "next" not in search.client.told:
            assert not telling.done()
            await asyncio.sleep(0.01)
        telling.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))


def test_a_tier_that_is_away_is_warned_of_once_and_so_is_its_return(search, monkeypatch, said):
    monkeypatch.setattr(semantic_module, "_REBUILD_AGAIN_S", 0.001)
    scans = []

    def scan():
        scans.append(len(scans))
        if len(scans) in (1, 2, 3, 5):
            raise OSError("away")
        return [cache_entry("one", KEY, 0.0)]

    async def keep_rebuilt(indexed, every_s):
        list(indexed())

    async def run():
        keeping = asyncio.create_task(search.keep_rebuilt())
        while len(scans) < 8:
            await asyncio.sleep(0.001)
        keeping.cancel()

    search._tiers.scan, search.client.keep_rebuilt = scan, keep_rebuilt
    asyncio.run(asyncio.wait_for(run(), 5))
    assert said() == ["cache.index_not_rebuilt", "cache.index_is_rebuilt_again"] * 2


class Shared:
    def near(self, partition, vector, k):
        return [Neighbour("other", 0.95), Neighbour("one", 0.9)][:k]

    async def embedded(self, client):
        return []


def test_hosts_together_give_no_more_candidates_than_one():
    near = Neighbours("searched", (Neighbour("one", 0.9), Neighbour("far", 0.5)), 0.5, np.ones(1, np.float32))
    found = _with_others(Shared(), b"p", near)
    assert [each.entry_id for each in found.neighbours] == ["other", "one"]


def test_where_nearness_forbids_an_entry_of_unknown_vector_is_no_candidate(search, monkeypatch):
    entry = cache_entry("one", cache_key("acme", "how so?"), 0.0)
    assert search._fits(KEY, entry, None, None)
    monkeypatch.setattr(Table, "needs_vectors", lambda *_: True)
    assert not search._fits(KEY, entry, None, None)
    assert search._fits(KEY, entry, np.ones(1, np.float32), np.ones(1, np.float32))


def test_an_entry_of_a_conversation_that_heard_something_else_is_no_candidate(search):
    said = cache_entry("one", msgspec.structs.replace(KEY, heard=b"3 steps"), 0.0)
    assert search._fits(msgspec.structs.replace(KEY, heard=b"3 steps"), said, None, None)
    for heard in (b"9 steps", b""):
        assert not search._fits(msgspec.structs.replace(KEY, heard=heard), said, None, None)
