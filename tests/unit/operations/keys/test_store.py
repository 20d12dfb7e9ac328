import sqlite3
from contextlib import closing

import pytest

from beast_ml.errors import InputError, UnavailableError
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.key_stores import KeyStoreContract


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(tmp_path, clock):
    store = KeyStore.open(tmp_path / "state", clock=clock)
    yield store
    store.close()


class TestSQLite(KeyStoreContract):
    pass


def test_no_secret_is_in_the_file(store, tmp_path):
    key = store.create("acme", "laptop")
    store.close()
    content = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"laptop" in content
    assert key.rpartition("_")[2].encode() not in content


def test_keys_are_there_after_a_restart(store, tmp_path):
    store.create("acme")
    again = KeyStore.open(tmp_path / "state")
    assert [key.tenant for key in again.list()] == ["acme"]
    again.close()


def test_a_file_that_is_no_database_is_said_so(tmp_path):
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be read as one" * 10)
    store = KeyStore.open(tmp_path)
    with pytest.raises(UnavailableError, match=r"state\.db.*not a database"):
        store.list()
    store.close()


def test_it_works_again_once_the_database_does(store, tmp_path):
    store.create("acme")
    with closing(sqlite3.connect(tmp_path / "state" / "state.db", isolation_level=None)) as other:
        other.execute("ALTER TABLE api_keys RENAME TO away")
        with pytest.raises(UnavailableError, match="no such table"):
            store.list()
        other.execute("ALTER TABLE away RENAME TO api_keys")
    assert len(store.list()) == 1


@pytest.mark.parametrize("address", ["mysql://here/db", "sqlite:///x.db", "nonsense", "//"])
def test_other_databases_are_refused(tmp_path, address):
    with pytest.raises(InputError, match=r"must be .*postgresql://"):
        KeyStore.open(tmp_path, address)


def test_a_database_that_is_away_is_named_without_its_password(tmp_path):
    store = KeyStore.open(tmp_path, "postgresql://me:hunter2@127.0.0.1:1/beast")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1/beast") as caught:
        store.list()
    assert "hunter2" not in str(caught.value)
    store.close()
