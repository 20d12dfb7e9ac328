"""Concurrent misses make one answer, and whatever becomes of who makes it, nobody waits for ever or gets another's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beast_ml.cache.singleflight import Landed, Lead, Singleflight
from beast_ml.errors import InputError
from beast_ml.testing.virtual_time import VirtualTimeLoop, run_in_virtual_time

MAX_WAIT_S = 10.0


def run(story: Any) -> Any:
    return run_in_virtual_time(story, VirtualTimeLoop())


def test_many_misses_make_one_answer() -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(1)
        return made

    async def story() -> list[int]:
        flights = Singleflight[int]()
        answers = await asyncio.gather(*(flights.answer(b"k", make) for _ in range(100)))
        assert len(flights) == 0
        return answers

    assert run(story()) == [1] * 100


def test_different_keys_do_not_wait_for_each_other() -> None:
    async def story() -> None:
        flights = Singleflight[int]()
        one, other = await flights.join(b"a"), await flights.join(b"b")
        assert isinstance(one, Lead)
        assert isinstance(other, Lead)

    run(story())


def test_what_comes_after_the_answer_has_landed_starts_anew() -> None:
    async def story() -> None:
        flights = Singleflight[int]()
        for _ in range(2):
            found = await flights.join(b"k")
            assert isinstance(found, Lead)
            found.land(1)

    run(story())


def test_an_error_is_its_leaders_alone_and_the_next_tries() -> None:
    tried = 0

    async def make() -> str:
        nonlocal tried
        tried += 1
        await asyncio.sleep(1)
        if tried == 1:
            raise ConnectionError("down")
        return "answer"

    async def story() -> list[Any]:
        flights = Singleflight[str]()
        return await asyncio.gather(*(flights.answer(b"k", make) for _ in range(4)), return_exceptions=True)

    first, *others = run(story())
    assert isinstance(first, ConnectionError)
    assert others == ["answer"] * 3
    assert tried == 2


def test_a_cancelled_leader_hands_over() -> None:
    async def story() -> None:
        flights = Singleflight[str]()

        async def slow() -> str:
            await asyncio.sleep(3600)
            return "never"

        async def quick() -> str:
            return "answer"

        leader = asyncio.create_task(flights.answer(b"k", slow))
        await asyncio.sleep(0)
        followers = [asyncio.create_task(flights.answer(b"k", quick)) for _ in range(3)]
        await asyncio.sleep(1)
        leader.cancel()
        assert await asyncio.gather(*followers) == ["answer"] * 3
        assert len(flights) == 0

    run(story())


def test_nobody_waits_longer_than_is_allowed() -> None:
    async def story() -> None:
        flights, loop = Singleflight[str](MAX_WAIT_S), asyncio.get_running_loop()
        stuck = await flights.join(b"k")
        assert isinstance(stuck, Lead)
        taken = await flights.join(b"k")
        assert isinstance(taken, Lead)
        assert loop.time() == pytest.approx(MAX_WAIT_S)
        waiting = asyncio.create_task(flights.join(b"k"))
        await asyncio.sleep(0)
        stuck.land("late, and good enough")
        assert await waiting == Landed("late, and good enough")
        taken.land("too late")
        assert len(flights) == 0

    run(story())


def test_who_is_dismissed_need_not_wait_for_the_others() -> None:
    async def story() -> None:
        flights = Singleflight[str]()
        first = await flights.join(b"k")
        assert isinstance(first, Lead)
        waiting = [asyncio.create_task(flights.join(b"k")) for _ in range(3)]
        await asyncio.sleep(0)
        first.dismiss()
        assert all(isinstance(found, Lead) for found in await asyncio.gather(*waiting))
        assert len(flights) == 0

    run(story())


def test_a_wait_that_is_no_wait_is_refused() -> None:
    with pytest.raises(InputError, match="max_wait_s"):
        Singleflight[str](0)


class _Request:
    """One request: it joins, and if it leads it does what it is told."""

    def __init__(self, flights: Singleflight[int], key: bytes, loop: VirtualTimeLoop) -> None:
        self.key, self.arrived_s, self.loop = key, loop.time(), loop
        self.leads = False
        self.waited_s: float | None = None
        self.received: int | None = None
        self.told: asyncio.Future[int | str] = loop.create_future()
        self.task = loop.create_task(self.run(flights))

    async def run(self, flights: Singleflight[int]) -> None:
        found = await flights.join(self.key)
        self.waited_s = self.loop.time() - self.arrived_s
        if isinstance(found, Landed):
            self.received = found.value
            return
        self.leads = True
        with found as lead:
            told = await self.told
            if told == "fail":
                raise ConnectionError("down")
            lead.dismiss() if told == "dismiss" else lead.land(int(told))

    @property
    def waits(self) -> bool:
        return not self.task.done() and not self.leads

    @property
    def is_leading(self) -> bool:
        return not self.task.done() and self.leads


class SingleflightMachine(RuleBasedStateMachine):
    """Requests come, land, fail, are cancelled and time out, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.flights = Singleflight[int](MAX_WAIT_S)
        self.requests: list[_Request] = []
        self.landed: list[tuple[bytes, float]] = []
        self.undisturbed = True  # nobody has timed out or was dismissed: then one leads at a time

    def settle(self, seconds: float = 0.0) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        for _ in range(10):
            self.loop.run_until_complete(asyncio.sleep(0))

    def leading(self) -> list[_Request]:
        return [request for request in self.requests if request.is_leading]

    @rule(key=st.sampled_from([b"a", b"b"]), n=st.integers(1, 3))
    def arrive(self, key: bytes, n: int) -> None:
        self.requests += [_Request(self.flights, key, self.loop) for _ in range(n)]
        self.settle()

    @precondition(lambda self: self.leading())
    @rule(data=st.data(), how=st.sampled_from(["land", "fail", "dismiss", "cancel"]), at_once=st.booleans())
    def end(self, data: st.DataObject, how: str, at_once: bool) -> None:
        leader = data.draw(st.sampled_from(self.leading()))
        if how == "cancel":
            leader.task.cancel()
        elif how == "land":
            self.landed.append((leader.key, self.loop.time()))
            leader.told.set_result(len(self.landed) - 1)
        else:
            leader.told.set_result(how)
            self.undisturbed &= how == "fail"
        if not at_once:
            self.settle()
            return
        self.loop.run_until_complete(asyncio.sleep(0))  # the next is told to lead, and is cancelled before it knows
        for request in self.requests:
            if request.key == leader.key and request.waits:
                request.task.cancel()
                break
        self.settle()

    @precondition(lambda self: any(request.waits for request in self.requests))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([request for request in self.requests if request.waits])).task.cancel()
        self.settle()

    @rule(seconds=st.sampled_from([1.0, 4.0, MAX_WAIT_S]))
    def time_passes(self, seconds: float) -> None:
        oldest = min((request.arrived_s for request in self.requests if request.waits), default=self.loop.time())
        self.undisturbed &= self.loop.time() + seconds - oldest < MAX_WAIT_S
        self.settle(seconds)

    @invariant()
    def whoever_waits_has_somebody_to_wait_for(self) -> None:
        led = {request.key for request in self.leading()}
        assert {request.key for request in self.requests if request.waits} <= led
        assert len(self.flights) <= len(led)

    @invariant()
    def nobody_waits_too_long(self) -> None:
        for request in self.requests:
            waited = request.waited_s
            if request.waits:
                waited = self.loop.time() - request.arrived_s
            assert waited is None or waited <= MAX_WAIT_S + 1e-6

    @invariant()
    def answers_are_of_the_same_key_and_younger_than_the_request(self) -> None:
        for request in self.requests:
            if request.received is not None:
                key, landed_s = self.landed[request.received]
                assert key == request.key
                assert landed_s >= request.arrived_s

    @invariant()
    def one_leads_at_a_time_unless_it_took_too_long(self) -> None:
        if self.undisturbed:
            keys = [request.key for request in self.leading()]
            assert len(keys) == len(set(keys))

    def teardown(self) -> None:
        for request in self.requests:
            request.task.cancel()
        self.settle()
        assert len(self.flights) == 0
        for request in self.requests:
            if not request.task.cancelled():
                request.task.exception()  # looked at, so that asyncio does not warn
        self.loop.close()


TestSingleflightMachine = SingleflightMachine.TestCase
TestSingleflightMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
