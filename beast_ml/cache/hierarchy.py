"""One cache of several tiers: memory first, then those that are shared, the fastest first.

    lookup_exact,   memory only: return at once
    lookup
    lookup_shared   the shared tiers, one after the other: blocks, for a worker thread (`asyncio.to_thread`)
    store, remove   memory at once; the shared tiers later, from a thread for each

What is durable: `store` alone promises nothing but this process's memory. When `flush` has returned True, all that was
stored before is in every shared tier, and outlives a killed process (see `sql` for what outlives a power cut). A tier
that is away is skipped, and tried again after at most 15 seconds; what it missed waits for it, up to the limits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.cache.hit import Hit, own_hit
from beast_ml.cache.negative import NegativeLives
from beast_ml.cache.tier_health import TierHealth
from beast_ml.cache.tier_stats import CacheStats, TierCounts, TierStats
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryTier
from beast_ml.cache.write_back import WriteBack, WriteBackLimits
from beast_ml.errors import UnavailableError
from beast_ml.events import events

__all__ = ["Removal", "TieredCache"]

_T = TypeVar("_T")

_REMEMBERED: Final = 100_000
"""Of so many removed entries we know that they were, whatever a tier that missed it still says."""


class Removal(msgspec.Struct, frozen=True):
    """What became of a removal.

    Parameters
    ----------
    n_removed
        Most entries that any one tier had.
    unreached
        Tiers that were away. They are told when they come back, if this process lives until then; a caller that must
        be sure advances an epoch.
    """

    n_removed: int
    unreached: tuple[str, ...]


class _SharedTier:
    """A shared tier with its health, its writer and its counts."""

    def __init__(self, tier: Tier, health: TierHealth, writer: WriteBack) -> None:
        self.tier, self.health, self.writer = tier, health, writer
        self.counts = TierCounts()


class TieredCache:
    """A read-through, write-back cache.

    Parameters
    ----------
    memory
        The first tier.
    shared
        The others, the fastest first.
    lives
        Of refusals and errors.
    least_shared_life_s
        What lives for less is not worth sharing.
    limits
        What may wait to be written to each shared tier.
    holds
        Whether an entry may still be served (`InvalidationTable.holds`); one that may not is as good as not there.
    clock
        Seconds since the epoch.
    monotonic
        Seconds for resting tiers.
    in_background
        Whether threads write to the shared tiers; False: only `flush` does.
    """

    def __init__(
        self,
        memory: MemoryTier,
        shared: Sequence[Tier] = (),
        *,
        lives: NegativeLives | None = None,
        least_shared_life_s: float = 10.0,
        limits: WriteBackLimits | None = None,
        holds: Callable[[CacheEntry], bool] = lambda _: True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        in_background: bool = True,
    ) -> None:
        self._memory, self._clock, self._holds = memory, clock, holds
        self._lives = NegativeLives() if lives is None else lives
        self._least_shared_life_s = least_shared_life_s
        self._shared: list[_SharedTier] = []
        for tier in shared:
            health = TierHealth(clock=monotonic)
            self._shared.append(_SharedTier(tier, health, WriteBack(tier, health, limits, in_background=in_background)))
        self._counts = TierCounts()
        self._removed: dict[str, None] = {}
        self._lock = threading.Lock()

    def lookup_exact(self, partition: bytes, exact: bytes) -> Hit | None:
        """Return what memory has under an exact key, before the others are made: the fastest way to a hit.

        A miss counts nowhere: `lookup` follows, or the request is none for the cache.
        """
        entry = self._memory.get(exact, count_miss=False)
        if entry is None or entry.key.exact != exact or entry.key.partition != partition or not self._holds(entry):
            return None
        self._count("exact")
        return Hit(entry, "exact", self._memory.name, 1.0)

    def lookup(self, key: CacheKey) -> Hit | None:
        """Return what memory has under a request's exact key, else its normalised one."""
        hit = self._own(self._memory.get(key.exact), key, self._memory.name)
        if hit is None and key.normalised != key.exact:
            hit = self._own(self._memory.get(key.normalised), key, self._memory.name)
        self._count(None if hit is None else hit.kind)
        return hit

    def lookup_shared(self, key: CacheKey) -> Hit | None:
        """Return what a shared tier has, and keep it in the tiers before that. Blocks."""
        for place, shared in enumerate(self._shared):
            found = self._ask(shared, lambda tier: tier.get_many((key.exact, key.normalised)))
            if found is None:
                continue
            hits = (self._own(found.get(digest), key, shared.tier.name) for digest in (key.exact, key.normalised))
            hit = next((each for each in hits if each is not None and each.entry.entry_id not in self._removed), None)
            with self._lock:
                shared.counts.count(None if hit is None else hit.kind)
            if hit is not None:
                self._promote([hit.entry], place)
                return hit
        return None

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, tuple[CacheEntry, str]]:
        """Return the entries with those ids that memory has, each with its name: what the index found is fetched so."""
        found = self._memory.by_id(entry_ids).items()
        return {name: (entry, self._memory.name) for name, entry in found if self._holds(entry)}

    def by_id_shared(self, entry_ids: Sequence[str]) -> dict[str, tuple[CacheEntry, str]]:
        """Return those that shared tiers have, each with the tier's name, and keep them in the tiers before. Blocks."""
        found: dict[str, tuple[CacheEntry, str]] = {}
        for place, shared in enumerate(self._shared):
            missing = [entry_id for entry_id in entry_ids if entry_id not in found and entry_id not in self._removed]
            if not missing:
                break
            more = self._ask(shared, _by_id(missing)) or {}
            more = {name: each for name, each in more.items() if name not in self._removed and self._holds(each)}
            self._promote(list(more.values()), place)
            found |= {name: (entry, shared.tier.name) for name, entry in more.items()}
        return found

    def scan(self) -> Iterator[CacheEntry]:
        """Return every entry that holds, of the last shared tier, oldest first. Blocks.

        Raises
        ------
        UnavailableError
            If it is away.
        """
        if self._shared:
            yield from filter(self._holds, self._shared[-1].tier.scan())

    def store(self, entry: CacheEntry) -> bool:
        """Keep an entry; return whether it is kept at all. Does not wait for shared tiers.

        A refusal or an error lives shortly, is found under its exact key only, and never takes the place of an answer.
        """
        now = self._clock()
        if entry.kind != "answer":
            known = self._memory.get(entry.key.exact)
            if known is not None and known.kind == "answer" and self._holds(known):
                return False
            entry = self._lives.shorten(entry)
        if entry.expires_at <= now:
            return False
        self._removed.pop(entry.entry_id, None)
        self._memory.put_many((entry,))
        if entry.expires_at - now >= self._least_shared_life_s:
            for shared in self._shared:
                shared.writer.put(entry)
        return True

    def remove(self, entry_ids: Sequence[str]) -> Removal:
        """Forget entries everywhere; this process never finds them again, even in a tier that is away now. Blocks."""
        with self._lock:
            self._removed |= dict.fromkeys(entry_ids)
            while len(self._removed) > _REMEMBERED:
                del self._removed[next(iter(self._removed))]
        n_removed = self._memory.remove(entry_ids)
        for shared in self._shared:
            shared.writer.remove(entry_ids)
        unreached = []
        for shared in self._shared:
            found = self._ask(shared, _by_id(entry_ids))
            n_removed = max(n_removed, len(found or ()))
            if found is None or not shared.writer.flush():
                unreached.append(shared.tier.name)
        return Removal(n_removed, tuple(unreached))

    def warm(self) -> int:
        """Fill memory with the youngest entries of the last shared tier that answers; return how many. Blocks."""
        limits = self._memory.limits
        for shared in reversed(self._shared):
            window: deque[CacheEntry] = deque(maxlen=limits.max_entries)
            n_bytes = 0

            def read(tier: Tier, window: deque[CacheEntry] = window) -> None:
                nonlocal n_bytes
                for entry in filter(self._holds, tier.scan()):
                    if len(window) == window.maxlen:
                        n_bytes -= len(window.popleft().answer)
                    window.append(entry)
                    n_bytes += len(entry.answer)
                    while n_bytes > limits.max_bytes:
                        n_bytes -= len(window.popleft().answer)

            self._ask(shared, read)
            if window:
                self._promote(list(window), 0)
                return len(window)
        return 0

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Write what waits; return whether all that was stored before is in every shared tier. Blocks."""
        until = time.monotonic() + timeout_s
        written = [shared.writer.flush(max(0.0, until - time.monotonic())) for shared in self._shared]
        return all(written)

    def stats(self) -> CacheStats:
        """Return what was counted since the start."""
        memory = TierStats.of(self._memory.name, self._counts)
        memory = msgspec.structs.replace(memory, dropped=self._memory.n_rejected)
        shared = (
            msgspec.structs.replace(
                written := each.writer.stats(),
                exact=each.counts.exact,
                normalised=each.counts.normalised,
                misses=each.counts.misses,
                skipped=each.counts.skipped,
                failures=each.counts.failures + written.failures,
            )
            for each in self._shared
        )
        return CacheStats((memory, *shared))

    def usage(self) -> dict[str, Mapping[str, tuple[int, int]] | None]:
        """Return (entries, bytes) by tenant, of each tier by its name; None: it is away. Blocks."""
        shared = {each.tier.name: self._ask(each, lambda tier: tier.usage()) for each in self._shared}
        return {self._memory.name: self._memory.usage(), **shared}

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits, and close all tiers; return whether all is written."""
        written = [shared.writer.close(timeout_s) for shared in self._shared]
        for shared in self._shared:
            shared.tier.close()
        self._memory.close()
        return all(written)

    def _count(self, kind: HitKind | None) -> None:
        with self._lock:
            self._counts.count(kind)

    def _own(self, entry: CacheEntry | None, key: CacheKey, tier: str) -> Hit | None:
        return None if entry is None or not self._holds(entry) else own_hit(entry, key, tier)

    def _ask(self, shared: _SharedTier, question: Callable[[Tier], _T]) -> _T | None:
        """Return what a tier answers; None if it is away."""
        if not shared.health.allows():
            with self._lock:
                shared.counts.skipped += 1
            return None
        try:
            answer = question(shared.tier)
        except UnavailableError as error:
            shared.health.failed()
            with self._lock:
                shared.counts.failures += 1
            events.info("cache.tier_away", tier=shared.tier.name, error=str(error))
            return None
        shared.health.succeeded()
        return answer

    def _promote(self, entries: Sequence[CacheEntry], place: int) -> None:
        """Keep in the tiers before one what was found in it."""
        self._memory.put_many(entries)
        for shared in self._shared[:place]:
            for entry in entries:
                shared.writer.put(entry)
        removed = [entry.entry_id for entry in entries if entry.entry_id in self._removed]
        if removed:  # while we were asking
            self._memory.remove(removed)
            for shared in self._shared[:place]:
                shared.writer.remove(removed)


def _by_id(entry_ids: Sequence[str]) -> Callable[[Tier], dict[str, CacheEntry]]:
    return lambda tier: tier.by_id(entry_ids)
