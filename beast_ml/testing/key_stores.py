"""What every place that keeps API keys must do: a test suite to inherit."""

# ruff: noqa: S101 - a test suite, which happens to be public

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from beast_ml.errors import InputError
from beast_ml.operations.keys.key import digest_of, id_in
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.clock import FakeClock

__all__ = ["KeyStoreContract"]


class KeyStoreContract:
    """Inherit it and give the fixtures ``clock`` (a `FakeClock`) and ``store`` (an empty store on that clock)."""

    def test_starts_empty(self, store: KeyStore) -> None:
        """Nothing was made, nothing changed."""
        assert store.list() == []
        assert store.n_changes() == 0

    def test_keeps_all_of_a_key_but_its_secret(self, store: KeyStore, clock: FakeClock) -> None:
        """The key is told once; its hash, owner and times are kept."""
        ends = clock.now() + timedelta(days=30)
        key = store.create("acme", "laptop", ends)
        (kept,) = store.list()
        assert kept.id == id_in(key)
        assert kept.digest == digest_of(key.encode())
        assert (kept.tenant, kept.name, kept.admin) == ("acme", "laptop", False)
        assert (kept.created_at, kept.expires_at, kept.revoked_at) == (clock.now(), ends, None)
        assert key.rpartition("_")[2] not in repr(kept)

    def test_lists_oldest_first(self, store: KeyStore, clock: FakeClock) -> None:
        """Expired and revoked ones, too."""
        ids = []
        for tenant in ("b", "a", "c"):
            ids.append(id_in(store.create(tenant, expires_at=clock.now() + timedelta(seconds=5))))
            clock.advance(10.0)
        store.revoke(ids[1])
        assert [key.id for key in store.list()] == ids
        assert [key.state(clock.now()) for key in store.list()] == ["expired", "revoked", "expired"]

    def test_revokes_once_and_for_good(self, store: KeyStore, clock: FakeClock) -> None:
        """Revoking again changes nothing, not even the time of it."""
        key = store.create("acme")
        first = store.revoke(id_in(key))
        assert first.revoked_at == clock.now()
        n = store.n_changes()
        clock.advance(60.0)
        assert store.revoke(key) == first  # the whole key will do
        assert store.n_changes() == n

    def test_counts_changes(self, store: KeyStore) -> None:
        """So that a worker sees that it must read again."""
        key = store.create("acme")
        assert store.n_changes() == 1
        store.revoke(key)
        n, keys = store.read()
        assert n == 2
        assert len(keys) == 1

    def test_refuses_unknown_ids(self, store: KeyStore) -> None:
        """With the way to the known ones."""
        with pytest.raises(InputError, match="beast keys list"):
            store.revoke("0123456789ab")
        with pytest.raises(InputError, match="no key"):
            store.revoke("'; drop table api_keys; --")
        assert store.n_changes() == 0

    def test_refuses_keys_that_can_never_work(self, store: KeyStore, clock: FakeClock) -> None:
        """Expired ones, and ones of tenants that cannot be."""
        with pytest.raises(InputError, match="after now"):
            store.create("acme", expires_at=clock.now())
        with pytest.raises(InputError, match="aware"):
            store.create("acme", expires_at=(clock.now() + timedelta(days=1)).replace(tzinfo=None))
        with pytest.raises(InputError, match="tenant"):
            store.create("a/b")
        with pytest.raises(InputError, match="name"):
            store.create("acme", "\x00")
        assert store.list() == []

    def test_takes_keys_from_many_at_once(self, store: KeyStore) -> None:
        """Every key and every change is counted."""
        threads = [threading.Thread(target=store.create, args=("acme", str(i))) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(key.name for key in store.list()) == [str(i) for i in range(8)]
        assert store.n_changes() == 8
