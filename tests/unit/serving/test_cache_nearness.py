import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from beast_ml.cache.hit import Hit
from beast_ml.cache.index.partition import Neighbour
from beast_ml.cache.neighbours.client import Neighbours
from beast_ml.serving import cache_nearness
from beast_ml.serving.cache_nearness import forget_near
from beast_ml.testing.cache_entries import cache_entry, cache_key

KEY = cache_key("acme", "how?")


class Client:
    encoder, found = "one", (Neighbour("near", 0.95), Neighbour("far", 0.85))

    async def vector(self, text):
        return np.array([1.0, 0.0], dtype=np.float32)

    async def lookup(self, partition, text, k, *, gated, within_s):
        return Neighbours("searched", self.found[:k])


class Cache:
    def __init__(self):
        self.invalidated, self.invalidator = [], self

    async def lookup(self, key):
        return Hit(cache_entry("own", key, 0.0), "exact", "sql", 1.0)

    async def at_store(self, call):
        return call()

    def invalidate_near(self, tenant_id, vector, radius, partition, neighbours, encoder):
        assert encoder == "one"
        self.invalidated += neighbours(tenant_id, partition, vector, radius)


def forgotten(cache):
    """Return what is said of a neighbourhood that is forgotten."""
    semantic = SimpleNamespace(search=SimpleNamespace(client=Client()))
    return asyncio.run(forget_near(SimpleNamespace(cache=SimpleNamespace(cache=cache, semantic=semantic)), KEY, 0.1))


def test_the_request_itself_is_asked_anew_though_the_index_has_not_heard_of_its_answer():
    cache = Cache()
    assert not forgotten(cache)
    assert cache.invalidated == ["near", "own"]


@pytest.mark.parametrize(("most", "more"), [(1, True), (2, False), (3, False)])
def test_it_is_said_where_more_may_be_near_than_are_looked_for(monkeypatch, most, more):
    monkeypatch.setattr(cache_nearness, "_MOST_NEAR", most)
    assert forgotten(Cache()) is more
