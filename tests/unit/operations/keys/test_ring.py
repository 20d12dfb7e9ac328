import threading
import time
from datetime import timedelta

import pytest

from beast_ml.errors import AuthenticationError, UnavailableError
from beast_ml.operations.keys.key import id_in
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.clock import FakeClock


class Switch:
    """A store that can be cut off, and that counts how often it is read."""

    def __init__(self, store):
        self.store, self.away, self.n_reads = store, False, 0

    def n_changes(self):
        if self.away:
            raise UnavailableError("the database is away")
        return self.store.n_changes()

    def close(self):
        self.store.close()

    def read(self):
        self.n_reads += 1
        return self.store.read()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(tmp_path, clock):
    store = KeyStore.open(tmp_path / "state", clock=clock)
    yield store
    store.close()


@pytest.fixture
def switch(store):
    return Switch(store)


@pytest.fixture
def ring(switch, clock):
    return KeyRing(switch, now=lambda: clock.now().timestamp())


def test_a_known_key_names_its_tenant(ring, store):
    acme, other = store.create("acme"), store.create("other")
    ring.refresh()
    assert ring.tenant_of(acme.encode()) == "acme"
    assert ring.tenant_of(other.encode()) == "other"


def test_no_other_key_does(ring, store):
    key = store.create("acme")
    ring.refresh()
    for wrong in (b"", b"bst_", key[:-1].encode(), key.encode() + b"0", id_in(key).encode(), key.upper().encode()):
        with pytest.raises(AuthenticationError, match="not known"):
            ring.tenant_of(wrong)


def test_an_expired_key_is_said_so_only_to_who_holds_it(ring, store, clock):
    key = store.create("acme", expires_at=clock.now() + timedelta(hours=1))
    ring.refresh()
    clock.advance(3599.0)
    assert ring.tenant_of(key.encode()) == "acme"
    clock.advance(1.0)
    with pytest.raises(AuthenticationError, match="expired at 2026-01-01 01:00 UTC"):
        ring.tenant_of(key.encode())
    with pytest.raises(AuthenticationError, match="not known"):
        ring.tenant_of(f"bst_{id_in(key)}_{'0' * 48}".encode())


def test_a_revoked_key_ends_with_the_next_look(ring, store):
    key = store.create("acme")
    ring.refresh()
    store.revoke(key)
    assert ring.tenant_of(key.encode()) == "acme"
    ring.refresh()
    with pytest.raises(AuthenticationError, match="was revoked at 2026-01-01"):
        ring.tenant_of(key.encode())


def test_keys_are_read_only_when_they_changed(ring, store, switch):
    for _ in range(5):
        ring.refresh()
    store.create("acme")
    for _ in range(5):
        ring.refresh()
    assert switch.n_reads == 2


def test_it_is_known_whether_there_are_keys_at_all(ring, store):
    assert not ring.is_empty  # nobody looked: a server must not be open because of that
    ring.refresh()
    assert ring.is_empty
    store.revoke(store.create("acme"))
    ring.refresh()
    assert not ring.is_empty


def test_known_keys_hold_while_the_database_is_away(ring, store, switch):
    key = store.create("acme")
    ring.refresh()
    switch.away = True
    ring.refresh()
    assert ring.error == "the database is away"
    assert ring.tenant_of(key.encode()) == "acme"
    switch.away = False
    ring.refresh()
    assert ring.error is None


def test_without_any_look_at_the_keys_no_one_is_let_in(ring, switch):
    switch.away = True
    ring.refresh()
    assert not ring.is_empty
    with pytest.raises(UnavailableError, match="the database is away"):
        ring.tenant_of(b"bst_0_0")


def test_a_worker_starts_on_the_keys_of_before(switch, store, tmp_path):
    copy = tmp_path / "keys.json"
    key, revoked = store.create("acme"), store.create("acme")
    store.revoke(revoked)
    KeyRing(switch, copy=copy).refresh()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert key.rpartition("_")[2] not in copy.read_text()
    switch.away = True
    ring = KeyRing(switch, copy=copy)
    ring.refresh()
    assert ring.tenant_of(key.encode()) == "acme"
    with pytest.raises(AuthenticationError, match="revoked"):
        ring.tenant_of(revoked.encode())


def test_a_broken_copy_lets_no_one_in(switch, tmp_path):
    switch.away = True
    (tmp_path / "keys.json").write_text("[{]")
    ring = KeyRing(switch, copy=tmp_path / "keys.json")
    ring.refresh()
    with pytest.raises(UnavailableError):
        ring.tenant_of(b"bst_0_0")


def test_a_copy_that_cannot_be_written_does_not_matter(switch, store, tmp_path):
    key = store.create("acme")
    (tmp_path / "a file").touch()
    ring = KeyRing(switch, copy=tmp_path / "a file" / "keys.json")
    ring.refresh()
    assert ring.tenant_of(key.encode()) == "acme"


def test_a_copy_that_could_not_be_written_is_written_once_that_is_possible(switch, store, tmp_path):
    key = store.create("acme")
    (tmp_path / "copies").touch()
    ring = KeyRing(switch, copy=tmp_path / "copies" / "keys.json")
    ring.refresh()
    ring.refresh()
    (tmp_path / "copies").unlink()  # now the folder can be made
    ring.refresh()
    switch.away = True
    other = KeyRing(switch, copy=tmp_path / "copies" / "keys.json")
    other.refresh()
    assert other.tenant_of(key.encode()) == "acme"


def eventually(holds):
    for _ in range(1000):
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_the_thread_follows_the_store_and_ends(store, clock):
    ring = KeyRing(store, refresh_s=0.01)
    ring.start()
    key = store.create("acme")

    def works():
        try:
            return ring.tenant_of(key.encode()) == "acme"
        except AuthenticationError:
            return False

    assert eventually(works)
    ring.close()
    assert not any(thread.name == "beast-keys" for thread in threading.enumerate())


def test_an_unknown_key_makes_the_thread_look_at_once(store):
    ring = KeyRing(store, refresh_s=3600.0)
    ring.start()
    key = store.create("acme")

    def works():
        try:
            return ring.tenant_of(key.encode()) == "acme"
        except AuthenticationError:
            return False

    assert not works()
    assert eventually(works)
    ring.close()


def test_the_thread_outlives_what_it_did_not_expect(store, switch):
    ring = KeyRing(switch, refresh_s=0.01)
    ring.start()
    switch.n_changes = lambda: 1 // 0
    assert eventually(lambda: "ZeroDivisionError" in (ring.error or ""))
    del switch.n_changes
    assert eventually(lambda: ring.error is None)
    ring.close()
