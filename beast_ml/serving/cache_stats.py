"""What the cache has done, for operators: counts of all workers of the host, and who has what in the tiers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from prometheus_client.samples import Sample

from beast_ml.cache.tier_stats import TierStats
from beast_ml.serving.cache_api import cache_of
from beast_ml.serving.cache_tier_metrics import TIER_COUNTS
from beast_ml.serving.services import Services

__all__ = ["CacheFigures", "TenantUsage", "TierFigures", "cache_figures"]

_PREFIX: Final = "beast_cache_"


class TenantUsage(msgspec.Struct, frozen=True):
    """What a tenant has in a tier.

    Parameters
    ----------
    tenant
        Whose entries.
    entries
        How many.
    bytes
        What they take.
    """

    tenant: str
    entries: int
    bytes: int


class TierFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier has done, and what is in it.

    Parameters
    ----------
    tier
        ``memory``, ``valkey`` or ``sql``.
    hits
        Requests that it answered, by kind: ``exact``, ``normalised``, ``semantic``.
    written, waiting
        Entries written to it, and entries and removals that wait for it.
    dropped
        Entries that it never got: it had no room, or too many waited.
    failures, skipped
        Times that it did not answer, and that it was not asked because it was away.
    away
        Whether it is away for the worker that answers.
    shared
        Whether all workers have the same; if not, the usage is of the worker that answers, alone.
    usage
        By tenant, who has most first; null where the tier is away.
    """

    tier: str
    hits: dict[str, int]
    written: int
    waiting: int
    dropped: int
    failures: int
    skipped: int
    away: bool
    shared: bool
    usage: list[TenantUsage] | None


class SemanticFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the process of a host is doing that finds alike requests; see `beast_ml.cache.neighbours.frames.Figures`.

    Parameters
    ----------
    entries, waiting
        Entries that can be found, and entries that are not embedded yet.
    lookups, gated, embedded
        Lookups; of these: answered by the static gate, embedded by MiniLM.
    memory_bytes
        Resident memory of the process.
    start_s
        Seconds from its start until it listened.
    threshold
        Score from which on a candidate may be served where a partition has no evidence of its own; null: none
        may.
    verified, alarms
        Verified lookups so far, and how often they said that something had changed for the worse.
    """

    entries: int
    waiting: int
    lookups: int
    gated: int
    embedded: int
    memory_bytes: int
    start_s: float
    threshold: float | None
    verified: int
    alarms: int


class CacheFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache of a host has done since the server's start.

    Parameters
    ----------
    lookups
        Requests that were looked up, and whose row is in the log.
    hits
        Those that were answered, by kind.
    hit_rate
        Share of the lookups, 0..1; null before the first one.
    bypassed
        Requests that were not looked up.
    bypasses
        Why, by reason; several may hold for a request.
    kept
        Answers that were kept, by what they are: ``answer``, ``refusal``, ``error``.
    saved_usd, saved_s
        What hits would have cost, in money and in time.
    tiers
        The first one first.
    audits
        Lookups for alike requests that were verified, by verdict: ``right``, ``wrong``, ``unknown``.
    semantic
        The process that finds alike requests; null where that is off, or the process is away.
    """

    lookups: int
    hits: dict[str, int]
    hit_rate: float | None
    bypassed: int
    bypasses: dict[str, int]
    kept: dict[str, int]
    saved_usd: float
    saved_s: float
    tiers: list[TierFigures]
    audits: dict[str, int]
    semantic: SemanticFigures | None


async def cache_figures(services: Services, _: None, __: str) -> CacheFigures:
    """Return what the cache of this host has done; of other workers as it was a second ago."""
    cache = cache_of(services)
    usage = await cache.usage()
    stats = cache.stats()
    services.metrics.cache_tiers.tell(stats)
    counts = _Counts(await asyncio.to_thread(services.metrics.counted, _PREFIX))
    results = counts.by("results_total", "result")
    hits = counts.by("hits_total", "kind")
    n_hits = sum(hits.values())
    lookups = n_hits + results.get("miss", 0)
    semantic = None if services.cache is None else services.cache.semantic
    near = None if semantic is None else await semantic.figures()
    return CacheFigures(
        lookups=lookups,
        hits=hits,
        hit_rate=n_hits / lookups if lookups else None,
        bypassed=results.get("bypass", 0),
        bypasses=counts.by("bypasses_total", "reason"),
        kept=counts.by("kept_total", "kind"),
        saved_usd=counts.total("saved_usd_total"),
        saved_s=counts.total("saved_seconds_total"),
        tiers=[
            _tier(tier, counts, shared=place > 0, usage=usage.get(tier.tier)) for place, tier in enumerate(stats.tiers)
        ],
        audits=counts.by("audits_total", "verdict"),
        semantic=None if near is None else msgspec.convert(near, SemanticFigures, from_attributes=True),
    )


class _Counts:
    """Numbers of the metrics of the cache."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = [(each.name.removeprefix(_PREFIX), each.labels, each.value) for each in samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of what has these labels."""
        return sum(value for known, has, value in self._samples if known == name and labels.items() <= has.items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, int]:
        """Return the sums of what has these labels, by another label, the largest first."""
        found: dict[str, float] = {}
        for known, has, value in self._samples:
            if known == name and labels.items() <= has.items():
                found[has[label]] = found.get(has[label], 0.0) + value
        return {each: int(value) for each, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))}


def _tier(
    tier: TierStats, counts: _Counts, *, shared: bool, usage: Mapping[str, tuple[int, int]] | None
) -> TierFigures:
    who = None
    if usage is not None:
        most_first = sorted(usage.items(), key=lambda item: (-item[1][1], item[0]))
        who = [TenantUsage(tenant, n, size) for tenant, (n, size) in most_first]
    return TierFigures(
        tier=tier.tier,
        hits=counts.by("hits_total", "kind", tier=tier.tier),
        waiting=int(counts.total("tier_waiting", tier=tier.tier)),
        away=tier.away,
        shared=shared,
        usage=who,
        **{name: int(counts.total(f"tier_{name}_total", tier=tier.tier)) for name in TIER_COUNTS},
    )
