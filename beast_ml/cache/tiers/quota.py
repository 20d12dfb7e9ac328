"""How much of a shared tier one tenant may fill, and which of its entries leave first when that is reached.

Shared tiers do not count how often an entry is asked for, which would make a write of every read. They evict by
"GreedyDual-Size" (P. Cao, S. Irani, "Cost-Aware WWW Proxy Caching Algorithms", 1997): an entry's priority is what a hit
saves per byte, plus the highest priority that was evicted before it came. So the least valuable go first, among equals
the oldest, and in the end the most valuable, too, when it is old.
"""

from __future__ import annotations

import msgspec

from beast_ml.errors import InputError

__all__ = ["TenantQuota"]


class TenantQuota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what a tenant keeps in a tier.

    Parameters
    ----------
    max_entries, max_bytes
        Bytes are those of the entries as they are kept, compressed, without the tier's own books.
    """

    max_entries: int = 200_000
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be >= 1")
