import asyncio
import threading

from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.key import KeyMaker
from beast_ml.cache.tiers.memory import MemoryTier
from beast_ml.serving.answer_cache.answers import AnswerCache
from beast_ml.testing.cache_entries import cache_key


def test_no_lookup_waits_behind_those_who_wait_for_the_store_of_invalidations(tmp_path):
    invalidator = Invalidator(SqlInvalidations.open(f"sqlite:///{tmp_path / 'state.db'}"))
    cache, answers = (
        AnswerCache(KeyMaker(b"sixteen bytes of it"), TieredCache(MemoryTier()), invalidator),
        threading.Event(),
    )

    async def run():
        waiting = [asyncio.create_task(cache.at_store(lambda: answers.wait(30))) for _ in range(20)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(cache.lookup(cache_key("acme", "any")), 20) is None
        answers.set()
        assert all(await asyncio.gather(*waiting))
        await cache.close()

    asyncio.run(run())
