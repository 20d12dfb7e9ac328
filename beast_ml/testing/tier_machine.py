# ruff: noqa: S101 - these are tests, which subclasses in tests/ run
"""Everything that can happen to a cache tier with room enough, in any order, against a dict; see `TierMachine`."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.tiers.contract import Tier
from beast_ml.testing.cache_entries import cache_entry, cache_key

__all__ = ["TierMachine"]

# Requests 0 and 1 have one normal form, which is request 0; 2 and 3 have another, which is no request of its own.
_NORMAL: Final = {"0": "0", "1": "0", "2": "two", "3": "two", "4": "4"}
_KEYS: Final = [cache_key(tenant, n, normal) for tenant in ("acme", "other") for n, normal in _NORMAL.items()]
_DIGESTS: Final = sorted({digest for key in _KEYS for digest in (key.exact, key.normalised)})
_IDS: Final = [f"entry-{n}" for n in range(8)]
_UNKNOWN: Final = (b"no such key", "no such entry")


class TierMachine(RuleBasedStateMachine):
    """Entries are put in any order of age, replaced, removed, and expire; the clock moves forward.

    A subclass makes an empty tier in `make_tier`. Servers have clocks of their own, so that this one begins with the
    machine's, and lives are longer than a run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self._start = float(int(time.time()))
        self.tier = self.make_tier()
        self._entries: dict[str, CacheEntry] = {}
        self._exact: dict[bytes, str] = {}
        self._normalised: dict[bytes, str] = {}

    def make_tier(self) -> Tier:
        """Return an empty tier whose clock is ``lambda: self.now``."""
        raise NotImplementedError

    @rule(
        batch=st.lists(
            st.tuples(
                st.sampled_from(_IDS),
                st.sampled_from(_KEYS),
                st.integers(-3, 3),
                st.sampled_from([300.0, 600.0, -10.0]),
                st.binary(max_size=20),
            ),
            min_size=2,
            max_size=8,
        )
    )
    def put(self, batch: list[tuple[str, CacheKey, int, float, bytes]]) -> None:
        """Put entries of any age."""
        entries = []
        for entry_id, key, age, life_s, answer in batch:
            created_at = self.now - age
            entries.append(cache_entry(entry_id, key, created_at, self.now + life_s - created_at, answer=answer))
        self.tier.put_many(entries)
        for entry in entries:
            self._put(entry)

    @rule(entry_ids=st.lists(st.sampled_from([*_IDS, _UNKNOWN[1]]), max_size=3))
    def remove(self, entry_ids: list[str]) -> None:
        """Remove entries, known or not."""
        here = set(entry_ids) & set(self._alive())
        assert self.tier.remove(entry_ids) == len(here)
        for entry_id in set(entry_ids):
            self._drop(entry_id)

    @rule(seconds=st.sampled_from([1.0, 150.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @invariant()
    def what_is_found_is_what_a_dict_would_hold(self) -> None:
        """Compare all that can be asked."""
        alive = self._alive()
        expected: dict[bytes, CacheEntry] = {}
        for digest in _DIGESTS:
            under = [names[digest] for names in (self._exact, self._normalised) if names.get(digest) in alive]
            if under:
                expected[digest] = max((alive[name] for name in under), key=lambda entry: entry.created_at)
        assert self.tier.get_many([*_DIGESTS, _UNKNOWN[0]]) == expected
        assert self.tier.by_id([*_IDS, _UNKNOWN[1]]) == alive
        found = list(self.tier.scan())
        assert {entry.entry_id: entry for entry in found} == alive
        assert [entry.created_at for entry in found] == sorted(entry.created_at for entry in alive.values())
        assert {entry.key.tenant_id for entry in self.tier.scan("acme")} <= {"acme"}
        usage = self.tier.usage()
        assert {tenant: n for tenant, (n, _) in usage.items()} == Counter(e.key.tenant_id for e in alive.values())
        assert all(n_bytes > 0 for _, n_bytes in usage.values())

    def teardown(self) -> None:
        """Close the tier."""
        self.tier.close()

    def _alive(self) -> dict[str, CacheEntry]:
        return {name: entry for name, entry in self._entries.items() if entry.expires_at > self.now}

    def _put(self, entry: CacheEntry) -> None:
        for name in set(self._entries) - set(self._alive()):
            self._drop(name)
        self._drop(entry.entry_id)
        same = self._entries.get(self._exact.get(entry.key.exact, ""))
        if entry.expires_at <= self.now or (same is not None and same.created_at > entry.created_at):
            return
        if same is not None:
            self._drop(same.entry_id)
        self._entries[entry.entry_id] = entry
        self._exact[entry.key.exact] = entry.entry_id
        other = self._entries.get(self._normalised.get(entry.key.normalised, ""))
        if other is None or other.created_at <= entry.created_at:
            self._normalised[entry.key.normalised] = entry.entry_id

    def _drop(self, entry_id: str) -> None:
        self._entries.pop(entry_id, None)
        for names in (self._exact, self._normalised):
            for digest in [digest for digest, name in names.items() if name == entry_id]:
                del names[digest]
