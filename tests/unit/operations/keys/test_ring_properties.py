"""Whatever is made, revoked, expires, or is away: a key opens its own tenant's door, and no other."""

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from beast_ml.errors import AuthenticationError, UnavailableError
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.clock import FakeClock


class Cuttable:
    def __init__(self, store):
        self.store, self.away = store, False

    def n_changes(self):
        if self.away:
            raise UnavailableError("away")
        return self.store.n_changes()

    def read(self):
        return self.store.read()

    def close(self):
        self.store.close()


class Keys(RuleBasedStateMachine):
    keys = Bundle("keys")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.store = Cuttable(KeyStore.open(Path(self.folder.name), clock=self.clock))
        self.owner, self.ends, self.revoked = {}, {}, set()  # as they are
        self.seen, self.seen_revoked = set(), set()  # as the ring saw them last
        self.start()

    def start(self):
        self.ring = KeyRing(
            self.store, copy=Path(self.folder.name) / "keys.json", now=lambda: self.clock.now().timestamp()
        )
        self.refresh()

    @rule(target=keys, tenant=st.sampled_from(["acme", "other"]), days=st.none() | st.integers(1, 3))
    def create(self, tenant, days):
        ends = None if days is None else self.clock.now() + timedelta(days=days)
        key = self.store.store.create(tenant, expires_at=ends)
        self.owner[key], self.ends[key] = tenant, ends
        return key

    @rule(target=keys, key=consumes(keys))
    def revoke(self, key):
        self.store.store.revoke(key)
        self.revoked.add(key)
        return multiple()

    @rule(hours=st.integers(-30, 40))
    def wait(self, hours):
        self.clock.advance(3600.0 * hours)

    @rule(away=st.booleans())
    def cut(self, away):
        self.store.away = away

    @rule()
    def refresh(self):
        self.ring.refresh()
        if not self.store.away:
            self.seen, self.seen_revoked = set(self.owner), set(self.revoked)

    @rule()
    def restart(self):
        if self.seen:  # else there is no copy to start on
            self.start()

    @invariant()
    def a_key_opens_its_own_door_alone(self):
        for key, tenant in self.owner.items():
            ends = self.ends[key]
            good = key in self.seen - self.seen_revoked and (ends is None or self.clock.now() < ends)
            try:
                assert self.ring.tenant_of(key.encode()) == tenant
                assert good
            except AuthenticationError:
                assert not good

    def teardown(self):
        self.store.close()
        self.folder.cleanup()


TestKeys = Keys.TestCase
TestKeys.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
