"""Answers to alike requests: neighbours from the process of the host, entries from the tiers, the verifier's word.

    look -> neighbours (the process) -> their entries (tiers) -> what is forbidden -> scores -> the best candidate

What is stored is told the process a few times a second.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from math import inf
from typing import Final, TypeVar

import msgspec
import numpy as np

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.hit import Hit
from beast_ml.cache.invalidation.bans import Vector
from beast_ml.cache.invalidation.table import InvalidationTable
from beast_ml.cache.neighbours.client import NeighbourClient, Neighbours
from beast_ml.cache.neighbours.frames import NewEntry, Outcome
from beast_ml.cache.verifier.trained import N_CANDIDATES, TrainedVerifier
from beast_ml.events import events
from beast_ml.serving.answer_cache.current_verifier import CurrentVerifier
from beast_ml.serving.answer_cache.shared_vectors import SharedVectors

_T = TypeVar("_T")

__all__ = ["Candidate", "Look", "SemanticSearch"]

_TELL_S: Final = 0.1
_MOST_WAITING: Final = 4096
_AT_ONCE: Final = 256
_REBUILD_S: Final = 600.0
_REBUILD_AGAIN_S: Final = 2.0


class Candidate(msgspec.Struct, frozen=True):
    """An entry made for an alike request.

    Parameters
    ----------
    hit
        As it would be served.
    score
        Of the verifier.
    """

    hit: Hit
    score: float


class Look(msgspec.Struct, frozen=True):
    """What a look for alike requests came to.

    Parameters
    ----------
    outcome
        Whether it was looked at all.
    best
        The candidate with the highest score; None where there is none.
    threshold
        Score from which on it may be served; None: it may not.
    floor
        Least score that the threshold can ever come down to.
    """

    outcome: Outcome
    best: Candidate | None = None
    threshold: float | None = None
    floor: float = inf

    @property
    def hits(self) -> bool:
        """Whether the best candidate may be served."""
        return self.best is not None and self.threshold is not None and self.best.score >= self.threshold


class SemanticSearch:
    """A worker's side of the semantic cache; belongs to one event loop.

    Parameters
    ----------
    client
        Of the process of the host.
    verifier_of
        Returns the verifier of the trained cache with a digest; blocks.
    tiers, table
        Where entries are, and what is forbidden.
    threads
        For what blocks.
    shared
        Vectors that hosts share; None: there are none.
    """

    def __init__(
        self,
        client: NeighbourClient,
        verifier_of: Callable[[str], TrainedVerifier | None],
        tiers: TieredCache,
        table: InvalidationTable,
        threads: Executor,
        shared: SharedVectors | None = None,
    ) -> None:
        self.client, self._shared = client, shared
        self._tiers, self._table, self._threads = tiers, table, threads
        self._verifier = CurrentVerifier(verifier_of)
        self._scoring = threading.Lock()
        self._new: list[NewEntry] = []
        self._gone: list[str] = []
        self._is_unread = False

    async def look(self, key: CacheKey) -> Look:
        """Return what there is for a request that no equal one was answered before."""
        if key.text is None:
            return Look("gated")
        by_nearness = self._table.needs_vectors(key.tenant_id)
        # What is forbidden by nearness could not be told of the others' entries before the index has them.
        shared = None if by_nearness else self._shared
        near = await self.client.lookup(
            key.partition,
            key.text,
            N_CANDIDATES,
            gated=shared is None,  # the gate knows this host's entries alone
            vectors=by_nearness or shared is not None,
            tenant=key.tenant_id,
        )
        try:
            if near.outcome == "searched" and shared is not None:
                near = await self._off_loop(partial(_with_others, shared, key.partition, near))
            if near.outcome != "searched" or not near.neighbours:
                return Look(near.outcome)
            best, floor = await self._off_loop(partial(self._best, key, near, self.client.cache))
        except Exception as error:  # noqa: BLE001  a model can answer: no fault of the cache's may cost a client that
            events.error("cache.look_failed", error=repr(error))
            return Look("away")
        return Look(near.outcome, best, near.threshold, floor)

    def stored(self, entry: CacheEntry) -> None:
        """Have an entry found from now on, soon."""
        new = _indexed_as(entry)
        if new is not None and len(self._new) < _MOST_WAITING:
            self._new.append(new)
            if self._shared is not None:
                self._shared.stored(entry)

    def removed(self, *entry_ids: str) -> None:
        """Have entries found no more, soon; until then nothing is served of them, for no tier has them."""
        self._gone.extend(entry_ids)

    async def run(self) -> None:
        """Tell the process what there is to tell, until cancelled."""
        while True:
            await asyncio.sleep(_TELL_S)
            try:
                await self.tell()
            except Exception as error:  # noqa: BLE001  what comes next is to be told all the same
                events.error("cache.not_told", error=repr(error))

    async def tell(self) -> None:
        """Tell it now. Without a process entries wait for nothing: when it starts, all of them are named to it."""
        if self.client.instance is None:
            self._new.clear()
            self._gone.clear()
            return
        if self._new:
            batch, self._new = self._new[:_AT_ONCE], self._new[_AT_ONCE:]
            taken = await self.client.add(batch)
            self._new = batch[taken:] + self._new
        if self._shared is not None and (rows := await self._shared.embedded(self.client)):
            await self._off_loop(partial(self._shared.write, rows))
        if self._gone:
            gone, self._gone = self._gone, []
            await self.client.remove(gone)

    async def keep_rebuilt(self) -> None:
        """Have the process know all entries of the last tier, until cancelled; one worker of a host does it."""
        while True:
            try:
                await self.client.keep_rebuilt(self._indexed, _REBUILD_S)
            except Exception as error:  # noqa: BLE001  the tier is away, say: what is in the index goes on being found
                if not self._is_unread:
                    events.warning("cache.index_not_rebuilt", error=repr(error))
                self._is_unread = True
            await asyncio.sleep(_REBUILD_AGAIN_S)

    def _indexed(self) -> Iterator[NewEntry]:
        yield from (new for entry in self._tiers.scan() if (new := _indexed_as(entry)) is not None)
        if self._is_unread:
            events.warning("cache.index_is_rebuilt_again")
        self._is_unread = False

    async def _off_loop(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _best(self, key: CacheKey, near: Neighbours, cache: str) -> tuple[Candidate | None, float]:
        """Return the best candidate, and the least score that counts. Blocks."""
        ids = [each.entry_id for each in near.neighbours]
        found = self._tiers.by_id(ids)
        if missing := [entry_id for entry_id in ids if entry_id not in found]:
            found |= self._tiers.by_id_shared(missing)
            if not any(tier.away for tier in self._tiers.stats().tiers):
                self._gone.extend(entry_id for entry_id in missing if entry_id not in found)
        vectors = dict(zip(ids, near.vectors, strict=bool(near.vectors)))  # none where none were asked for
        allowed: list[Hit] = []
        for neighbour in near.neighbours:
            entry, tier = found.get(neighbour.entry_id, (None, ""))
            if entry is not None and self._fits(key, entry, near.vector, vectors.get(neighbour.entry_id), near.encoder):
                allowed.append(Hit(entry, "semantic", tier, neighbour.similarity))
        with self._scoring:
            in_use = self._verifier.of(cache)
            if in_use is None or not allowed:
                return None, inf
            texts = [hit.entry.key.text or "" for hit in allowed]
            cosines = np.array([hit.similarity for hit in allowed])
            scores = in_use.verifier.score_pairs([key.text or ""] * len(texts), texts, cosines)
        place = int(np.argmax(scores))
        return Candidate(allowed[place], float(scores[place])), in_use.floor

    def _fits(
        self, key: CacheKey, entry: CacheEntry, query: Vector | None, vector: Vector | None, encoder: str = ""
    ) -> bool:
        """Whether an entry may be a candidate at all: what is here, and no tier or index, keeps tenants apart."""
        if _indexed_as(entry) is None:
            return False
        if vector is None and self._table.needs_vectors(key.tenant_id):
            return False  # forbidden only just now, while it was looked
        if entry.key.tenant_id != key.tenant_id or entry.key.partition != key.partition:
            return False
        if entry.key.heard != key.heard:  # "how many steps are there?" is then about another recipe
            return False
        return self._table.allows(key, entry, "semantic", query, vector, encoder)


def _indexed_as(entry: CacheEntry) -> NewEntry | None:
    """Return an entry as the index takes it in; None for one that answers equal requests alone."""
    if entry.kind != "answer" or entry.key.text is None:
        return None
    return NewEntry(entry.entry_id, entry.key.partition, entry.key.text)


def _with_others(shared: SharedVectors, partition: bytes, near: Neighbours) -> Neighbours:
    """Return the nearest among this host's neighbours and those that all hosts know of. Blocks."""
    assert near.vector is not None  # noqa: S101  it was asked for
    known = {each.entry_id for each in near.neighbours}
    others = [each for each in shared.near(partition, near.vector, N_CANDIDATES) if each.entry_id not in known]
    nearest = sorted((*near.neighbours, *others), key=lambda each: -each.similarity)[:N_CANDIDATES]
    return replace(near, neighbours=tuple(nearest), vectors=())  # nothing is forbidden by nearness where this is asked
