"""The first tier: this process's own memory. A lookup is two dictionary reads and a look at the clock."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from beast_ml.cache.admission import FrequencySketch, Worth
from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tiers.room import MemoryLimits, Room
from beast_ml.cache.tiers.shares import Share, Slot, entry_bytes

__all__ = ["MemoryLimits", "MemoryTier"]

_REMEMBERED: Final = 4096
"""So many lookups wait to be counted; under a storm of hits the older ones are never counted, which does not bias."""

_DEATHS_AT_A_TIME: Final = 1000
"""A put must not take long, also when very many entries have just expired."""

_KEYS_PER_ENTRY: Final = 8
"""The sketch tells apart so many times the keys that there is room for."""


class MemoryTier:
    """A `Tier` in memory.

    When it is full, an entry comes in only if a hit on it saves more, times how often it is asked for, than hits on
    those that would have to leave for it. Lookups take no lock and may be made from any thread.

    Parameters
    ----------
    limits
        How much is kept.
    worth
        What a hit is worth.
    clock
        Seconds since the epoch.
    rng
        Chooses which entries are compared.

    Examples
    --------
    >>> from beast_ml.cache.entry import CacheKey
    >>> key = CacheKey(tenant_id="acme", partition=b"p", exact=b"e", normalised=b"n", text="hello")
    >>> entry = CacheEntry(entry_id="1", key=key, answer=b"hi", created_at=0.0, expires_at=60.0, model="m")
    >>> tier = MemoryTier(clock=lambda: 59.0)
    >>> tier.put_many([entry])
    >>> tier.get(b"e") is entry, tier.get(b"other")
    (True, None)
    """

    name = "memory"  # see `Tier`

    def __init__(
        self,
        limits: MemoryLimits | None = None,
        *,
        worth: Worth | None = None,
        clock: Callable[[], float] = time.time,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.limits = MemoryLimits() if limits is None else limits
        self._worth = Worth() if worth is None else worth
        self._clock = clock
        self._rng = np.random.default_rng() if rng is None else rng
        self._exact: dict[bytes, Slot] = {}
        self._normalised: dict[bytes, Slot] = {}
        self._ids: dict[str, Slot] = {}
        self._shares: dict[str, Share] = {}
        self._deaths: list[tuple[float, str]] = []
        self._n_bytes = 0
        self._sketch = FrequencySketch(_KEYS_PER_ENTRY * self.limits.max_entries)
        self._asked: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self.n_evicted = self.n_rejected = 0

    def get(self, key: bytes, *, count_miss: bool = True) -> CacheEntry | None:
        """Return the entry under a key, exact or normalised; None if there is none.

        Parameters
        ----------
        key
            What to look for.
        count_miss
            Whether a miss counts as demand; False where the same request is looked up once more.
        """
        exact, normalised = self._exact.get(key), self._normalised.get(key)
        now = self._clock()
        if exact is None or exact.expires_at <= now:
            found = normalised if normalised is not None and normalised.expires_at > now else None
        elif normalised is None or normalised.expires_at <= now:
            found = exact
        else:
            found = exact if exact.entry.created_at >= normalised.entry.created_at else normalised
        if found is None:
            if count_miss:
                self._asked.append(key)
            return None
        self._asked.append(found.asked_as)
        return found.entry

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Return the entries under those keys that are here."""
        return {key: entry for key in keys if (entry := self.get(key)) is not None}

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, CacheEntry]:
        """Return the entries with those ids that are here."""
        now = self._clock()
        found = ((entry_id, self._ids.get(entry_id)) for entry_id in entry_ids)
        return {entry_id: slot.entry for entry_id, slot in found if slot is not None and slot.expires_at > now}

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Keep entries, if they are worth their room; an entry with a known id replaces it."""
        with self._lock:
            self._count_lookups()
            now = self._clock()
            self._purge(now, _DEATHS_AT_A_TIME)
            for entry in entries:
                self._put(entry, now)

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Forget entries; return how many were here."""
        with self._lock:
            self._purge(self._clock())
            slots = [slot for entry_id in dict.fromkeys(entry_ids) if (slot := self._ids.get(entry_id)) is not None]
            for slot in slots:
                self._forget(slot)
        return len(slots)

    def scan(self, tenant_id: str | None = None) -> Iterator[CacheEntry]:
        """Return every entry that has not expired, oldest first; later changes are not seen."""
        with self._lock:
            found = [slot.entry for slot in self._ids.values()]
        found.sort(key=lambda entry: (entry.created_at, entry.entry_id))
        for entry in found:
            if entry.expires_at > self._clock() and tenant_id in (None, entry.key.tenant_id):
                yield entry

    def usage(self) -> Mapping[str, tuple[int, int]]:
        """Return (entries, bytes) by tenant."""
        with self._lock:
            self._purge(self._clock())
            return {tenant: (len(share.slots), share.n_bytes) for tenant, share in self._shares.items()}

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            for slot in list(self._ids.values()):
                self._forget(slot)

    def _put(self, entry: CacheEntry, now: float) -> None:
        known = self._ids.get(entry.entry_id)
        if known is not None:
            self._forget(known)
        asked_as = max(entry.key.normalised, entry.key.exact, key=self._sketch.estimate)
        slot = Slot(entry, entry_bytes(entry), self._worth.of(entry), asked_as)
        if entry.expires_at <= now or slot.n_bytes > self.limits.tenant_share * self.limits.max_bytes:
            return
        same = self._exact.get(entry.key.exact)
        if same is not None:
            if same.expires_at > now and same.entry.created_at > entry.created_at:
                return
            self._forget(same)
        if not self._make_room(slot):
            self.n_rejected += 1
            return
        self._ids[entry.entry_id] = slot
        self._exact[entry.key.exact] = slot
        other = self._normalised.get(entry.key.normalised)
        if other is None or other.expires_at <= now or other.entry.created_at <= entry.created_at:
            self._normalised[entry.key.normalised] = slot
        self._shares.setdefault(entry.key.tenant_id, Share()).add(slot)
        self._n_bytes += slot.n_bytes
        heapq.heappush(self._deaths, (entry.expires_at, entry.entry_id))

    def _forget(self, slot: Slot) -> None:
        key = slot.entry.key
        del self._ids[slot.entry.entry_id]
        del self._exact[key.exact]
        if self._normalised.get(key.normalised) is slot:
            del self._normalised[key.normalised]
        share = self._shares[key.tenant_id]
        share.take(slot)
        if not share.slots:
            del self._shares[key.tenant_id]
        self._n_bytes -= slot.n_bytes

    def _make_room(self, slot: Slot) -> bool:
        """Evict what is worth less, if that makes room; return whether there is."""
        tenant = slot.entry.key.tenant_id
        room = Room(self.limits, self._shares, tenant, slot.n_bytes)
        own: list[Slot] = []  # of its own tenant, which must be worth less than the newcomer
        others: list[Slot] = []  # of tenants that hold more than their part, which must go
        while (who := room.who_gives_way(len(self._ids), self._n_bytes)) is not None:
            share = self._shares.get(who)
            victim = None if share is None else share.least(self._rng, self.limits.n_looked_at, self._value, room.gone)
            if victim is None:
                return False
            room.without(victim)
            (own if who == tenant else others).append(victim)
        if own and self._value(slot) <= sum(map(self._value, own)):
            return False
        for victim in (*own, *others):
            self._forget(victim)
        self.n_evicted += len(own) + len(others)
        return True

    def _value(self, slot: Slot) -> float:
        """Return the USD that hits on an entry save per some time."""
        return slot.saved_usd * self._sketch.estimate(slot.asked_as)

    def _count_lookups(self) -> None:
        asked, add = self._asked, self._sketch.add
        for _ in range(len(asked)):
            add(asked.popleft())

    def _purge(self, now: float, n: int | None = None) -> None:
        """Forget what has expired, ``n`` at most; a death noted for an entry replaced since says nothing."""
        deaths = self._deaths
        for _ in range(len(deaths) if n is None else min(n, len(deaths))):
            if deaths[0][0] > now:
                break
            slot = self._ids.get(heapq.heappop(deaths)[1])
            if slot is not None and slot.expires_at <= now:
                self._forget(slot)
        if len(deaths) > 2 * len(self._ids) + 64:
            self._deaths = [(slot.expires_at, entry_id) for entry_id, slot in self._ids.items()]
            heapq.heapify(self._deaths)
