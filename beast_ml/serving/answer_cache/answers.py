"""Keys, tiers, invalidations and flights of one worker, as one thing."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.canonical import repeats_a_name
from beast_ml.cache.entry import AnswerKind, CacheEntry, CacheKey
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.hit import Hit
from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.key import ExactKey, KeyMaker
from beast_ml.cache.request import CacheRequest
from beast_ml.cache.singleflight import Singleflight
from beast_ml.cache.tier_stats import CacheStats
from beast_ml.errors import InputError, UnavailableError
from beast_ml.events import events
from beast_ml.serving.answer_cache.config import Lives
from beast_ml.serving.answer_cache.region_link import RegionLink
from beast_ml.serving.answer_cache.semantic import SemanticSearch

__all__ = ["REPEATED_NAME", "UNFIT", "AnswerCache", "Found", "Fresh", "cache_threads", "reasons_of"]

_T = TypeVar("_T")

REPEATED_NAME: Final = "repeated_name"
"""Why a body is left out in which an object has a name twice: providers may read it otherwise than its key does."""
UNFIT: Final = "unfit"
"""Why a body is left out of which no key can be made."""

_THREADS: Final = 4
_STORE_THREADS: Final = 3


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was just made.

    Parameters
    ----------
    answer, kind, model, policy_version, request_kind, tags, documents, cost_usd, latency_s
        As in `CacheEntry`.
    life_s
        How long it may be kept; None: as is said of its kind.
    """

    answer: bytes
    model: str
    kind: AnswerKind = "answer"
    policy_version: str = ""
    request_kind: str | None = None
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    cost_usd: float = 0.0
    latency_s: float = 0.0
    life_s: float | None = None


class Found(msgspec.Struct, frozen=True):
    """What there is for a request that the cache is not left out of.

    Parameters
    ----------
    key
        Of the request.
    hit
        What is under it; None: nothing.
    """

    key: CacheKey
    hit: Hit | None


