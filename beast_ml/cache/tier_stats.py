"""What the tiers have done since the start."""

from __future__ import annotations

import msgspec

from beast_ml.cache.entry import HitKind

__all__ = ["CacheStats", "TierCounts", "TierStats"]


class TierCounts:
    """What is counted while a cache runs."""

    __slots__ = ("exact", "failures", "misses", "normalised", "skipped")

    def __init__(self) -> None:
        self.exact = self.normalised = self.misses = self.skipped = self.failures = 0

    def count(self, kind: HitKind | None) -> None:
        """Count a lookup."""
        if kind is None:
            self.misses += 1
        elif kind == "exact":
            self.exact += 1
        else:
            self.normalised += 1


class TierStats(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier has done.

    Parameters
    ----------
    tier
        Its name.
    exact, normalised, misses
        Lookups by what they found; a tier is looked up only when those before it missed.
    skipped
        Times that it was not asked because it was away.
    failures
        Times that it did not answer.
    written, waiting
        Entries written to it, and entries and removals that wait for it.
    dropped
        Entries that it never got: memory had no room for them, or too many waited.
    away
        Whether the last that is known is a failure.
    """

    tier: str
    exact: int = 0
    normalised: int = 0
    misses: int = 0
    skipped: int = 0
    failures: int = 0
    written: int = 0
    waiting: int = 0
    dropped: int = 0
    away: bool = False

    @classmethod
    def of(cls, tier: str, counts: TierCounts) -> TierStats:
        """Return what was counted of lookups."""
        return cls(tier=tier, **{name: getattr(counts, name) for name in TierCounts.__slots__})

    @property
    def hits(self) -> int:
        """Lookups that found something."""
        return self.exact + self.normalised


class CacheStats(msgspec.Struct, frozen=True):
    """What all tiers have done, the first one first."""

    tiers: tuple[TierStats, ...]

    @property
    def lookups(self) -> int:
        """Requests that were looked up: memory is asked for each."""
        return self.tiers[0].hits + self.tiers[0].misses

    @property
    def hit_rate(self) -> float:
        """Share of them that any tier had; 0 where there were none."""
        return sum(tier.hits for tier in self.tiers) / self.lookups if self.lookups else 0.0
