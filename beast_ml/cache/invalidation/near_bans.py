"""Looks bans up: one tenant's, as matrices and dictionaries.

Vectors are compared with those of the same encoder alone. What a ban of another one is near to, nobody can tell any
more, so it is taken for wide: it forbids too much until the entries of its time have expired, rather than too little.
"""

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

_ANY: Final = 2.5  # no two unit vectors are as far apart
_ROUNDING: Final = 1e-5  # of a float32 dot product: a vector counts as within a radius of 0 of itself


class FalseHits:
    """One tenant's reported pairs."""

    def __init__(self) -> None:
        self._sources: dict[bytes, set[bytes]] = {}
        self._classes: set[bytes] = set()
        self._quarantined: set[bytes] = set()
        self._near: list[FalseHit] = []
        self._alone: set[bytes] = set()
        self._near_alone: list[FalseHit] = []
        self._matrices: dict[tuple[str, int], tuple[Vector, Vector, Vector]] = {}
        self._alone_matrices: dict[tuple[str, int], tuple[Vector, Vector]] = {}
        self._foreign: dict[str, frozenset[bytes]] = {}

    def add(self, ban: FalseHit) -> None:
        """Take a pair in."""
        if not ban.source:
            self._add_alone(ban)
            return
        for name in ban.query:
            self._sources.setdefault(name, set()).update(ban.source)
        if ban.query_class is not None:
            self._classes.add(ban.query_class)
        if ban.query_vector:
            self._near.append(ban)
            if len(self._near) > MAX_NEAR:
                self._quarantined.update(self._near.pop(0).source)
            self._matrices, self._foreign = {}, {}

    def _add_alone(self, ban: FalseHit) -> None:
        self._alone.update(ban.query)
        if ban.query_vector:
            self._near_alone = [*self._near_alone, ban][-MAX_NEAR:]
            self._alone_matrices = {}

    def forbid(
        self,
        query: CacheKey,
        entry: CacheEntry,
        hit: HitKind,
        query_vector: Vector | None,
        entry_vector: Vector | None,
        encoder: str = "",
    ) -> bool:
        """Return whether an entry may not be served to a request; an exact hit always may.

        Of a pair that was reported under another encoder the source serves no alike request any more.
        """
        if hit == "exact":
            return False
        if query.normalised == entry.key.normalised and query.normalised in self._classes:
            return query.exact != entry.key.exact  # however it was found: words of one class are alike, too
        if not self._alone.isdisjoint(request_names(query)):
            return query.exact != entry.key.exact
        sources = request_names(entry.key)
        if not self._quarantined.isdisjoint(sources):
            return True
        for name in request_names(query):
            if not self._sources.get(name, _NONE).isdisjoint(sources):
                return True
        if query_vector is None or entry_vector is None:
            return False
        if not self._foreign_to(encoder).isdisjoint(sources):
            return True
        return self._is_near_alone(query_vector, encoder) or self._is_near(query_vector, entry_vector, encoder)

    def _is_near_alone(self, query: Vector, encoder: str) -> bool:
        """Return whether a request is near one that is served no other one's answer."""
        if not self._near_alone:
            return False
        of, cached = (encoder, len(query)), self._alone_matrices
        if of not in cached:
            bans = [ban for ban in self._near_alone if ban.encoder == encoder]
            cached[of] = _stacked([ban.query_vector for ban in bans], len(query)), _least(bans)
        queries, least = cached[of]
        return bool((queries @ query >= least).any())

    def _foreign_to(self, encoder: str) -> frozenset[bytes]:
        """Return the sources of pairs whose vectors are another encoder's."""
        found = self._foreign.get(encoder)
        if found is None:
            found = frozenset(name for ban in self._near if ban.encoder != encoder for name in ban.source)
            self._foreign[encoder] = found
        return found

    def _is_near(self, query: Vector, source: Vector, encoder: str) -> bool:
        """Return whether both are near a reported pair.

        The entry must also be nearer to the reported source than to the reported query: where the two are alike, the
        true answer's own entry is near both, and it is right.
        """
        if not self._near:
            return False
        of, cached = (encoder, len(query)), self._matrices
        if of not in cached:
            cached[of] = _matrices([ban for ban in self._near if ban.encoder == encoder], len(query))
        queries, sources, least = cached[of]
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
        self._matrices: dict[tuple[str, int], tuple[Vector, Vector, list[tuple[int, RadiusBan]]]] = {}

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

    def cover(self, entry: CacheEntry, vector: Vector, encoder: str = "") -> bool:
        """Return whether an entry is older than a ban that it is near to, or that nobody can tell of whether it is."""
        d, cached = len(vector), self._matrices
        if (encoder, d) not in cached:
            bans = list(self._bans.values())
            within = [ban.radius if ban.encoder == encoder else _ANY for _, ban in bans]
            vectors = _stacked([ban.vector for _, ban in bans], d)
            cached[encoder, d] = vectors, np.array([1.0 - each - _ROUNDING for each in within], np.float32), bans
        vectors, least, bans = cached[encoder, d]
        for i in np.flatnonzero(vectors @ vector >= least):
            n, ban = bans[i]
            if (entry.epoch & NUMBER) < n and ban.partition in (None, entry.key.partition):
                return True
        return False


_NONE: Final[frozenset[bytes]] = frozenset()


def _matrices(bans: list[FalseHit], d: int) -> tuple[Vector, Vector, Vector]:
    """Return (n, d) queries, (n, d) sources and (n,) least similarities of n bans."""
    queries, sources = ([ban.query_vector for ban in bans], [ban.source_vector for ban in bans])
    return _stacked(queries, d), _stacked(sources, d), _least(bans)


def _stacked(stored: list[bytes], d: int) -> Vector:
    return np.array([_vector(each, d) for each in stored], dtype=np.float32).reshape(-1, d)


def _least(bans: list[FalseHit]) -> Vector:
    return np.array([1.0 - ban.radius - _ROUNDING for ban in bans], dtype=np.float32)


def _vector(stored: bytes, d: int) -> Vector:
    """Return a stored vector; zeros, near nothing, for one of another width."""
    vector = np.frombuffer(stored, dtype=np.float32)
    return vector if len(vector) == d else np.zeros(d, dtype=np.float32)
