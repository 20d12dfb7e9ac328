import asyncio
from types import SimpleNamespace

from beast_ml.serving.answer_cache import warmer
from beast_ml.serving.answer_cache.warmer import Warmer


def test_a_round_that_breaks_is_not_the_last(monkeypatch):
    monkeypatch.setattr(warmer, "_SETTLED_S", 0.0)
    rounds = []

    async def is_lost():
        return True

    async def run():
        cache = SimpleNamespace(cache=SimpleNamespace(is_lost=is_lost))
        warmer = Warmer(cache, None, None, 1.0, 0.001, lambda _: None)

        async def warm():
            rounds.append(True)
            raise RuntimeError("as a plan of another version does")

        monkeypatch.setattr(warmer, "warm", warm)
        warming = asyncio.create_task(warmer.run())
        while len(rounds) < 2:
            assert not warming.done()
            await asyncio.sleep(0.001)
        warming.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))
