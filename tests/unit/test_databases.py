import sys

import pytest
import sqlalchemy as sa

from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.invalidation.valkey_store import ValkeyInvalidations
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.tiers.valkey import ValkeyTier
from beast_ml.databases import database_address, sql_engine, valkey_client
from beast_ml.errors import InputError, MissingExtraError
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.budgets.valkey_ledger import ValkeyLedger
from beast_ml.operations.keys.store import KeyStore


def open_keys(url, folder):
    return KeyStore.open(folder, url)


SQL = [SqlInvalidations.open, SqlTier.open, SqlLedger.open]
VALKEY = [ValkeyInvalidations.open, ValkeyTier.open, ValkeyLedger.open]


@pytest.mark.parametrize("url", ["nonsense", "postgresql://me:pa55word@host:pa55word/db"])
@pytest.mark.parametrize("open_one", SQL)
def test_a_malformed_database_is_one_sentence_that_repeats_no_password(open_one, url, tmp_path):
    for call in (lambda: open_one(url), lambda: open_keys(url, tmp_path)):
        with pytest.raises(InputError, match="`database_url` is no address") as refused:
            call()
        assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense", "redis://:pa55word/more@host"])
@pytest.mark.parametrize("open_one", VALKEY)
def test_a_malformed_valkey_is_one_sentence_that_repeats_no_password(open_one, url):
    with pytest.raises(InputError, match="`redis_url` is no address") as refused:
        open_one(url)
    assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize("open_one", SQL)
def test_other_databases_are_refused_by_name(open_one):
    with pytest.raises(InputError, match="names mysql, must be sqlite or postgresql"):
        open_one("mysql://host/db")


def test_a_driver_that_is_not_there_is_said_with_its_extra(monkeypatch):
    for module in ("psycopg", "redis"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"A thing in PostgreSQL.*cluster"):
        sql_engine("postgresql://host/db", "A thing", postgresql={}, sqlite={}, synchronous="FULL")
    with pytest.raises(MissingExtraError, match=r"A thing in Valkey.*cluster"):
        valkey_client("redis://host", "A thing")


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_sqlite_writes_ahead_and_begins_nothing_by_itself(tmp_path, synchronous, number):
    engine = sql_engine(f"sqlite:///{tmp_path}/x.db", "A thing", postgresql={}, sqlite={}, synchronous=synchronous)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == number
        connection.exec_driver_sql("CREATE TABLE t (a)")
        assert not connection.connection.driver_connection.in_transaction
    engine.dispose()


def test_an_address_has_parts():
    assert database_address("postgresql://host/db") == sa.URL.create("postgresql", host="host", database="db")


def test_a_new_sqlite_file_is_read_by_its_owner_only(tmp_path):
    engine = sql_engine(f"sqlite:///{tmp_path / 'new.db'}", "This", postgresql={}, sqlite={}, synchronous="FULL")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.commit()
        modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()}
    engine.dispose()
    assert "new.db" in modes
    assert set(modes.values()) == {0}
