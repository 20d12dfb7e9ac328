"""The cache over HTTP, for clients that call models themselves: look up before routing, store after, invalidate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.request import CacheRequest
from beast_ml.errors import InputError
from beast_ml.experiments.assignment import Assignment
from beast_ml.serving.cache_bodies import (
    CacheInvalidation,
    CacheLookup,
    CacheQuestion,
    CacheStore,
    FalseHitReport,
    Invalidated,
    NearReport,
    Stored,
)
from beast_ml.serving.cache_nearness import alike_hit, encoder_if_any, forget_near, vector_if_any
from beast_ml.serving.payloads import Message
from beast_ml.serving.services import Services

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.answers import AnswerCache

__all__ = ["cache_of", "invalidate_cached", "look_up_cached", "store_cached"]

_LARGEST: Final = 2**63

_OWN: Final = "cache"
"""Marks the keys of these calls: what a client stores is never an answer of the gateway."""


async def look_up_cached(services: Services, body: CacheQuestion, tenant: str) -> CacheLookup:
    """Return what the cache has for a request."""
    cache = cache_of(services)
    services.limiter.take(tenant)
    stamp = str(cache.stamp())
    looked = await cache.find(_request(body, tenant), None)
    if isinstance(looked, tuple):
        services.metrics.cache_result("bypass")
        for reason in looked:
            services.metrics.cache_bypassed(reason)
        return CacheLookup(result="bypass", stamp=stamp, reasons=looked)
    hit = looked.hit or await alike_hit(services, looked.key)
    if hit is None:
        services.metrics.cache_result("miss")
        return CacheLookup(result="miss", stamp=stamp)
    entry = hit.entry
    result = "semantic" if hit.kind == "semantic" else "exact"
    services.metrics.cache_found(result, hit.kind, hit.tier, entry.cost_usd, entry.latency_s)
    return CacheLookup(
        result="hit",
        stamp=stamp,
        answer=msgspec.Raw(entry.answer),
        model=entry.model,
        kind=hit.kind,
        tier=hit.tier,
        similarity=hit.similarity,
        age_s=max(0.0, cache.now - entry.created_at),
        entry_id=entry.entry_id,
    )


async def store_cached(services: Services, body: CacheStore, tenant: str) -> Stored:
    """Keep an answer."""
    from beast_ml.serving.answer_cache.answers import Fresh

    cache = cache_of(services)
    services.limiter.take(tenant)
    stamp = cache.stamp()
    if body.stamp is not None:
        told = int(body.stamp)
        if told >= _LARGEST or (told >> 32 == stamp >> 32 and told > stamp):
            raise InputError(f"`stamp` == {body.stamp!r}, must be one that a look-up has given")
        stamp = told
    key = await cache.full_key(_request(body.request, tenant), None)
    if isinstance(key, tuple):
        return Stored(False, reasons=key)
    if not services.log.keeps_texts(tenant):
        key = msgspec.structs.replace(key, text=None)
    fresh = Fresh(
        answer=bytes(body.answer),
        model=body.model,
        kind=body.kind,
        policy_version=body.policy_version,
        tags=tuple(body.tags),
        documents=tuple(body.request.documents),
        cost_usd=body.cost_usd,
        latency_s=body.latency_s,
        life_s=body.life_s,
    )
    entry = cache.keep(key, stamp, fresh)
    if entry is None:
        return Stored(False, reasons=("invalid_or_short_lived",))
    services.metrics.cache_kept(entry.kind)
    return Stored(True, entry.entry_id)


async def invalidate_cached(services: Services, body: CacheInvalidation, tenant: str) -> Invalidated:
    """Make some of a tenant's answers invalid, on all workers and hosts."""
    cache = cache_of(services)
    services.limiter.take(tenant)
    scopes = list(_scopes(body, tenant))
    scopes += [Scope("entry", (await _own(services, entry_id, tenant)).entry_id) for entry_id in body.entry_ids]
    n, none_alike, more_near = len(scopes), False, False
    if scopes:
        await cache.at_store(lambda: cache.invalidator.invalidate(*scopes))
    if body.false_hit is not None:
        none_alike = not await _forbid(services, body.false_hit, tenant)
        n += 1
    if body.near is not None:
        for drawn in (None, *(_drawable(services, tenant) if body.near.chat is not None else ())):
            key = await _reported(services, "near", body.near, tenant, drawn)
            more_near = await forget_near(services, key, body.near.radius) or more_near
        n += 1
    if not n:
        raise InputError(
            "nothing to invalidate: give `entry_ids`, `tags`, `documents`, `models`, `policy_versions`, `everything`, "
            "`false_hit` or `near`"
        )
    return Invalidated(n, none_alike=none_alike, more_near=more_near)


