"""Chats through a cache whose shared tiers are flushed, stopped and started: never a wrong answer, never a 5xx."""

import time

import httpx2
import pytest
import redis

from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.testing.cached_chats import chat, made_as, wrong
from beast_ml.testing.postgresql import crash, fresh_database, postgresql_server
from beast_ml.testing.valkey import valkey_server

TENANTS = ("acme", "rival")
N = 6


class Clients:
    """Two tenants that ask the same, over and over; whatever they are answered is judged.

    Parameters
    ----------
    gateway
        What they ask; it stops with them.
    keys
        By tenant.
    provider
        What the server calls.
    """

    def __init__(self, gateway, keys, provider):
        self._gateway = gateway
        self._http = httpx2.Client(base_url=gateway.url.removesuffix("/v1"), timeout=30)
        self._keys, self._provider = keys, provider
        self._oldest = dict.fromkeys(keys, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()
        self._gateway.stop()

    def _post(self, path, body, tenant):
        return self._http.post(path, json=body, headers={"authorization": f"Bearer {self._keys[tenant]}"})

    def round(self):
        """Let everyone ask everything once; return what the cache said, by the tier it came from."""
        found = []
        for n in range(N):
            for tenant in self._keys:
                body = chat(tenant, n)
                answer = self._post("/v1/chat/completions", body, tenant)
                assert answer.status_code == 200, answer.text
                assert wrong(self._provider, body, answer.content) is None
                assert made_as(answer.content) > self._oldest[tenant], "what was invalidated has come back"
                found.append(answer.headers.get("x-beast-cache-tier", answer.headers["x-beast-cache"]))
        return found

    def invalidate(self, tenant):
        """Have all that a tenant was answered so far never served again; return whether the server took it."""
        answer = self._post("/v1/cache/invalidate", {"everything": True}, tenant)
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            self._oldest[tenant] = self._provider.app.n_calls
        return answer.status_code == 200

    def tier(self, name):
        """Return what the server says of a tier."""
        answer = self._http.get("/v1/cache/stats", headers={"authorization": "Bearer admin"})
        assert answer.status_code == 200, answer.text
        return next(tier for tier in answer.json()["tiers"] if tier["tier"] == name)

    def ask_until(self, true, within_s=60.0):
        """Go on asking until something holds."""
        until = time.monotonic() + within_s
        while not true(self.round()):
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def clients(serve, provider, tmp_path):
    """Return a function that serves with shared tiers, and a memory too small for what is asked."""
    store = KeyStore.open(tmp_path / "state", None)
    keys = {tenant: store.create(tenant) for tenant in TENANTS}

    def start(redis_url, database_url=None):
        config = AnswerCacheConfig(
            b"sixteen bytes of it", tmp_path / "state", redis_url, database_url, memory_entries=N // 2
        )
        return Clients(serve(cache=config), keys, provider)

    return start


def test_a_valkey_that_is_flushed_loses_answers_and_no_invalidation(clients):
    with (
        valkey_server() as server,
        redis.Redis.from_url(server.connection_url) as valkey,
        clients(server.connection_url) as ask,
    ):
        ask.ask_until(lambda found: "valkey" in found)
        for _ in range(4):
            assert ask.invalidate("acme")
            valkey.flushall()
            valkey.script_flush()
            assert "miss" in ask.round()  # of acme, who had invalidated everything
            ask.ask_until(lambda found: "valkey" in found)
        assert ask.invalidate("rival")
        assert "miss" in ask.round()
        assert ask.tier("valkey")["usage"]


@pytest.mark.slow
def test_valkey_and_postgresql_stop_in_use_and_come_back(clients):
    valkey = valkey_server()
    valkey.start()
    port = valkey.port
    with (
        postgresql_server() as postgres,
        fresh_database(postgres) as url,
        clients(valkey.connection_url, url) as ask,
    ):
        ask.ask_until(lambda found: "valkey" in found)
        assert ask.invalidate("acme")
        valkey.stop()
        ask.ask_until(lambda found: "sql" in found and ask.tier("valkey")["away"])
        assert ask.invalidate("rival")  # invalidations are in PostgreSQL
        ask.round()

        with valkey_server(port=port) as again, redis.Redis.from_url(again.connection_url) as client:
            ask.ask_until(lambda found: "valkey" in found and not ask.tier("valkey")["away"])
            crash(postgres)
            ask.ask_until(lambda found: "valkey" in found and ask.tier("sql")["away"])
            assert ask.tier("sql")["usage"] is None
            assert not ask.invalidate("acme")  # and it is said that nothing was

            postgres.ensure_postgres_running()
            ask.ask_until(lambda _: ask.invalidate("acme"))
            client.flushall()
            ask.ask_until(lambda found: "sql" in found and not ask.tier("sql")["away"])
            ask.round()
