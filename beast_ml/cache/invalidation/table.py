"""What a process knows of the invalidations: asked at each lookup, so plain dictionaries in memory."""

from __future__ import annotations

import threading

import msgspec

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.cache.invalidation.bans import Ban, FalseHit, RadiusBan, Vector
from beast_ml.cache.invalidation.near_bans import FalseHits, RadiusBans
from beast_ml.cache.invalidation.scopes import EVERYTHING, TENANT, scope_names
from beast_ml.cache.invalidation.store import NUMBER, Position, Record

__all__ = ["InvalidationTable"]


class InvalidationTable:
    """Says which entries hold; safe to read from several threads while `apply` changes it.

    Before anything was read from a store no entry holds.

    Examples
    --------
    >>> from beast_ml.cache.entry import CacheKey
    >>> from beast_ml.cache.invalidation.scopes import Scope
    >>> key = CacheKey(tenant_id="acme", partition=b"p", exact=b"e", normalised=b"n", text=None)
    >>> table = InvalidationTable()
    >>> table.apply(Record(Position(incarnation=7, n=0)))
    >>> stamp = table.stamp()  # before the answer is asked for
    >>> entry = CacheEntry(
    ...     entry_id="1", key=key, answer=b"", created_at=0.0, expires_at=9.0, model="m", tags=("prices",), epoch=stamp
    ... )
    >>> table.holds(entry)
    True
    >>> table.apply(Record(Position(incarnation=7, n=1), epochs={Scope("tag", "prices").name: 1}))
    >>> table.holds(entry)
    False
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._record = Record()
        self._line: dict[int, int] = {}
        self._floor, self._newest = 0, 0
        self._epochs: dict[str, int] = {}
        self._pairs: dict[str, FalseHits] = {}
        self._radius: dict[str, RadiusBans] = {}

    @property
    def position(self) -> Position:
        """Return how far it has been brought."""
        return self._record.position

    def record(self) -> Record:
        """Return all that it knows, to give back to a store that lost it."""
        with self._lock:
            known = self._record
            return Record(known.position, known.floor, dict(known.epochs), dict(known.bans), known.lineage)

    def stamp(self) -> int:
        """Return what an entry is to be stamped with, if its answer is asked for after this call."""
        return self._record.position.stamp

    def holds(self, entry: CacheEntry, vector: Vector | None = None, encoder: str = "") -> bool:
        """Return whether an entry was not invalidated.

        Parameters
        ----------
        entry
            Found, or about to be stored.
        vector
            (d,) embedding of the entry's request, where it is at hand: at semantic hits and when it is stored.
        encoder
            Hash of the encoder that made it.
        """
        n = entry.epoch & NUMBER
        if n > self._line.get(entry.epoch >> 32, -1) or n < self._floor:
            return False
        if n < self._newest:
            epochs = self._epochs
            for name in scope_names(entry):
                if epochs.get(name, -1) > n:
                    return False
        if vector is not None and self._radius:
            bans = self._radius.get(entry.key.tenant_id)
            return bans is None or not bans.cover(entry, vector, encoder)
        return True

    def allows(
        self,
        query: CacheKey,
        entry: CacheEntry,
        hit: HitKind,
        query_vector: Vector | None = None,
        entry_vector: Vector | None = None,
        encoder: str = "",
    ) -> bool:
        """Return whether an entry may be served to a request: it holds, and the pair is no reported false hit.

        Parameters
        ----------
        query
            Key of the request.
        entry
            What was found for it.
        hit
            How.
        query_vector, entry_vector
            (d,) unit vectors; needed for a semantic hit.
        encoder
            Hash of the encoder that made them.
        """
        if query.tenant_id != entry.key.tenant_id or not self.holds(entry, entry_vector, encoder):
            return False
        pairs = self._pairs.get(query.tenant_id) if self._pairs else None
        return pairs is None or not pairs.forbid(query, entry, hit, query_vector, entry_vector, encoder)

    def needs_vectors(self, tenant_id: str) -> bool:
        """Whether anything of a tenant is forbidden by nearness, so that `allows` asks for vectors."""
        return tenant_id in self._pairs or tenant_id in self._radius

    def radius_bans(self, tenant_id: str) -> list[str]:
        """Return the ids of a tenant's neighbourhood bans."""
        bans = self._radius.get(tenant_id)
        return [] if bans is None else bans.ids()

    def apply(self, record: Record) -> None:
        """Take in what is new in the store, or all of it if it is another store than before."""
        with self._lock:
            known, radius = self._record, dict(self._radius)
            new_pairs = [ban for ban_id, (_, ban) in record.bans.items() if ban_id not in known.bans]
            if not record.position.continues(known.position):
                self._line = {}  # until the end of this, nothing holds
                self._newest, known, radius = 0, Record(), {}
            for ban in new_pairs:
                if isinstance(ban, FalseHit):
                    self._pairs.setdefault(ban.tenant_id, FalseHits()).add(ban)
            for n, ban in record.bans.values():
                if isinstance(ban, RadiusBan):
                    radius.setdefault(ban.tenant_id, RadiusBans()).add(n, ban)
            self._radius = radius
            floor, epochs = record.floor, known.epochs | record.epochs
            if floor > known.floor:
                epochs = {name: n for name, n in epochs.items() if n >= floor}
            self._epochs = epochs
            self._floor = max(floor, epochs.get(EVERYTHING, 0))
            self._newest = max(self._newest, max(record.epochs.values(), default=0))
            self._record = Record(record.position, floor, epochs, known.bans | record.bans, record.lineage)
            self._drop_covered(record)
            self._line = self._record.line()

    def suspend(self) -> None:
        """Let no entry hold until `resume` or news: nobody knows what was invalidated meanwhile."""
        with self._lock:
            self._line = {}

    def resume(self) -> None:
        """Let entries hold again: what is known is up to date."""
        with self._lock:
            self._line = self._record.line()

    def _drop_covered(self, news: Record) -> None:
        """Forget neighbourhoods of tenants that were invalidated altogether."""
        for name, n in news.epochs.items():
            bans = self._radius.get(name[2:]) if name.startswith(TENANT) else None
            if bans is not None:
                left = {
                    ban_id: known for ban_id, known in self._record.bans.items() if not _covered(known, name[2:], n)
                }
                self._record = msgspec.structs.replace(self._record, bans=left)
                self._radius[name[2:]] = bans.since(n)


def _covered(known: tuple[int, Ban], tenant_id: str, n: int) -> bool:
    at, ban = known
    return isinstance(ban, RadiusBan) and ban.tenant_id == tenant_id and at <= n
