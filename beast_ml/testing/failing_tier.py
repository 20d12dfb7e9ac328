"""A cache tier that is away when told to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tiers.contract import Tier
from beast_ml.errors import UnavailableError

__all__ = ["FailingTier"]


class FailingTier:
    """Another tier, behind a connection that can be cut.

    Parameters
    ----------
    tier
        The one behind.
    name
        What it is called.
    """

    def __init__(self, tier: Tier, name: str) -> None:
        self._tier, self.name = tier, name
        self.away = False
        self.n_calls = 0

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Return what the tier does."""
        return self._reached().get_many(keys)

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, CacheEntry]:
        """Return what the tier does."""
        return self._reached().by_id(entry_ids)

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Do what the tier does."""
        self._reached().put_many(entries)

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Do what the tier does."""
        return self._reached().remove(entry_ids)

    def scan(self, tenant_id: str | None = None) -> Iterator[CacheEntry]:
        """Return what the tier does."""
        return self._reached().scan(tenant_id)

    def usage(self) -> Mapping[str, tuple[int, int]]:
        """Return what the tier does."""
        return self._reached().usage()

    def close(self) -> None:
        """Close the tier, away or not."""
        self._tier.close()

    def _reached(self) -> Tier:
        self.n_calls += 1
        if self.away:
            raise UnavailableError(f"{self.name} does not answer")
        return self._tier
