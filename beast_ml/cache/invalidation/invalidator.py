"""Keeps a process's table in step with the store, and makes invalidations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.cache.invalidation.bans import NEAR, Ban, Vector, false_hit, none_alike, radius_ban
from beast_ml.cache.invalidation.near_bans import MAX_RADIUS_BANS
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.invalidation.store import InvalidationStore
from beast_ml.cache.invalidation.table import InvalidationTable
from beast_ml.errors import InputError, UnavailableError
from beast_ml.events import events

__all__ = ["Invalidator", "Neighbours"]

Neighbours = Callable[[str, bytes | None, Vector, float], Iterable[str]]
"""Returns the ids of a tenant's entries within a cosine distance of a vector: what the index knows."""

_TRIES: Final = 5


class Invalidator:
    """A process's side of the invalidations.

    Parameters
    ----------
    store
        The truth that all processes share.
    table
        What this process knows; lookups ask it.
    copy
        For a store that may lose its memory: a copy of it on this host's disk.
    poll_s
        How often the store is asked for news, so how late another process's invalidation may come here.
    max_silence_s
        After so long without an answer from the store nothing is served from the cache until it answers: others may
        reach it where this process does not.
    """

    def __init__(
        self,
        store: InvalidationStore,
        table: InvalidationTable | None = None,
        copy: SqlInvalidations | None = None,
        poll_s: float = 0.5,
        max_silence_s: float = 300.0,
    ) -> None:
        self._store, self._copy = store, copy
        self._poll_s, self._max_silence_s = poll_s, max_silence_s
        self.table = table or InvalidationTable()
        self.error: str | None = None
        self._lock = threading.Lock()
        self._heard_at = time.monotonic()
        self._failed_at = float("-inf")
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Poll in a thread of its own, now and until `close`; a store that is away is tried again."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._poll, name="cache-invalidations", daemon=True)
            self._thread.start()

    def refresh(self) -> bool:
        """Bring the table up to date; return whether anything was new.

        Raises
        ------
        UnavailableError
            If the store does not answer; what is known stays in force.
        """
        with self._turn():
            return self._refresh()

    def invalidate(self, *scopes: Scope) -> None:
        """Make the entries of some scopes invalid, here at once, elsewhere within `poll_s`.

        Raises
        ------
        InputError
            If none is given.
        UnavailableError
            If the store does not answer: nothing was invalidated.
        """
        if not scopes:
            raise InputError("there is nothing to invalidate: give at least one scope")
        self._append([scope.name for scope in scopes])

    def invalidate_near(
        self,
        tenant_id: str,
        vector: Vector,
        radius: float,
        partition: bytes | None = None,
        neighbours: Neighbours | None = None,
        encoder: str = "",
    ) -> int:
        """Make a tenant's entries near a vector invalid; return how many the index knew of.

        Parameters
        ----------
        tenant_id
            Whose.
        vector
            (d,) unit vector.
        radius
            Cosine distance up to which an entry is near.
        partition
            Only those of this partition.
        neighbours
            The index: what it finds is invalid for equal requests too; the rest for alike ones.
        encoder
            Hash of the encoder that made the vector.
        """
        ban = radius_ban(tenant_id, vector, radius, partition, encoder)
        found = list(neighbours(tenant_id, partition, vector, radius)) if neighbours is not None else []
        known = self.table.radius_bans(tenant_id)
        names = [Scope("entry", entry_id).name for entry_id in found]
        if len(known) >= MAX_RADIUS_BANS:
            self._append([*names, Scope("tenant", tenant_id).name], forget=known)
        else:
            self._append(names, [ban])
        return len(found)

    def forbid(
        self,
        query: CacheKey,
        entry: CacheEntry,
        hit: HitKind,
        query_vector: Vector | None = None,
        entry_vector: Vector | None = None,
        radius: float = NEAR,
        encoder: str = "",
    ) -> None:
        """Get rid of a false hit for good: this request, and ones near it, never get this entry's answer again.

        Nor that of any later entry for the same text. Of an exact hit the answer itself is wrong, so the entry is
        invalidated; the next answer to the request may be cached again. Parameters as in `bans.false_hit`.

        Raises
        ------
        UnavailableError
            If the store does not answer: nothing was forbidden.
        """
        if hit == "exact":
            self.invalidate(Scope("entry", entry.entry_id))
            return
        given = [None if vector is None else np.asarray(vector) for vector in (query_vector, entry_vector)]
        self._append([], [false_hit(query, entry, hit, given[0], given[1], radius, encoder)])

    def forbid_alike(
        self, query: CacheKey, query_vector: Vector | None = None, radius: float = NEAR, encoder: str = ""
    ) -> None:
        """See to it that a request, and ones near it, get no other request's answer any more.

        For a false hit of whose entry nothing is known any more. Parameters as in `bans.none_alike`.

        Raises
        ------
        UnavailableError
            If the store does not answer: nothing was forbidden.
        """
        vector = None if query_vector is None else np.asarray(query_vector)
        self._append([], [none_alike(query, vector, radius, encoder)])

    def close(self) -> None:
        """Stop polling, and let go of the stores."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._store.close()
        if self._copy is not None:
            self._copy.close()

    def _append(self, scopes: Sequence[str], bans: Sequence[Ban] = (), forget: Sequence[str] = ()) -> None:
        with self._turn():
            for _ in range(_TRIES):
                self._refresh()
                if self._store.append(self.table.position, scopes, bans, forget) is not None:
                    self._refresh()
                    return
        raise UnavailableError(
            "the store of the cache's invalidations was lost again and again: nothing was invalidated"
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Ask the store alone; who came before one that it did not answer is not answered either, and waits no longer.

        Else each of those who wait would wait for a timeout of its own.
        """
        came_at = time.monotonic()
        with self._lock:
            if self._failed_at > came_at:
                raise UnavailableError(
                    "the store of the cache's invalidations does not answer: try again in a few seconds"
                )
            try:
                yield
            except UnavailableError:
                self._failed_at = time.monotonic()
                raise

    def _refresh(self) -> bool:
        known = self.table.position
        if not known.incarnation and self._copy is not None:
            self.table.apply(self._copy.read())
            self.table.suspend()  # it may be old: until the store says what has changed since, nothing holds
            known = self.table.position
        position = self._store.position()
        if position == known and position.incarnation:
            self._heard_at = time.monotonic()
            self.table.resume()
            return False
        if not position.continues(known) or not position.incarnation:
            if known.incarnation:
                events.warning("cache.invalidations_lost", known=known.n, found=position.n)
            self._store.merge(self.table.record())
            news = self._store.read()
        else:
            news = self._store.read(known.n)
        self.table.apply(news)
        self._heard_at = time.monotonic()
        if self._copy is not None:
            try:
                self._copy.mirror(known, news, self.table.record)
            except UnavailableError as error:  # the store has it; the copy is for the day when it has not
                events.warning("cache.invalidations_copy", error=str(error))
        return True

    def _poll(self) -> None:
        while True:
            try:
                self.refresh()
                self.error = None
            except UnavailableError as error:
                if self.error is None:
                    events.warning("cache.invalidations_unavailable", error=str(error))
                self.error = str(error)
                if time.monotonic() - self._heard_at > self._max_silence_s:
                    self.table.suspend()
            if self._stopped.wait(self._poll_s):
                return
