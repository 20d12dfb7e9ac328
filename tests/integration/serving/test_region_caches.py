"""Regions that give each other their answers: what one has made the others serve, what one invalidates nobody does."""

import time
from contextlib import ExitStack

import httpx2
import pytest

from beast_ml.benchmarks.chaos.tcp_proxy import TcpProxy
from beast_ml.cache.region_stream import RegionStream
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig, CacheRegion
from beast_ml.serving.chores import HostChores
from beast_ml.testing.gateway_fixtures import ASK, MODELS
from beast_ml.testing.valkey import valkey_server

SECRET = b"sixteen bytes of it"
OTHER = [{"role": "user", "content": "Name three rivers of Europe, the longest one first."}]
ADMIN = {"authorization": "Bearer admin"}


@pytest.fixture
def home():
    with valkey_server() as server:
        yield server


@pytest.fixture
def region(serve, tmp_path):
    """Return a function that serves as a region, which reaches the home's Valkey at a URL."""

    def start(name, url):
        state = tmp_path / name
        cache = AnswerCacheConfig(SECRET, state, region=CacheRegion(name, url))
        return serve(cache=cache, state=state, chores=HostChores(state / "leader.lock", ()))

    return start


def asked(gateway, messages=ASK, key="any"):
    """Return how a request was answered: from where, or by whom."""
    with gateway.client(key) as client:
        raw = client.chat.completions.with_raw_response.create(model="beast", messages=messages)
    return raw.headers["x-beast-cache"], raw.parse().choices[0].message.content


def until(what, holds, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not holds(found := what()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def metric(gateway, name):
    lines = httpx2.get(gateway.url.replace("/v1", "/metrics"), headers=ADMIN).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def invalidate(gateway, **scope):
    return httpx2.post(f"{gateway.url}/cache/invalidate", json=scope, headers=ADMIN)


def test_what_one_region_has_made_the_other_serves_until_either_invalidates_it(region, home, provider):
    eu, us = region("eu", home.connection_url), region("us", home.connection_url)
    made = asked(eu)
    assert made[0] == "miss"
    until(lambda: metric(us, 'beast_region_copies_total{result="kept"}'), lambda n: n == 1)
    before = len(provider.calls)
    assert asked(us) == ("hit", made[1])
    assert len(provider.calls) == before
    assert metric(eu, 'beast_region_copies_total{result="kept"}') == 0  # nothing is sent back
    assert (metric(us, "beast_region_copies_up"), metric(us, "beast_region_copies_waiting")) == (1, 0)
    answer = invalidate(us, everything=True)
    assert answer.status_code == 200, answer.text
    until(lambda: asked(eu)[0], lambda said: said == "miss", seconds=5.0)  # within half a second, which a hit says


def test_a_region_that_is_cut_off_serves_what_it_has_and_invalidates_nothing_until_it_is_back(region, home):
    with ExitStack() as stack:
        link = stack.enter_context(TcpProxy(("127.0.0.1", home.port)))
        link.set("slow", 0.04)
        eu, us = region("eu", home.connection_url), region("us", f"redis://127.0.0.1:{link.port}")
        asked(us)
        until(lambda: metric(eu, 'beast_region_copies_total{result="kept"}'), lambda n: n == 1)
        assert asked(eu)[0] == "hit"
        link.set("cut")
        assert asked(us)[0] == "hit"
        assert asked(us, OTHER)[0] == "miss"  # is kept, and waits to be sent
        assert asked(us, OTHER)[0] == "hit"
        refused = invalidate(us, everything=True)
        assert refused.status_code == 503, refused.text
        assert asked(us)[0] == "hit"  # as was said: nothing was invalidated
        assert invalidate(eu, models=[*MODELS]).status_code == 200
        assert asked(eu)[0] == "miss"
        until(lambda: metric(us, "beast_region_copies_up"), lambda up: up == 0)
        link.set("slow", 0.04)
        until(lambda: metric(us, "beast_region_copies_up"), lambda up: up == 1)
        # What was kept while it was cut off had not heard of the invalidation, and is not served by either.
        until(lambda: metric(eu, 'beast_region_copies_total{result="left_out"}'), lambda n: n >= 1)
        assert asked(eu, OTHER)[0] == "miss"


def test_tenants_stay_apart_over_regions(region, home, tmp_path):
    keys = {}
    for name in ("eu", "us"):
        store = KeyStore.open(tmp_path / name, None)
        keys[name] = {tenant: store.create(tenant) for tenant in ("acme", "rival")}
    eu, us = region("eu", home.connection_url), region("us", home.connection_url)
    asked(eu, key=keys["eu"]["acme"])
    until(lambda: metric(us, 'beast_region_copies_total{result="kept"}'), lambda n: n == 1)
    assert asked(us, key=keys["us"]["rival"])[0] == "miss"
    assert asked(us, key=keys["us"]["acme"])[0] == "hit"


def test_a_tenant_that_is_forgotten_is_forgotten_on_the_way_to_other_regions_too(
    region, home, beast, tmp_path, monkeypatch
):
    keys = KeyStore.open(tmp_path / "eu", None)
    secrets = {tenant: keys.create(tenant) for tenant in ("acme", "rival")}
    eu = region("eu", home.connection_url)
    for secret in secrets.values():
        asked(eu, key=secret)
    until(lambda: metric(eu, 'beast_cache_tier_written_total{tier="regions"}'), lambda n: n == 2)
    eu.stop()
    settings = {
        "SERVING__STATE": str(tmp_path / "eu"),
        "REGION": "eu",
        "HOME_REGION": "eu",
        "HOME_REDIS_URL": home.connection_url,
        "CACHE__REGIONS": "true",
        "CACHE__SECRET": SECRET.decode(),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"BEAST_{name}", value)
    monkeypatch.chdir(tmp_path)
    code, _, said = beast("logs", "forget", "--tenant", "acme", "--yes")
    assert code == 0, said
    assert "other regions" in said
    stream = RegionStream.open(home.connection_url, "us", SECRET)
    assert [entry.key.tenant_id for entry in stream.take().entries] == ["rival"]
    stream.close()
