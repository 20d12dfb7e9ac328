import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
import redis

from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.tiers.valkey import ValkeyTier
from beast_ml.errors import UnavailableError
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.postgresql import crash, fresh_database, postgresql_server
from beast_ml.testing.tier_writer import answer_of, entry_of
from beast_ml.testing.valkey import valkey_server

N_KEYS = 60


@pytest.mark.slow
def test_a_writer_that_is_killed_loses_nothing_durable_and_leaves_nothing_wrong(tmp_path: Path) -> None:
    path, rng = tmp_path / "cache.db", Random(5)
    stored: set[str] = set()
    removed: set[str] = set()
    unsure: set[str] = set()
    for seed in range(6):
        command = [sys.executable, "-m", "beast_ml.testing.tier_writer", str(path), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            kill = threading.Timer(rng.uniform(0.0, 0.5), writer.kill)
            kill.start()
            lines = [first, *writer.stdout]
        assert lines[0].startswith("+")
        for line in lines:
            sign, *names = line.split()
            if not line.endswith("\n"):
                continue  # torn: the process was killed while it told us
            if sign == "+":
                stored |= set(names)
            else:
                unsure |= set(names)
                removed |= set(names) if sign == "-" else set()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tier = SqlTier.open(f"sqlite:///{path}")
        found = {entry.entry_id: entry for entry in tier.scan()}
        assert stored - unsure <= found.keys()
        assert not removed & found.keys()
        for name, entry in found.items():
            assert entry.answer == answer_of(name)
            assert entry.key == entry_of(name).key
        by_key = tier.get_many([entry.key.exact for entry in found.values()])
        assert by_key == {entry.key.exact: entry for entry in found.values()}
        assert {tenant: n for tenant, (n, _) in tier.usage().items()} == Counter(
            entry.key.tenant_id for entry in found.values()
        )
        tier.close()
    assert len(stored) > 100


class Traffic:
    """Threads that ask, and store what is missed, all the time; what they are told is checked."""

    def __init__(self, shared: list[Tier]) -> None:
        # A memory too small for all keys, so that the shared tiers are asked time and again.
        self.cache = TieredCache(MemoryTier(MemoryLimits(max_entries=N_KEYS // 4)), shared)
        self.n_lookups = self.n_wrong = 0
        self.slowest_s = 0.0
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(3) as threads:
            work = [threads.submit(self._work, seed) for seed in range(3)]
            try:
                yield
            finally:
                self._stop.set()
            for each in work:
                each.result()  # raises what a thread raised

    def _work(self, seed: int) -> None:
        rng = Random(seed)
        while not self._stop.is_set():
            tenant, n = rng.choice(("acme", "other")), rng.randrange(N_KEYS)
            key = cache_key(tenant, f"{n}")
            start = time.perf_counter()
            hit = self.cache.lookup(key) or self.cache.lookup_shared(key)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - start)
            self.n_lookups += 1
            if hit is None:
                answer = f"{tenant} {n}".encode()
                self.cache.store(cache_entry(f"{tenant} {n} {rng.random()}", key, time.time(), answer=answer))
            elif hit.entry.answer != f"{tenant} {n}".encode():
                self.n_wrong += 1
            time.sleep(0.002)

    def heals(self, tier: str, within_s: float = 30.0) -> bool:
        """Return whether a tier answers again, and has what waited for it."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            stats = next(each for each in self.cache.stats().tiers if each.tier == tier)
            if not stats.away and self.cache.flush(1.0):
                return True
            time.sleep(0.1)
        return False


def hits(traffic: Traffic, tier: str) -> int:
    return next(each.hits for each in traffic.cache.stats().tiers if each.tier == tier)


def wait_until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_valkey_flushed_in_use_only_misses(valkey_url: str, tmp_path: Path) -> None:
    valkey, sql = ValkeyTier.open(valkey_url, timeout_s=2.0), SqlTier.open(f"sqlite:///{tmp_path}/cache.db")
    traffic = Traffic([valkey, sql])
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
        with traffic.running():
            wait_until(lambda: hits(traffic, "valkey") > 50)
            for _ in range(20):
                client.flushall()
                client.script_flush()
                time.sleep(0.05)
            before, deep = hits(traffic, "valkey"), hits(traffic, "sql")
            wait_until(lambda: hits(traffic, "valkey") > before + 50)
        assert deep > 0  # the next tier served meanwhile, and filled Valkey again
    assert traffic.n_wrong == 0
    assert traffic.cache.close()


@pytest.mark.slow
def test_a_valkey_stopped_in_use_is_skipped_and_heals(tmp_path: Path) -> None:
    server = valkey_server()
    server.start()
    valkey = ValkeyTier.open(server.connection_url)
    traffic = Traffic([valkey, SqlTier.open(f"sqlite:///{tmp_path}/cache.db")])
    with traffic.running():
        wait_until(lambda: hits(traffic, "valkey") > 50)
        port = server.port
        server.stop()
        wait_until(lambda: hits(traffic, "sql") > 50)
        again = valkey_server(port=port)
        again.start()
        assert traffic.heals("valkey")
        before = hits(traffic, "valkey")
        wait_until(lambda: hits(traffic, "valkey") > before + 50)
    assert traffic.n_wrong == 0
    traffic.cache.close()
    again.stop()


def test_a_valkey_that_hangs_costs_a_lookup_no_more_than_its_timeout() -> None:
    with valkey_server() as server:
        tier = ValkeyTier.open(server.connection_url, timeout_s=0.1)
        assert tier.get_many([b"key"]) == {}
        with redis.Redis.from_url(server.connection_url) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.perf_counter()
            with pytest.raises(UnavailableError, match="does not answer"):
                tier.get_many([b"key"])
            assert time.perf_counter() - start < 0.5
        finally:
            os.kill(pid, signal.SIGCONT)
        assert tier.get_many([b"key"]) == {}
        tier.close()


@pytest.mark.slow
def test_a_postgresql_stopped_in_use_is_skipped_and_heals(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    with postgresql_server() as server, fresh_database(server) as url:
        traffic = Traffic([ValkeyTier.open(valkey_url, timeout_s=2.0), SqlTier.open(url)])
        with traffic.running():
            wait_until(lambda: hits(traffic, "valkey") > 50)
            assert traffic.cache.flush(10.0)
            crash(server)
            before = hits(traffic, "valkey")
            wait_until(lambda: next(each.away for each in traffic.cache.stats().tiers if each.tier == "sql"))
            wait_until(lambda: hits(traffic, "valkey") > before + 50)
            server.ensure_postgres_running()
            with redis.Redis.from_url(valkey_url) as client:
                client.flushdb()
            assert traffic.heals("sql")
            before = hits(traffic, "sql")
            with redis.Redis.from_url(valkey_url) as client:
                client.flushdb()  # what was durable before the crash is there after it
            wait_until(lambda: hits(traffic, "sql") > before)
        assert traffic.n_wrong == 0
        traffic.cache.close()
