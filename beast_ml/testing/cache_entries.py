"""Cache keys and entries for tests: equal arguments make equal ones."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from beast_ml.cache.entry import CacheEntry, CacheKey

__all__ = ["cache_entry", "cache_key"]


def cache_key(tenant_id: str = "acme", exact: str = "hello", normalised: str | None = None) -> CacheKey:
    """Return the key of a request; None: it is in its normal form."""

    def digest(text: str) -> bytes:
        return blake2b(f"{tenant_id}\0{text}".encode(), digest_size=16).digest()

    return CacheKey(
        tenant_id=tenant_id,
        partition=digest("partition"),
        exact=digest(exact),
        normalised=digest(exact if normalised is None else normalised),
        text=exact,
    )


def cache_entry(entry_id: str, key: CacheKey, created_at: float, life_s: float = 600.0, **more: Any) -> CacheEntry:
    """Return an entry; what is not given is plain."""
    given = {"answer": f"answer {entry_id}".encode(), "model": "gpt-5"} | more
    return CacheEntry(entry_id=entry_id, key=key, created_at=created_at, expires_at=created_at + life_s, **given)
