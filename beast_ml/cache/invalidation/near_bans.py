"""Looks bans up: one tenant's, as matrices and dictionaries."""

from __future__ import annotations

from typing import Final

import numpy as np

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.cache.invalidation.bans import FalseHit, RadiusBan, Vector, request_names
from beast_ml.cache.invalidation.store import NUMBER

__all__ = ["MAX_NEAR", "MAX_RADIUS_BANS", "FalseHits", "RadiusBans"]

MAX_NEAR: Final = 1_000
"""Of a tenant's false hits this many, the latest, also hold for requests that are near. Of an older one, the source
serves no request but its own any more: that is wider, and takes no vectors."""

MAX_RADIUS_BANS: Final = 256
"""More than these and the whole tenant is invalidated in their place."""

_ROUNDING: Final = 1e-5  # of a float32 dot product: a vector counts as within a radius of 0 of itself


class FalseHits:
    """One tenant's reported pairs."""

    def __init__(self) -> None:
        self._sources: dict[bytes, set[bytes]] = {}
        self._classes: set[bytes] = set()
        self._quarantined: set[bytes] = set()
        self._near: list[FalseHit] = []
        self._matrices: dict[int, tuple[Vector, Vector, Vector]] = {}

    def add(self, ban: FalseHit) -> None:
        """Take a pair in."""
        for name in ban.query:
            self._sources.setdefault(name, set()).update(ban.source)
        if ban.query_class is not None:
            self._classes.add(ban.query_class)
        if ban.query_vector:
            self._near.append(ban)
            if len(self._near) > MAX_NEAR:
                self._quarantined.update(self._near.pop(0).source)
            self._matrices = {}

    def forbid(
        self,
        query: CacheKey,
        entry: CacheEntry,
        hit: HitKind,
        query_vector: Vector | None,
        entry_vector: Vector | None,
    ) -> bool:
        """Return whether an entry may not be served to a request; an exact hit always may."""
        if hit == "exact":
            return False
        if query.normalised == entry.key.normalised and query.normalised in self._classes:
            return query.exact != entry.key.exact  # however it was found: words of one class are alike, too
        sources = request_names(entry.key)
        if not self._quarantined.isdisjoint(sources):
            return True
        for name in request_names(query):
            if not self._sources.get(name, _NONE).isdisjoint(sources):
                return True
        return query_vector is not None and entry_vector is not None and self._is_near(query_vector, entry_vector)

    def _is_near(self, query: Vector, source: Vector) -> bool:
        """Return whether both are near a reported pair.

        The entry must also be nearer to the reported source than to the reported query: where the two are alike, the
        true answer's own entry is near both, and it is right.
        """
        if not self._near:
            return False
        d, cached = len(query), self._matrices
        if d not in cached:
            cached[d] = _matrices(list(self._near), d)
        queries, sources, least = cached[d]
        near = queries @ query >= least
        if not near.any():  # nearly always: most requests are like none that was complained of
            return False
        queries, sources = queries[near], sources[near]
        to_source = sources @ source
        return bool(np.any((to_source >= least[near]) & (to_source + _ROUNDING >= queries @ source)))


class RadiusBans:
    """One tenant's neighbourhoods, with the numbers below which stamps are too old."""

    def __init__(self) -> None:
        self._bans: dict[str, tuple[int, RadiusBan]] = {}
        self._matrices: dict[int, tuple[Vector, Vector, list[tuple[int, RadiusBan]]]] = {}

    def add(self, n: int, ban: RadiusBan) -> None:
        """Take a neighbourhood in; one that is known is in force up to the later number."""
        self._bans[ban.ban_id] = n, ban
        self._matrices = {}

    def ids(self) -> list[str]:
        """Return their ids."""
        return list(self._bans)

    def since(self, n: int) -> RadiusBans:
        """Return those above a number."""
        left = RadiusBans()
        for at, ban in self._bans.values():
            if at > n:
                left.add(at, ban)
        return left

    def cover(self, entry: CacheEntry, vector: Vector) -> bool:
        """Return whether an entry is older than a ban that it is near to."""
        d, cached = len(vector), self._matrices
        if d not in cached:
            bans = list(self._bans.values())
            least = np.array([1.0 - ban.radius - _ROUNDING for _, ban in bans], dtype=np.float32)
            cached[d] = np.array([_vector(ban.vector, d) for _, ban in bans]).reshape(-1, d), least, bans
        vectors, least, bans = cached[d]
        for i in np.flatnonzero(vectors @ vector >= least):
            n, ban = bans[i]
            if (entry.epoch & NUMBER) < n and ban.partition in (None, entry.key.partition):
                return True
        return False


_NONE: Final[frozenset[bytes]] = frozenset()


def _matrices(bans: list[FalseHit], d: int) -> tuple[Vector, Vector, Vector]:
    """Return (n, d) queries, (n, d) sources and (n,) least similarities of n bans."""
    queries = np.stack([_vector(ban.query_vector, d) for ban in bans])
    sources = np.stack([_vector(ban.source_vector, d) for ban in bans])
    least = np.array([1.0 - ban.radius - _ROUNDING for ban in bans], dtype=np.float32)
    return queries, sources, least


def _vector(stored: bytes, d: int) -> Vector:
    """Return a stored vector; zeros, near nothing, for one of another encoder."""
    vector = np.frombuffer(stored, dtype=np.float32)
    return vector if len(vector) == d else np.zeros(d, dtype=np.float32)
