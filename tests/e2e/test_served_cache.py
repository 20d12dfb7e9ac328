"""The cache of `beast serve` with several workers, and with workers that are killed."""

import http.client
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import ExitStack, closing

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.cached_chats import chat, made_as, wrong
from beast_ml.testing.fake_provider import FakeProvider
from beast_ml.testing.worlds import WORLD_MODELS

TENANTS = ("acme", "rival")
SECRETS = {"BEAST_CACHE__ENABLED": "true", "BEAST_CACHE__SECRET": "of no worth, but long enough"}


@pytest.fixture
def provider():
    with FakeProvider() as running:
        yield running


@pytest.fixture
def keys(tmp_path):
    store = KeyStore.open(tmp_path / "state", None)
    return {tenant: store.create(tenant) for tenant in TENANTS}


@pytest.fixture
def start(tmp_path, router_folder, provider, keys):
    """Return a function that starts two workers; a second server goes on with what the first one has left."""
    servers = []
    endpoints = [{"name": model, "model": model, "base_url": provider.base_url()} for model in WORLD_MODELS]

    def started():
        port = free_port()
        options = ["--router", router_folder, "--port", port, "--state", tmp_path / "state", "--workers", 2]
        command = [sys.executable, "-m", "beast_ml.cli", "serve", *map(str, options)]
        environment = {**SECRETS, "BEAST_ENDPOINTS": json.dumps(endpoints), "BEAST_ADMIN_KEY": "admin"}
        server = ServerProcess.start(
            command, port, tmp_path / "server.log", environment=environment, folder=tmp_path, workers=2
        )
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.kill()


class Client:
    """A connection, and so one worker.

    Parameters
    ----------
    server
        Who answers.
    provider
        Whom the server calls.
    keys
        By tenant.
    """

    def __init__(self, server, provider, keys):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._provider, self._keys = provider, keys

    def post(self, path, body, tenant="acme"):
        headers = {"authorization": f"Bearer {self._keys[tenant]}"}
        self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def ask(self, n, tenant="acme", form=0):
        """Return what the cache said, by tier, and which call of the provider made the answer."""
        body = chat(tenant, n, form=form)
        status, told, answer = self.post("/v1/chat/completions", body, tenant)
        assert status == 200, answer
        assert wrong(self._provider, body, answer) is None
        return told.get("x-beast-cache-tier", told["x-beast-cache"]), made_as(answer)

    def close(self):
        self._connection.close()


def written(server, n):
    """Wait until so many entries are in the shared tier."""
    deadline = time.monotonic() + 30.0
    while kept(server) < n:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kept(server):
    """Return how many entries are in the shared tier."""
    _, told = server.get("/v1/cache/stats", {"authorization": "Bearer admin"})
    return sum(tenant["entries"] for tenant in json.loads(told)["tiers"][1]["usage"])


@pytest.fixture
def pair(start, provider, keys):
    """Return (server, two clients of two workers)."""
    server = start()
    with ExitStack() as open_clients:
        one, *others = (open_clients.enter_context(closing(Client(server, provider, keys))) for _ in range(40))
        other = None
        for attempt in range(1, 20):  # what comes while a worker still fills its memory, as it starts, is there at once
            one.ask(99 + attempt)
            written(server, attempt)
            other = next((client for client in others if client.ask(99 + attempt)[0] == "sql"), None)
            if other is not None:
                break
        assert other is not None
        yield server, one, other


@pytest.mark.slow
def test_what_one_worker_has_kept_the_other_finds_and_what_one_invalidates_the_other_leaves(pair):
    server, one, other = pair
    before = kept(server)
    made = {n: one.ask(n)[1] for n in range(3)}
    written(server, before + 3)
    assert [other.ask(n) for n in made] == [("sql", made[n]) for n in made]
    assert [other.ask(n, form=1) for n in made] == [("memory", made[n]) for n in made]
    status, _, _ = one.post("/v1/cache/invalidate", {"everything": True})
    told_at = time.monotonic()
    assert status == 200
    assert one.ask(0)[0] == "miss"
    while other.ask(1)[1] == made[1]:
        assert time.monotonic() - told_at < 5.0
        time.sleep(0.05)
    assert other.ask(2)[1] != made[2]


@pytest.mark.slow
def test_counts_of_both_workers_are_shown(pair):
    server, one, other = pair
    for client in (one, other):
        client.ask(100)
    _, told = server.get("/v1/cache/stats", {"authorization": "Bearer admin"})
    hits = {tier["tier"]: sum(tier["hits"].values()) for tier in json.loads(told)["tiers"]}
    assert hits["sql"] == 1
    assert hits["memory"] >= 2


class Load:
    """Tenants that ask without a pause, each on connections of its own; what they are answered is judged."""

    def __init__(self, server, provider, keys):
        self.answered, self.wrong = 0, []
        self._stop = threading.Event()
        self._told = server, provider, keys
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def _ask(self, i):
        tenant, n = TENANTS[i % 2], i * 1000
        while not self._stop.is_set():
            try:
                with closing(Client(*self._told)) as client:
                    client.ask(n // 2, tenant)  # each of them twice: stored, and found
                self.answered += 1
                n += 1
            except AssertionError as error:
                self.wrong.append(str(error))
            except (OSError, http.client.HTTPException):
                pass  # its worker was killed

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
def test_workers_killed_in_the_middle_of_stores_leave_nothing_wrong(start, provider, keys, tmp_path):
    server = start()
    with Load(server, provider, keys) as load:
        for _ in range(3):
            before, deadline = load.answered, time.monotonic() + 30.0
            while load.answered < before + 100 or len(server.workers()) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(server.workers()[0], signal.SIGKILL)
        while load.answered < before + 200:
            time.sleep(0.02)
        server.kill()
    assert load.wrong == []
    with closing(sqlite3.connect(tmp_path / "state" / "cache.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    with closing(Client(start(), provider, keys)) as client:
        found = [client.ask(500 * i + n, tenant)[0] for i in range(4) for n in range(30) for tenant in TENANTS]
    assert found.count("sql") + found.count("memory") > 20  # filled from the last tier as the worker started
