import asyncio
from types import SimpleNamespace

from beast_ml.cache.singleflight import Lead, Singleflight
from beast_ml.errors import UnavailableError
from beast_ml.serving.answer_cache.keeping import Keeping
from beast_ml.serving.gateway.contract import CallRecord

CACHE = SimpleNamespace(stamp=lambda: 0)


def test_where_the_cache_had_an_answer_all_who_wait_look_at_once():
    async def run():
        flights = Singleflight(5.0)
        keeping = Keeping(CACHE, None, "miss", lead=await flights.join(b"key"))
        waiting = [asyncio.create_task(flights.join(b"key")) for _ in range(3)]
        await asyncio.sleep(0)
        keeping.needless()
        keeping.close()
        assert all(isinstance(found, Lead) for found in await asyncio.gather(*waiting))
        assert len(flights) == 0

    asyncio.run(asyncio.wait_for(run(), 2))


def test_where_nothing_came_of_it_one_who_waits_takes_over():
    async def run():
        flights = Singleflight(5.0)
        keeping = Keeping(CACHE, None, "miss", lead=await flights.join(b"key"))
        waiting = [asyncio.create_task(flights.join(b"key")) for _ in range(3)]
        await asyncio.sleep(0)
        keeping.close()
        done, others = await asyncio.wait(waiting, timeout=0.1)
        assert (len(done), len(others)) == (1, 2)
        for each in others:
            each.cancel()

    asyncio.run(asyncio.wait_for(run(), 2))


def test_who_verifies_a_lookup_is_told_once_that_no_answer_came():
    for end in (Keeping.close, lambda keeping: keeping.failed(CallRecord(status="error"), UnavailableError("away"))):
        keeping, shown = Keeping(CACHE, None, "miss"), []
        keeping.verify(shown.append)
        end(keeping)
        keeping.close()
        assert shown == [None]
