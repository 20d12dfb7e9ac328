"""What the cache keeps of an answer, and where it was found."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["AnswerKind", "CacheEntry", "CacheKey", "HitKind"]

AnswerKind = Literal["answer", "refusal", "error"]
"""Refusals and errors are kept for a short while, so that a broken request is not paid for over and over."""

HitKind = Literal["exact", "normalised", "semantic"]
"""By which likeness an answer was found."""


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """When two requests are the same, from the strictest sense to the loosest.

    Parameters
    ----------
    tenant_id
        Whose request it is; no other tenant's entry is ever looked at.
    partition
        Digest of the tenant and of everything that shapes an answer besides the conversation: system prompt, tools,
        parameters, model policy. Entries of other partitions are never looked at, however near.
    exact
        Keyed digest of the partition and the canonical conversation.
    normalised
        The same after what does not matter (whitespace, case where safe, politeness) is taken out.
    text
        The conversation turn in its context, as it is embedded and verified; never holds the tenant's identity.
        None where only equal requests may hit.
    heard
        Keyed digest of what others than the user said so far, each in its turn, and of the order of turns; empty for a
        single question. An alike request has heard the same.
    """

    tenant_id: str
    partition: bytes
    exact: bytes
    normalised: bytes
    text: str | None
    heard: bytes = b""


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that may be served again.

    Parameters
    ----------
    entry_id
        Unique over all tiers and hosts; opaque.
    key
        Of the request that was answered.
    answer
        What is served, as bytes that the caller understands (the gateway: a chat completion in JSON).
    kind
        Whether it is an answer at all.
    created_at, expires_at
        Seconds since the epoch. Reading an entry never prolongs it.
    model, policy_version
        What answered.
    request_kind
        As classified, for lifetimes; None if unknown.
    tags, documents
        Names and fingerprints of what the answer was made from, to invalidate by.
    cost_usd, latency_s
        What the answer took when it was made: what a hit saves.
    epoch
        The stamp of `invalidation.InvalidationTable` from before the answer was asked for; 0 is older than every
        invalidation.
    """

    entry_id: str
    key: CacheKey
    answer: bytes
    kind: AnswerKind = "answer"
    created_at: float
    expires_at: float
    model: str
    policy_version: str = ""
    request_kind: str | None = None
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    cost_usd: float = 0.0
    latency_s: float = 0.0
    epoch: int = 0