class AnswerCache:
    """The cache of one worker; of its tiers and invalidations the others share what is shared.

    Parameters
    ----------
    keys, tiers, invalidator
        Its parts; the tiers ask the invalidator's table which entries hold.
    lives
        How long answers are kept.
    max_wait_s
        How long a request waits for an equal one.
    search
        Finds answers to alike requests; None where only equal ones hit.
    regions
        Sends what is kept here to other regions; None: it stays here.
    threads
        For what blocks; closed with it.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        keys: KeyMaker,
        tiers: TieredCache,
        invalidator: Invalidator,
        lives: Lives | None = None,
        *,
        max_wait_s: float = 30.0,
        search: SemanticSearch | None = None,
        regions: RegionLink | None = None,
        threads: ThreadPoolExecutor | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys, self.invalidator, self.search = keys, invalidator, search
        self.flights = Singleflight[CacheEntry](max_wait_s)
        self._tiers, self._lives, self._clock = tiers, lives or Lives(), clock
        self.regions = regions
        self._threads = threads or cache_threads()
        self._store_threads = ThreadPoolExecutor(_STORE_THREADS, "cache-store")

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def stats(self) -> CacheStats:
        """Return what the tiers have done, and last what went to other regions, where there are any."""
        stats = self._tiers.stats()
        return stats if self.regions is None else CacheStats((*stats.tiers, self.regions.stats()))

    async def usage(self) -> dict[str, Mapping[str, tuple[int, int]] | None]:
        """Return (entries, bytes) by tenant, of each tier by its name; None: it is away."""
        usage = await self.off_loop(self._tiers.usage)
        return usage if self.regions is None else usage | {self.regions.stats().tier: {}}

    def lookup_exact(self, exact: ExactKey) -> Hit | None:
        """Return what memory has under an exact key; takes microseconds."""
        return self._tiers.lookup_exact(exact.partition, exact.exact)

    async def full_key(
        self, request: CacheRequest, exact: ExactKey | None, raw: bytes | None = None
    ) -> CacheKey | tuple[str, ...]:
        """Return all keys of a request, or the reasons to leave the cache out; reads its words, in a thread.

        Parameters
        ----------
        request, exact
            What is asked, and its exact key where that is made already.
        raw
            The body, where others are sent it as it is.
        """
        return await self.off_loop(lambda: self._full_key(request, exact, raw))

    async def find(
        self, request: CacheRequest, exact: ExactKey | None, raw: bytes | None = None
    ) -> Found | tuple[str, ...]:
        """Return a request's keys with what any tier has under them, or the reasons to leave the cache out.

        One way to a thread and back for `full_key` and `lookup`. A hit that was reported as false is none. Parameters
        as of `full_key`.
        """

        def found() -> Found | tuple[str, ...]:
            key = self._full_key(request, exact, raw)
            return Found(key, self._lookup(key)) if isinstance(key, CacheKey) else key

        return await self.off_loop(found)

    async def lookup(self, key: CacheKey) -> Hit | None:
        """Return what any tier has under a request's own keys, unless it is a hit that was reported as false."""
        return await self.off_loop(lambda: self._lookup(key))

    async def by_id(self, entry_id: str) -> CacheEntry | None:
        """Return the entry with an id, from whichever tier has it."""
        found = self._tiers.by_id((entry_id,)) or await self.off_loop(lambda: self._tiers.by_id_shared((entry_id,)))
        return found[entry_id][0] if entry_id in found else None

    def stamp(self) -> int:
        """Return what an entry is to be stamped with whose answer is asked for after this call."""
        return self.invalidator.table.stamp()

    def keep(self, key: CacheKey, stamp: int, fresh: Fresh) -> CacheEntry | None:
        """Keep an answer; return its entry, or None where it is not kept: its life is nothing, or it was invalidated.

        Parameters
        ----------
        key
            Of the request.
        stamp
            From before the answer was asked for.
        fresh
            The answer.
        """
        now = self._clock()
        life_s = self._lives.of(fresh.request_kind) if fresh.life_s is None else fresh.life_s
        entry = CacheEntry(
            entry_id=secrets.token_hex(12),
            key=key,
            answer=fresh.answer,
            kind=fresh.kind,
            created_at=now,
            expires_at=now + life_s,
            model=fresh.model,
            policy_version=fresh.policy_version,
            request_kind=fresh.request_kind,
            tags=fresh.tags,
            documents=fresh.documents,
            cost_usd=fresh.cost_usd,
            latency_s=fresh.latency_s,
            epoch=stamp,
        )
        if not self.take_over(entry):
            return None
        if self.regions is not None:
            self.regions.send(entry)
        return entry

    def take_over(self, entry: CacheEntry) -> bool:
        """Keep an entry as it is, of this region or another one; return whether it is kept."""
        if not self.invalidator.table.holds(entry) or not self._tiers.store(entry):
            return False
        if self.search is not None:
            self.search.stored(entry)
        return True

    async def off_loop(self, call: Callable[[], _T]) -> _T:
        """Return what a call that blocks returns, from a thread of the cache's own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def at_store(self, call: Callable[[], _T]) -> _T:
        """Return what a call to the store of invalidations, or to the home region, returns.

        It may wait for seconds, and for others who wait: it has threads of its own, so that no lookup stands behind it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._store_threads, call)

    async def warm(self) -> int:
        """Fill memory with the youngest entries of the last tier; return how many."""
        return await self.off_loop(self._tiers.warm)

    async def is_lost(self) -> bool:
        """Whether the last tier answers, and has nothing."""

        def empty() -> bool:
            try:
                return next(iter(self._tiers.scan()), None) is None
            except UnavailableError:
                return False

        return await self.off_loop(empty)

    async def remove(self, entry_ids: Sequence[str]) -> None:
        """Free the room of entries that are invalid."""
        if self.search is not None:
            self.search.removed(*entry_ids)
        await self.off_loop(lambda: self._tiers.remove(entry_ids))

    async def close(self) -> None:
        """Write what waits, and let go of everything."""
        if not await self.off_loop(self._tiers.close):
            events.warning("cache.not_all_written")
        if self.regions is not None:
            await self.off_loop(self.regions.close)
        await self.off_loop(self.invalidator.close)
        self._threads.shutdown(wait=False)
        self._store_threads.shutdown(wait=False)

    def _full_key(self, request: CacheRequest, exact: ExactKey | None, raw: bytes | None) -> CacheKey | tuple[str, ...]:
        if raw is not None and repeats_a_name(raw):
            return (REPEATED_NAME,)
        try:
            key = self.keys.full(request, exact)
        except InputError:
            return (UNFIT,)
        return reasons_of(key) if isinstance(key, Bypass) else key

    def _lookup(self, key: CacheKey) -> Hit | None:
        """Return what a tier has. Blocks."""
        return self._allowed(key, self._tiers.lookup(key)) or self._allowed(key, self._tiers.lookup_shared(key))

    def _allowed(self, key: CacheKey, hit: Hit | None) -> Hit | None:
        if hit is None or not self.invalidator.table.allows(key, hit.entry, hit.kind):
            return None
        return hit


def cache_threads() -> ThreadPoolExecutor:
    """Return the threads of a worker's cache."""
    return ThreadPoolExecutor(_THREADS, "answer-cache")


def reasons_of(bypass: Bypass) -> tuple[str, ...]:
    """Return the reasons of a bypass, as headers and metrics have them."""
    return tuple(reason.value for reason in bypass.reasons)
