"""Under a recorded failure mix with outages, few requests need a second call, and few fail."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import ProviderError
from beast_ml.operations.health import FleetHealth, Prober, RetryBudget
from beast_ml.testing.virtual_time import VirtualTimeLoop, run_in_virtual_time

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "requests.jsonl"
KINDS = {"timeout": "timeout", "server_error": "provider", "rate_limited": "rate_limit", "connection": "provider"}
MODELS = ("small", "medium", "large")
N_ENDPOINTS = 2
RATE, SECONDS = 20.0, 1200.0
OUTAGES = ("hang", "refuse", "errors")
TIMEOUT_S, MAX_CALLS = 10.0, 3


def recorded_calls():
    """Return (error kind or None, latency) of every call of the recorded requests, fallbacks included.

    4.5% of them fail, each for itself: no health can foresee these, so the share of requests that need a second call
    cannot fall below it.
    """
    rows = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    calls = [call for row in rows for call in row["attempts"]]
    return [
        (KINDS.get(call["error_kind"]), min(call["latency_s"] or 0.2, TIMEOUT_S) if call["latency_s"] else 0.2)
        for call in calls
    ]


@dataclass
class Tally:
    n_requests: int = 0
    n_fallbacks: int = 0
    n_failed: int = 0
    used_while_out: int = 0
    to_use_s: list = field(default_factory=list)


class World:
    """Models with two endpoints each, a schedule of outages, and clients that come at random."""

    def __init__(self, seed, *, with_health, kept_failures=1.0, outages=True):
        self.loop = VirtualTimeLoop()
        self.rng = random.Random(seed)
        self.with_health = with_health
        self.endpoints = [Endpoint(f"{m}@{i}", m, "http://localhost") for m in MODELS for i in range(N_ENDPOINTS)]
        self.fleet = FleetHealth(self.endpoints, MODELS, clock=self.loop.time, rng=random.Random(seed))
        self.retries = RetryBudget(clock=self.loop.time)
        self.calls = recorded_calls()
        self.kept_failures = kept_failures
        self.with_outages = outages
        self.out = {}
        self.tally = Tally()

    async def probe(self, endpoint):
        await asyncio.sleep(0.05)
        out = self.out.get(endpoint.name)
        if out == "hang":
            await asyncio.sleep(3600.0)
        if out == "refuse":
            raise ProviderError("refused", "provider", endpoint.model, endpoint.name)
        return 0.05  # a server that answers every call with an error still lists its models

    async def call(self, endpoint):
        """Return the error kind of one call."""
        kind, latency_s = self.rng.choice(self.calls)
        if kind is not None and self.rng.random() >= self.kept_failures:
            kind = None
        out = self.out.get(endpoint.name)
        retry_after_s = None
        if out is not None:
            self.tally.used_while_out += 1
            kind, latency_s = ("timeout", TIMEOUT_S) if out == "hang" else ("provider", 0.1)
        elif kind == "rate_limit":
            retry_after_s = 1.0
        self.fleet.started(endpoint.name)
        await asyncio.sleep(latency_s)
        self.fleet.finished(endpoint.name, kind, latency_s, retry_after_s)
        return kind

    def candidates(self):
        """Return models in the order of this request's utility, those left out that are masked."""
        order = self.rng.sample(MODELS, len(MODELS))
        masked = self.fleet.masked_models() if self.with_health else frozenset()
        return [model for model in order if model not in masked]

    def pick(self, model, tried):
        if self.with_health:
            return self.fleet.pick(model, tried)
        left = [each for each in self.endpoints if each.model == model and each.name not in tried]
        return self.rng.choice(left) if left else None

    async def request(self):
        self.tally.n_requests += 1
        self.retries.request()
        tried, n_calls = frozenset(), 0
        for model in self.candidates():
            while (endpoint := self.pick(model, tried)) is not None:
                if n_calls and (n_calls == MAX_CALLS or not self.retries.take()):
                    self.tally.n_failed += 1
                    return
                self.tally.n_fallbacks += n_calls == 1
                n_calls += 1
                tried |= {endpoint.name}
                if await self.call(endpoint) is None:
                    return
        self.tally.n_failed += 1

    async def outages(self):
        """Every two minutes one endpoint is out for a minute, in each way in turn."""
        for number in range(int(SECONDS // 120) if self.with_outages else 0):
            await asyncio.sleep(30.0)
            name = self.endpoints[number % len(self.endpoints)].name
            self.out[name] = OUTAGES[number % len(OUTAGES)]
            await asyncio.sleep(60.0)
            del self.out[name]
            healed = self.loop.time()
            if self.with_health:
                while not next(each for each in self.fleet.snapshot() if each.name == name).may_be_called:
                    await asyncio.sleep(0.1)
                self.tally.to_use_s.append(self.loop.time() - healed)
            await asyncio.sleep(max(0.0, healed + 30.0 - self.loop.time()))

    async def live(self):
        prober = asyncio.create_task(Prober(self.fleet, self.probe, rng=random.Random(1)).run())
        outages = asyncio.create_task(self.outages())
        requests = set()
        while self.loop.time() < SECONDS:
            await asyncio.sleep(self.rng.expovariate(RATE))
            task = asyncio.create_task(self.request())
            requests.add(task)
            task.add_done_callback(requests.discard)
        await asyncio.gather(*requests)
        for task in (prober, outages):
            task.cancel()
        await asyncio.gather(prober, outages, return_exceptions=True)

    def run(self):
        run_in_virtual_time(self.live(), self.loop)
        return self.tally


def run_and_say(name, **options):
    tally = World(0, **options).run()
    print(  # noqa: T201
        f"{name}: {tally.n_requests} requests, {tally.n_fallbacks / tally.n_requests:.2%} fell back, "
        f"{tally.n_failed / tally.n_requests:.3%} failed, {tally.used_while_out} calls of endpoints that were out, "
        f"healing to use {max(tally.to_use_s, default=0.0):.1f} s"
    )
    return tally


def share_of_fallbacks(tally):
    return tally.n_fallbacks / tally.n_requests


@pytest.mark.slow
def test_fewer_than_5_percent_of_requests_fall_back_under_the_recorded_mix():
    tally = run_and_say("recorded mix", with_health=True, outages=False)
    assert share_of_fallbacks(tally) < 0.05
    assert tally.n_failed / tally.n_requests < 0.001


@pytest.mark.slow
def test_outages_add_few_fallbacks_where_health_masks_and_many_where_nobody_looks():
    """One of six endpoints is out for half of the time, on top of the recorded mix."""
    recorded = sum(kind is not None for kind, _ in recorded_calls()) / len(recorded_calls())
    seen = run_and_say("outages, with health", with_health=True)
    blind = run_and_say("outages, blind", with_health=False)
    assert share_of_fallbacks(seen) < recorded + 0.012
    assert share_of_fallbacks(blind) > recorded + 0.06
    assert seen.used_while_out < 0.15 * blind.used_while_out
    assert seen.n_failed / seen.n_requests < 0.001
    assert max(seen.to_use_s) < 30.0


@pytest.mark.slow
def test_fewer_than_5_percent_fall_back_with_outages_and_half_of_the_recorded_failures():
    tally = run_and_say("outages, half of the recorded failures", with_health=True, kept_failures=0.5)
    assert share_of_fallbacks(tally) < 0.05
    assert max(tally.to_use_s) < 30.0
