import asyncio
from types import SimpleNamespace

import numpy as np

from beast_ml.cache.hit import Hit
from beast_ml.cache.index.partition import Neighbour
from beast_ml.cache.neighbours.client import Neighbours
from beast_ml.serving.cache_nearness import forget_near
from beast_ml.testing.cache_entries import cache_entry, cache_key

KEY = cache_key("acme", "how?")


class Client:
    async def vector(self, text):
        return np.array([1.0, 0.0], dtype=np.float32)

    async def lookup(self, partition, text, k, *, gated, within_s):
        return Neighbours("searched", (Neighbour("near", 0.95), Neighbour("far", 0.85)))


class Cache:
    def __init__(self):
        self.invalidated, self.invalidator = [], self

    async def lookup(self, key):
        return Hit(cache_entry("own", key, 0.0), "exact", "sql", 1.0)

    async def off_loop(self, call):
        return call()

    def invalidate_near(self, tenant_id, vector, radius, partition, neighbours):
        self.invalidated += neighbours(tenant_id, partition, vector, radius)


def test_the_request_itself_is_asked_anew_though_the_index_has_not_heard_of_its_answer():
    cache = Cache()
    semantic = SimpleNamespace(search=SimpleNamespace(client=Client()))
    asyncio.run(forget_near(SimpleNamespace(cache=SimpleNamespace(cache=cache, semantic=semantic)), KEY, 0.1))
    assert cache.invalidated == ["near", "own"]
