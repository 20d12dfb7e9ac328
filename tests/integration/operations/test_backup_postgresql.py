"""What hosts share in PostgreSQL goes into a backup as of one moment, and comes back into an empty database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.invalidation.store import Position
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.errors import InputError
from beast_ml.logs.forgotten import FORGOTTEN_FILE, Named, remember_forgotten
from beast_ml.operations.backup.manifest import read_manifest
from beast_ml.operations.backup.restore import restore
from beast_ml.operations.backup.take import take_backup
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.deployments import make_deployment, places_of, spend
from beast_ml.testing.postgresql import fresh_database, postgresql_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with postgresql_server() as running:
        yield running


@pytest.fixture
def database(server: Any) -> Iterator[str]:
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def other_database(server: Any) -> Iterator[str]:
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def filled(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Fill a database and a state folder, and return the database's address."""
    root = tmp_path / "server"
    root.mkdir()
    make_deployment(root)
    monkeypatch.chdir(root)
    with closing(KeyStore.open(root, database)) as keys:
        keys.create("shared")
    spend(database, 10**7, NOON, lease_nano=10**8)
    tier = SqlTier.open(database)
    for tenant in ("acme", "other"):
        tier.put_many([cache_entry(f"of-{tenant}", cache_key(tenant, "a\tb\\n\n"), NOON.timestamp(), 1e9)])
    tier.close()
    invalidations = SqlInvalidations.open(database)
    invalidations.merge(invalidations.read())
    invalidations.append(invalidations.position(), [Scope("tenant", "acme").name])
    invalidations.close()
    return database


def test_it_comes_back_into_an_empty_database(filled: str, other_database: str, tmp_path: Path) -> None:
    places = places_of(tmp_path / "server", filled)
    stop, failed = threading.Event(), []

    def go_on() -> None:
        try:
            while not stop.is_set():
                spend(filled, 1, NOON)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failed.append(error)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        made = take_backup(places, tmp_path / "backups")
    finally:
        stop.set()
        writer.join()
    assert not failed
    manifest = read_manifest(made.folder)
    assert manifest.tables["api_keys"].n_rows == 1
    assert manifest.tables["cache_entries"].n_rows == 2
    new = tmp_path / "new"
    with pytest.raises(InputError, match="BEAST_DATABASE_URL"):
        restore(made.folder, new)
    with pytest.raises(InputError, match="has rows"):
        restore(made.folder, new, database_url=filled)
    one = Named("acme", None, datetime.now(UTC), prompts_only=False).hashed()
    remember_forgotten(tmp_path / "backups" / FORGOTTEN_FILE, one)
    restore(made.folder, new, database_url=other_database)

    with closing(KeyStore.open(new, filled)) as before, closing(KeyStore.open(new, other_database)) as after:
        assert after.list() == before.list()
    ledger = SqlLedger.open(other_database)
    (account,) = (each for each in ledger.accounts(ended=True) if each.window == "2026-03-01")
    ledger.close()
    assert account.settled + account.lost >= 50_000_000 + 10**8  # the log's five requests, and the lease
    assert account.leased == 0
    tier = SqlTier.open(other_database)
    assert [entry.entry_id for entry in tier.scan()] == ["of-other"]
    tier.close()
    invalidations = SqlInvalidations.open(other_database)
    assert Scope("tenant", "acme").name in invalidations.read().epochs
    assert isinstance(invalidations.position(), Position)
    invalidations.close()
    restore(made.folder, tmp_path / "once more", database_url=other_database, replace=True)
