"""The contract of a tier; `beast_ml.testing.tier_conformance` is the suite that each one passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from beast_ml.cache.entry import CacheEntry

__all__ = ["EntrySink", "Tier"]


class EntrySink(Protocol):
    """Takes entries in; what `WriteBack` writes to. Raises as a `Tier` does."""

    @property
    def name(self) -> str:
        """What it is called in headers, logs and metrics, for example ``memory``."""
        ...

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Keep entries, in one round trip; an entry with a known id replaces it."""
        ...

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Forget entries; return how many were here."""
        ...


class Tier(EntrySink, Protocol):
    """Keeps entries by their keys, exact and normalised, until they expire or room is needed.

    Calls are synchronous and may be made from several threads. Those to a tier that is away raise `UnavailableError`;
    nothing else is raised for what a server does. What has expired is never returned.

    An entry is found under its exact key and under its normalised one; of two entries under one key the younger is
    found. Under an exact key nothing but the youngest is kept at all. An older entry that shares only its normalised
    key with a younger one stays, and is found under its exact key; when the younger is gone, nothing is found under
    the normalised one until the next is put there.
    """

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Return the entries under those keys that are here, in one round trip."""
        ...

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, CacheEntry]:
        """Return the entries with those ids that are here, in one round trip."""
        ...

    def scan(self, tenant_id: str | None = None) -> Iterator[CacheEntry]:
        """Return every entry that has not expired, oldest first, without holding all of them in memory."""
        ...

    def usage(self) -> Mapping[str, tuple[int, int]]:
        """Return (entries, bytes) by tenant."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
