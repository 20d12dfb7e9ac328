"""Keys in a real PostgreSQL: what every store must do, hosts that start together, and an outage."""

import threading

import pytest
import sqlalchemy as sa

from beast_ml.errors import AuthenticationError, UnavailableError
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.key_stores import KeyStoreContract
from beast_ml.testing.postgresql import fresh_database, postgresql_server


@pytest.fixture(scope="module")
def server():
    with postgresql_server() as server:
        yield server


@pytest.fixture
def address(server):
    with fresh_database(server) as address:
        yield address


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(tmp_path, address, clock):
    store = KeyStore.open(tmp_path, address, clock)
    yield store
    store.close()


class TestPostgreSQL(KeyStoreContract):
    pass


def test_hosts_that_start_together_make_the_tables_once(tmp_path, address):
    stores = [KeyStore.open(tmp_path, address) for _ in range(6)]
    begin, keys = threading.Barrier(6), []

    def start(store):
        begin.wait()
        keys.append(store.create("acme"))

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 6 == stores[0].n_changes() == len(stores[1].list())
    for store in stores:
        store.close()


def test_a_host_sees_what_another_revoked_and_outlives_an_outage(tmp_path, address, server):
    here, there = KeyStore.open(tmp_path, address), KeyStore.open(tmp_path, address)
    key = there.create("acme").encode()
    ring = KeyRing(here)
    ring.refresh()
    assert ring.tenant_of(key) == "acme"
    name = sa.make_url(address).database
    server.psql(f"alter database {name} with allow_connections false;")
    server.psql("select pg_terminate_backend(pid) from pg_stat_activity where datname like 'test_%';")
    ring.refresh()
    assert "does not answer" in ring.error
    assert ring.tenant_of(key) == "acme"
    with pytest.raises(UnavailableError):
        there.revoke(key.decode())
    server.psql(f"alter database {name} with allow_connections true;")
    there.revoke(key.decode())
    ring.refresh()
    assert ring.error is None
    with pytest.raises(AuthenticationError, match="revoked"):
        ring.tenant_of(key)
    here.close()
    there.close()
