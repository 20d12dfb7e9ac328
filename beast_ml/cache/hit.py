"""What a lookup finds."""

from __future__ import annotations

import msgspec

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind

__all__ = ["Hit", "own_hit"]


class Hit(msgspec.Struct, frozen=True):
    """An entry for a request.

    Parameters
    ----------
    entry
        What was found.
    kind
        Under which of the request's own keys, or that it was made for an alike one.
    tier
        The name of the tier it came from.
    similarity
        Cosine of the two requests; None where it was not measured.
    """

    entry: CacheEntry
    kind: HitKind
    tier: str
    similarity: float | None = None


def own_hit(entry: CacheEntry, key: CacheKey, tier: str) -> Hit | None:
    """Return a hit; None if an entry is not the request's: no tier's fault may show one tenant another's answer."""
    if entry.key.tenant_id != key.tenant_id or entry.key.partition != key.partition:
        return None
    if entry.key.exact == key.exact:
        return Hit(entry, "exact", tier, 1.0)
    return Hit(entry, "normalised", tier) if entry.key.normalised == key.normalised else None
