import asyncio
import random

import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import InputError, ProviderError
from beast_ml.operations.health import FleetHealth, Prober
from beast_ml.testing.virtual_time import VirtualTimeLoop, run_in_virtual_time

A = Endpoint("a", "small", "http://a")


class World:
    """One endpoint that dies and heals, seen by probes alone."""

    def __init__(self, seed=0, **options):
        self.loop = VirtualTimeLoop()
        self.fleet = FleetHealth([A], ["small", "implicit"], clock=self.loop.time, rng=random.Random(seed))
        self.prober = Prober(self.fleet, self.probe, rng=random.Random(seed), **options)
        self.failure = None
        self.probed_at = []

    async def probe(self, endpoint):
        assert endpoint == A
        self.probed_at.append(self.loop.time())
        await asyncio.sleep(0.05)
        if self.failure == "hang":
            await asyncio.sleep(3600.0)
        if self.failure is not None:
            raise self.failure
        return 0.05

    async def run_while(self, story):
        task = asyncio.create_task(self.prober.run())
        try:
            return await story
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def run(self, story):
        return run_in_virtual_time(self.run_while(story), self.loop)

    async def until(self, masked):
        began = self.loop.time()
        while ("small" in self.fleet.masked_models()) is not masked:
            await asyncio.sleep(0.01)
            assert self.loop.time() - began < 120.0
        return self.loop.time() - began


def refused():
    return ProviderError("refused", "provider", "small", "a")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("failure", ["hang", refused(), ConnectionRefusedError()], ids=["hang", "error", "refused"])
def test_death_is_masked_in_5_s_and_healing_used_in_30_s_without_traffic(seed, failure):
    world = World(seed)

    async def story():
        await asyncio.sleep(10.0 + random.Random(seed).random())
        assert world.fleet.masked_models() == frozenset()
        world.failure = failure
        died = await world.until(masked=True)
        await asyncio.sleep(300.0)
        world.failure = None
        return died, await world.until(masked=False)

    to_mask_s, to_use_s = world.run(story())
    assert to_mask_s < 5.0
    assert to_use_s < 30.0


def test_one_failed_probe_is_repeated_at_once_and_masks_nobody():
    world = World()

    async def story():
        await asyncio.sleep(5.0)
        world.failure = refused()
        seen = len(world.probed_at)
        while len(world.probed_at) == seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.06)
        world.failure = None
        await asyncio.sleep(0.2)
        assert world.probed_at[-1] - world.probed_at[-2] == pytest.approx(0.15, abs=0.01)
        await asyncio.sleep(60.0)

    world.run(story())
    assert world.fleet.snapshot()[0].cause == ""


def test_who_answers_calls_is_not_probed():
    world = World()

    async def story():
        for _ in range(200):
            world.fleet.started("a")
            await asyncio.sleep(0.1)
            world.fleet.finished("a", None, 0.1)

    world.run(story())
    assert len(world.probed_at) <= 1


def test_who_asks_to_be_left_alone_is_not_probed():
    world = World()

    async def story():
        await asyncio.sleep(5.0)
        world.fleet.finished("a", "rate_limit", 0.1, retry_after_s=50.0)
        await asyncio.sleep(1.0)
        seen = len(world.probed_at)
        await asyncio.sleep(48.0)
        assert len(world.probed_at) <= seen + 1
        await asyncio.sleep(5.0)
        assert len(world.probed_at) > seen + 1

    world.run(story())
    assert world.fleet.masked_models() == frozenset()


def test_a_probe_that_is_broken_itself_masks_nobody_and_goes_on(caplog):
    world = World()

    async def story():
        world.failure = ZeroDivisionError("a bug")
        await asyncio.sleep(30.0)

    world.run(story())
    assert len(world.probed_at) > 20
    assert "endpoint.probe_broken" in caplog.text
    assert world.fleet.masked_models() == frozenset()


def test_a_fault_that_probes_do_not_see_is_tried_ever_more_rarely():
    world = World()
    trials = []

    async def story():
        for _ in range(5):
            world.fleet.finished("a", "provider", 0.0)
        while world.loop.time() < 300.0:
            if world.fleet.pick("small") is not None:
                trials.append(world.loop.time())
                world.fleet.started("a")
                world.fleet.finished("a", "provider", 0.0)
            await asyncio.sleep(0.05)

    world.run(story())
    assert 20 <= len(trials) <= 25


@pytest.mark.parametrize("name", ["probe_s", "open_probe_s", "timeout_s"])
def test_wrong_settings_are_refused(name):
    with pytest.raises(InputError, match=name):
        Prober(FleetHealth(), None, **{name: 0.0})