async def _forbid(services: Services, report: FalseHitReport, tenant: str) -> bool:
    """Forbid a hit; return False where nothing is known of its entry any more, and all alike ones are forbidden."""
    cache = cache_of(services)
    query = await _reported(services, "false_hit", report, tenant)
    entry = await _own_if_there(services, report.entry_id, tenant)
    encoder = encoder_if_any(services)
    if entry is None:
        vector = await vector_if_any(services, query)
        await cache.at_store(lambda: cache.invalidator.forbid_alike(query, vector, encoder=encoder))
        return False
    kind = _kind_of(query, entry.key)
    ours = theirs = None
    if kind == "semantic":  # or a normalised one under another policy: then the words of both are enough
        ours, theirs = await vector_if_any(services, query), await vector_if_any(services, entry.key)
    await cache.at_store(lambda: cache.invalidator.forbid(query, entry, kind, ours, theirs, encoder=encoder))
    return True


def _drawable(services: Services, tenant: str) -> Iterator[Assignment]:
    """Yield what the running experiments may draw for a tenant's chats: each variant has answers of its own."""
    for experiment in services.experiments.experiments.running():
        if experiment.tenants is None or tenant in experiment.tenants:
            for variant in experiment.variants:
                yield Assignment(experiment.id, variant.name, variant.policy, variant.share)


async def _reported(
    services: Services, name: str, report: FalseHitReport | NearReport, tenant: str, drawn: Assignment | None = None
) -> CacheKey:
    """Return the key of the request that a report is about, as its tenant's entries have it: with its text or not."""
    from beast_ml.serving.answer_cache.chat_keys import cache_request_of
    from beast_ml.serving.gateway.chat_request import decode_chat

    if (report.request is None) == (report.chat is None):
        raise InputError(f"`{name}` needs exactly one of `request` and `chat`")
    if report.request is not None:
        request = _request(report.request, tenant)
    else:
        raw = msgspec.json.encode(report.chat)
        request = cache_request_of(decode_chat(raw), raw, tenant, drawn)
    key = await cache_of(services).full_key(request, None)
    if isinstance(key, tuple):
        raise InputError(f"`{name}` names a request that the cache is left out of ({', '.join(key)})")
    return key if services.log.keeps_texts(tenant) else msgspec.structs.replace(key, text=None)


def _kind_of(query: CacheKey, known: CacheKey) -> HitKind:
    """Return how an entry's key was hit by a request that is reported.

    What an experiment drew for the request stands in its key, and nobody can tell any more: the same words under
    another policy are the request itself.
    """
    if query.exact == known.exact:
        return "exact"
    if query.partition != known.partition and query.text is not None and query.text == known.text:
        return "exact"
    return "normalised" if query.normalised == known.normalised else "semantic"


async def _own_if_there(services: Services, entry_id: str, tenant: str) -> CacheEntry | None:
    entry = await cache_of(services).by_id(entry_id)
    return entry if entry is not None and entry.key.tenant_id == tenant else None


async def _own(services: Services, entry_id: str, tenant: str) -> CacheEntry:
    entry = await _own_if_there(services, entry_id, tenant)
    if entry is None:
        raise InputError(
            f"no entry {entry_id[:64]!r} of yours is in the cache: one that has expired is not served any more; "
            "if the id is right, there is nothing to do"
        )
    return entry


def _scopes(body: CacheInvalidation, tenant: str) -> Iterator[Scope]:
    yield from (Scope("tag", value, tenant) for value in body.tags)
    yield from (Scope("document", value, tenant) for value in body.documents)
    yield from (Scope("model", value, tenant) for value in body.models)
    yield from (Scope("policy_version", value, tenant) for value in body.policy_versions)
    if body.everything:
        yield Scope("tenant", tenant)


def _request(question: CacheQuestion, tenant: str) -> CacheRequest:
    if (question.prompt is None) == (question.messages is None):
        raise InputError("give exactly one of `prompt` and `messages`")
    messages = question.messages or [{"role": "user", "content": question.prompt}]
    try:
        msgspec.convert(messages, list[Message])
    except msgspec.ValidationError as error:
        raise InputError(f"`messages`: {error}; give them as OpenAI writes them") from None
    return CacheRequest(
        tenant_id=tenant,
        messages=messages,
        policy={"api": _OWN, "model": question.model},
        tools=question.tools,
        response_format=question.response_format,
        parameters=question.parameters,
        user_id=question.user_id,
        context=question.context,
        documents=tuple(question.documents),
    )


def cache_of(services: Services) -> AnswerCache:
    """Return the worker's cache.

    Raises
    ------
    InputError
        If there is none.
    """
    if services.cache is None:
        raise InputError("this server has no cache: the operator switches it on with `cache.enabled`")
    return services.cache.cache
