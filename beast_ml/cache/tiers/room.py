"""Whose entries give way in the memory tier when one more is to come in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from beast_ml.cache.tiers.shares import Share, Slot
from beast_ml.errors import InputError

__all__ = ["MemoryLimits", "Room"]


class MemoryLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept.

    Parameters
    ----------
    max_entries, max_bytes
        Bounds of the whole tier. Bytes are those that Python needs, see `entry_bytes`.
    tenant_share
        Share of both that one tenant may fill at most, in (0, 1]. Below that, tenants share alike: one that holds more
        than an equal part gives way to one that holds less, never the other way round.
    n_looked_at
        So many entries of a tenant, chosen at random, are compared to find the one to evict.
    """

    max_entries: int = 50_000
    max_bytes: int = 256 << 20
    tenant_share: float = 1.0
    n_looked_at: int = 8

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_bytes", "n_looked_at"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be >= 1")
        if not 0 < self.tenant_share <= 1:
            raise InputError(f"`tenant_share` == {self.tenant_share}, must be in (0, 1]")


class Room:
    """What tenants would hold if a newcomer came in, and the entries went that were chosen so far.

    Parameters
    ----------
    limits
        How much is kept.
    shares
        What tenants hold.
    tenant, n_bytes
        Whose the newcomer is, and the memory that it takes.
    """

    def __init__(self, limits: MemoryLimits, shares: Mapping[str, Share], tenant: str, n_bytes: int) -> None:
        self._limits, self._shares, self._tenant = limits, shares, tenant
        self._changes = {tenant: (1, n_bytes)}
        self._n_tenants = len(shares) + (tenant not in shares)
        self.gone: set[str] = set()

    def who_gives_way(self, n: int, n_bytes: int) -> str | None:
        """Return the tenant that must give up an entry; None: there is room.

        That is the newcomer's own where it would hold more than it may, or than an equal part; else the fullest, which
        then holds more than an equal part.

        Parameters
        ----------
        n, n_bytes
            What all hold now.
        """
        limits = self._limits
        own = self._part(self._tenant)
        if own > max(limits.tenant_share, 1 / limits.max_entries):
            return self._tenant
        more, more_bytes = map(sum, zip(*self._changes.values(), strict=True))
        if n + more <= limits.max_entries and n_bytes + more_bytes <= limits.max_bytes:
            return None
        return self._tenant if own * self._n_tenants > 1 else max((*self._shares, self._tenant), key=self._part)

    def without(self, slot: Slot) -> None:
        """Choose an entry to go."""
        tenant = slot.entry.key.tenant_id
        n, n_bytes = self._changes.get(tenant, (0, 0))
        self._changes[tenant] = n - 1, n_bytes - slot.n_bytes
        self.gone.add(slot.entry.entry_id)

    def _part(self, tenant: str) -> float:
        n, n_bytes = self._changes.get(tenant, (0, 0))
        share = self._shares.get(tenant)
        if share is not None:
            n, n_bytes = n + len(share.slots), n_bytes + share.n_bytes
        return max(n / self._limits.max_entries, n_bytes / self._limits.max_bytes)
