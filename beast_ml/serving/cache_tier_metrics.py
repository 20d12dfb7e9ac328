"""What the tiers of a worker's cache do, as counts that are added up over the workers of a host."""

from __future__ import annotations

from typing import Final

from beast_ml.cache.tier_stats import CacheStats
from beast_ml.serving.metric_cells import CellFiles, Counters, Gauges

__all__ = ["TIER_COUNTS", "CacheTierMetrics"]

TIER_COUNTS: Final = {
    "written": "Entries written to a tier.",
    "dropped": "Entries that a tier never got: it had no room, or too many waited.",
    "failures": "Times that a tier did not answer.",
    "skipped": "Times that a tier was not asked because it was away.",
}
"""Fields of `TierStats` that only grow -> what they are; the metric is ``beast_cache_tier_`` and the name."""


class CacheTierMetrics:
    """Shows the stats of one worker's tiers, which begin at 0 with it, as counts that go on when it is replaced.

    Parameters
    ----------
    files
        Of the worker's metrics.
    """

    def __init__(self, files: CellFiles) -> None:
        self._counters = {
            name: Counters(files, f"beast_cache_tier_{name}", text, ("tier",)) for name, text in TIER_COUNTS.items()
        }
        self._waiting = Gauges(
            files, "beast_cache_tier_waiting", "Entries and removals that wait for a tier.", "livesum", ("tier",)
        )
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, stats: CacheStats) -> None:
        """Count what has come since the last time."""
        for tier in stats.tiers:
            for name, counter in self._counters.items():
                now, before = getattr(tier, name), self._told.get((tier.tier, name), 0)
                if now > before:
                    counter.add((tier.tier,), now - before)
                    self._told[tier.tier, name] = now
            self._waiting.set((tier.tier,), tier.waiting)
