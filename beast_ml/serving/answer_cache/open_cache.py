"""Opens the cache of a worker: memory, then Valkey where hosts share one, then a database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from beast_ml.cache.bypass import BypassRules
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.invalidation.open_store import open_invalidator
from beast_ml.cache.key import KeyMaker, KeyRules
from beast_ml.cache.negative import NegativeLives
from beast_ml.cache.neighbours.client import NeighbourClient
from beast_ml.cache.neighbours.command import NeighbourFiles
from beast_ml.cache.region_stream import RegionStream
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.cache.tiers.quota import TenantQuota
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.errors import InputError, UnavailableError
from beast_ml.serving.answer_cache.answers import AnswerCache, cache_threads
from beast_ml.serving.answer_cache.audits import Audits
from beast_ml.serving.answer_cache.chat_cache import ChatCache
from beast_ml.serving.answer_cache.config import EQUAL, AnswerCacheConfig
from beast_ml.serving.answer_cache.freshness import AGES_FILE, Freshness
from beast_ml.serving.answer_cache.judges import EqualAnswers, Judge, ModelJudge
from beast_ml.serving.answer_cache.region_copies import RegionCopies
from beast_ml.serving.answer_cache.region_link import RegionLink
from beast_ml.serving.answer_cache.semantic import SemanticSearch
from beast_ml.serving.answer_cache.semantic_parts import SemanticParts
from beast_ml.serving.answer_cache.shared_vectors import SharedVectors
from beast_ml.serving.answer_cache.trained import TrainedCaches
from beast_ml.serving.answer_cache.verdicts import Verdicts
from beast_ml.serving.answer_cache.warmer import Warmer
from beast_ml.serving.copy_figures import CopyFigures
from beast_ml.serving.request_ids import RequestIds

if TYPE_CHECKING:
    from beast_ml.serving.gateway.gateway import Gateway
    from beast_ml.serving.metrics import ServingMetrics

__all__ = ["open_answer_cache", "open_copies", "open_freshness", "open_semantic", "open_verdicts", "open_warmer"]


_DIM: Final = 384  # of MiniLM's vectors


def open_answer_cache(config: AnswerCacheConfig) -> AnswerCache:
    """Return the cache; close it when the worker stops. Tiers that are away are tried again later.

    Raises
    ------
    InputError
        If the secret is short, or an address is malformed.
    MissingExtraError
        If a driver is not installed.
    """
    rules = KeyRules(bypass=BypassRules(max_temperature=config.max_temperature), per_user=config.per_user)
    keys = KeyMaker(config.secret, rules)
    quota = TenantQuota(max_entries=config.tenant_entries, max_bytes=config.tenant_bytes)
    config.state.mkdir(parents=True, exist_ok=True)
    shared: list[Tier] = []
    if config.redis_url is not None:
        from beast_ml.cache.tiers.valkey import ValkeyTier

        shared.append(ValkeyTier.open(config.redis_url, quota=quota))
    last = SqlTier.open(config.database_url or f"sqlite:///{config.state / 'cache.db'}", quota=quota)
    shared.append(last)
    home = None if config.region is None else config.region.home_url
    invalidator = open_invalidator(config.database_url, config.redis_url, config.state, home_url=home)
    with suppress(UnavailableError):  # until it is heard nothing is served, and it is asked again
        invalidator.refresh()
    threads, table = cache_threads(), invalidator.table
    tiers = TieredCache(
        MemoryTier(
            MemoryLimits(
                max_entries=config.memory_entries,
                max_bytes=config.memory_bytes,
                n_looked_at=config.memory_looked_at,
            )
        ),
        shared,
        lives=NegativeLives(refusal_s=config.lives.refusal_s, error_s=config.lives.error_s),
        holds=table.holds,
    )
    invalidator.start()
    search = None
    if config.semantic is not None:
        client = NeighbourClient(NeighbourFiles(config.state).socket)
        vectors = SharedVectors(partial(last.vectors, _DIM)) if config.shared_vectors else None
        search = SemanticSearch(client, TrainedCaches(config.state).verifier, tiers, table, threads, vectors)
    return AnswerCache(
        keys,
        tiers,
        invalidator,
        config.lives,
        max_wait_s=config.max_wait_s,
        search=search,
        regions=_link(config),
        threads=threads,
    )


def open_copies(cache: AnswerCache, told: Callable[[CopyFigures], None]) -> RegionCopies | None:
    """Return what brings other regions' answers here; None where there are none."""
    return None if cache.regions is None else RegionCopies(cache.regions.stream, cache, told)


def open_semantic(config: AnswerCacheConfig, cache: AnswerCache, verdicts: Verdicts | None) -> SemanticParts | None:
    """Return what a worker needs for answers to alike requests; None where only equal ones hit."""
    if config.semantic is None or cache.search is None:
        return None
    audits = Audits(cache.search, verdicts, config.semantic.audit_share)
    return SemanticParts(cache.search, audits, TrainedCaches(config.state), config.trained)


def open_verdicts(
    config: AnswerCacheConfig, gateway: Gateway | None, ids: RequestIds, metrics: ServingMetrics
) -> Verdicts | None:
    """Return what judges cached answers; None where nothing does.

    Raises
    ------
    InputError
        If a model is to judge, and there is no gateway to call it.
    """
    if config.judge is None:
        return None
    judge: Judge = EqualAnswers()
    if config.judge != EQUAL:
        if gateway is None:
            raise InputError(f"`cache.judge` == {config.judge!r}, but no endpoint is set to call that model at")
        judge = ModelJudge(gateway, ids, config.judge)
    return Verdicts(judge, metrics.cache_audited)


def open_warmer(
    config: AnswerCacheConfig, cache: ChatCache, gateway: Gateway | None, ids: RequestIds, metrics: ServingMetrics
) -> Warmer | None:
    """Return what makes answers in advance; None where nothing does.

    Raises
    ------
    InputError
        If there is no gateway to make them.
    """
    if not config.warm_every_s:
        return None
    if gateway is None:
        raise InputError("`cache.warm_every_s` is set, but no endpoint that could be asked in advance")
    return Warmer(cache, gateway, ids, config.warm_usd, config.warm_every_s, metrics.cache_warmed)


def open_freshness(config: AnswerCacheConfig, verdicts: Verdicts | None) -> Freshness | None:
    """Return what learns how answers age; None where nothing is to be learnt."""
    if verdicts is None or not config.age_share:
        return None
    return Freshness(verdicts, config.age_share, config.state / AGES_FILE)


def _link(config: AnswerCacheConfig) -> RegionLink | None:
    if config.region is None:
        return None
    return RegionLink(RegionStream.open(config.region.home_url, config.region.name, config.secret))
