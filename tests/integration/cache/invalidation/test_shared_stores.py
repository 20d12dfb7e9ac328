"""Invalidations in real servers: what every store must do, and what several hosts see."""

import threading
import time

import numpy as np
import pytest
import redis

from beast_ml.cache.invalidation.open_store import open_invalidator
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.invalidation.store import Record
from beast_ml.cache.invalidation.valkey_store import ValkeyInvalidations
from beast_ml.errors import UnavailableError
from beast_ml.testing.invalidation_conformance import InvalidationStoreContract, entry_for, key_for
from beast_ml.testing.valkey import valkey_server

QUERY, OTHER = key_for("enable 2FA"), key_for("disable 2FA")


class TestPostgreSQL(InvalidationStoreContract):
    @pytest.fixture
    def store(self, postgres_url):
        store = SqlInvalidations.open(postgres_url)
        yield store
        store.close()

    @pytest.fixture
    def small_store(self, store):
        return SqlInvalidations(store._engine, max_scopes=10)


class TestValkey(InvalidationStoreContract):
    @pytest.fixture
    def store(self, valkey_url):
        client = redis.Redis.from_url(valkey_url)
        client.flushdb()
        return ValkeyInvalidations(client)

    @pytest.fixture
    def small_store(self, store):
        return ValkeyInvalidations(store._client, max_scopes=10)


def test_valkey_takes_back_as_much_as_may_be_known(valkey_url):
    client = redis.Redis.from_url(valkey_url)
    client.flushdb()
    store = ValkeyInvalidations(client)
    at = store.merge(Record())
    for i in range(10):
        at = store.append(at, [f"e\x1f{i:04d}{j:05d}" for j in range(2_000)])
    known = store.read()
    client.flushdb()
    restored = store.merge(known)
    assert restored.n == 11
    assert store.read().epochs == known.epochs


def test_hosts_that_start_together_make_one_postgresql_store(postgres_url):
    stores = [SqlInvalidations.open(postgres_url) for _ in range(6)]
    begin, found = threading.Barrier(6), []

    def start(store):
        begin.wait()
        found.append(store.merge(Record()))

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    for store in stores:
        store.close()


def test_an_invalidation_reaches_other_hosts_within_a_second(postgres_url, valkey_url, tmp_path, host):
    redis.Redis.from_url(valkey_url).flushdb()
    for database, valkey in ((postgres_url, None), (None, valkey_url), (None, None)):
        shared = tmp_path / "one-host"
        folders = [tmp_path / "a", tmp_path / "b"] if valkey or database else [shared, shared]
        here, there = (host(database, valkey, folder) for folder in folders)
        here.start()
        there.start()
        wait_until(lambda: here.table.stamp() == there.table.stamp() > 0)  # noqa: B023 - called at once
        entry = entry_for(QUERY, here.table.stamp())
        assert there.table.holds(entry)
        here.invalidate(Scope("tenant", "acme"))
        assert not here.table.holds(entry)
        began = time.monotonic()
        wait_until(lambda: not there.table.holds(entry))  # noqa: B023
        assert time.monotonic() - began < 1.0


def test_a_flush_of_valkey_brings_nothing_back(valkey_url, tmp_path, host):
    client = redis.Redis.from_url(valkey_url)
    client.flushdb()
    a, b = (host(None, valkey_url, tmp_path / name) for name in "ab")
    a.refresh()
    good, bad = entry_for(OTHER, a.table.stamp(), "good"), entry_for(OTHER, a.table.stamp(), "bad")
    a.forbid(QUERY, good, "semantic")
    b.refresh()
    a.invalidate(Scope("entry", "bad"))  # which only `a` knows, as everything is lost
    client.flushall()
    for each in (b, a, b):  # the one that knows less comes first
        each.refresh()
        assert not each.table.allows(QUERY, good, "semantic")
        assert each.table.allows(OTHER, good, "exact")
    assert not a.table.holds(bad)
    assert not b.table.holds(bad)


def test_the_copy_on_disk_outlives_valkey_and_the_process(valkey_url, tmp_path, host):
    client = redis.Redis.from_url(valkey_url)
    client.flushdb()
    first = host(None, valkey_url, tmp_path)
    first.refresh()
    good, bad = entry_for(OTHER, first.table.stamp(), "good"), entry_for(OTHER, first.table.stamp(), "bad")
    first.invalidate(Scope("entry", "bad"))
    first.forbid(QUERY, good, "semantic")
    client.flushall()
    second = host(None, valkey_url, tmp_path)
    second.refresh()
    assert second.table.holds(good)
    assert not second.table.holds(bad)
    assert not second.table.allows(QUERY, good, "semantic")
    second.invalidate(Scope("entry", "good"))  # the next change comes after all the old ones
    second.refresh()
    assert not second.table.holds(good)
    assert not second.table.holds(bad)


def test_without_a_copy_a_flush_drops_everything_made_before(valkey_url):
    from beast_ml.cache.invalidation.invalidator import Invalidator

    client = redis.Redis.from_url(valkey_url)
    client.flushdb()
    first = Invalidator(ValkeyInvalidations(client))
    first.refresh()
    entry = entry_for(OTHER, first.table.stamp())
    client.flushdb()
    stranger = Invalidator(ValkeyInvalidations(client))
    stranger.refresh()
    assert not stranger.table.holds(entry)
    assert first.refresh()
    assert not first.table.holds(entry)


def test_an_outage_keeps_what_is_known_and_heals(tmp_path, host):
    server = valkey_server(data_dir=tmp_path / "valkey")
    server.start()
    port = server.port
    here = host(None, server.connection_url, tmp_path, poll_s=0.05, max_silence_s=0.5)
    here.start()
    wait_until(lambda: here.table.stamp() > 0)
    good, bad = entry_for(OTHER, here.table.stamp(), "good"), entry_for(OTHER, here.table.stamp(), "bad")
    here.invalidate(Scope("entry", "bad"))
    server.stop()
    with pytest.raises(UnavailableError, match="does not answer"):
        here.invalidate(Scope("entry", "good"))
    assert here.table.holds(good)
    assert not here.table.holds(bad)
    wait_until(lambda: not here.table.holds(good))  # after `max_silence_s` nobody knows
    assert "does not answer" in here.error
    empty = valkey_server(port=port, data_dir=tmp_path / "other")
    empty.start()
    wait_until(lambda: here.table.holds(good))
    assert not here.table.holds(bad)
    empty.stop()


def test_a_neighbourhood_is_invalid_on_every_host(postgres_url, tmp_path, host):
    here, there = (host(postgres_url, None, tmp_path / name) for name in "ab")
    here.refresh()
    near = np.array([0.995, np.sqrt(1 - 0.995**2), 0.0], dtype=np.float32)
    far = np.array([0.0, 0.0, 1.0], dtype=np.float32)
    entry = entry_for(OTHER, here.table.stamp())
    assert (
        here.invalidate_near("acme", np.array([1.0, 0.0, 0.0], dtype=np.float32), 0.01, neighbours=lambda *_: ["7"])
        == 1
    )
    there.refresh()
    for each in (here, there):
        assert not each.table.holds(entry, near)
        assert each.table.holds(entry, far)
        assert not each.table.holds(entry_for(OTHER, entry.epoch, "7"))
        assert each.table.holds(entry_for(OTHER, each.table.stamp()), near)


@pytest.fixture
def host():
    """Return `open_invalidator`, which is closed at the end."""
    opened = []

    def open_one(*arguments, **options):
        opened.append(open_invalidator(*arguments, **options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def wait_until(happened):
    deadline = time.monotonic() + 10.0
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
