"""What is asked of the cache over HTTP, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beast_ml.serving.payloads import Amount, Name

__all__ = [
    "CacheInvalidation",
    "CacheLookup",
    "CacheQuestion",
    "CacheStore",
    "FalseHitReport",
    "Invalidated",
    "Stored",
]

_Names = Annotated[list[Name], Meta(max_length=64)]
_Stamp = Annotated[str, Meta(min_length=1, max_length=20, pattern="^[0-9]+$")]


class CacheQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that shapes an answer: a ``prompt``, or the ``messages`` of a conversation, and the rest.

    Parameters
    ----------
    prompt, messages
        What is asked; exactly one of them.
    model
        Which model, or which policy, answers: whatever name the client gives it.
    parameters, tools, response_format
        As they are sent to the model.
    user_id, context
        Who asks, and what else the answer depends on.
    documents
        Fingerprints of what the answer is made from.
    """

    prompt: Annotated[str, Meta(min_length=1)] | None = None
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None
    model: Name | None = None
    parameters: dict[str, Any] = {}
    tools: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    user_id: Name | None = None
    context: Annotated[dict[Name, Annotated[str, Meta(max_length=1024)]], Meta(max_length=64)] = {}
    documents: _Names = []


class CacheLookup(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up came to.

    Parameters
    ----------
    result
        ``hit``, ``miss``, or ``bypass`` where the request is none for a cache.
    stamp
        To be given back with the answer that is stored after a miss: it tells what was invalidated meanwhile.
    reasons
        Of a bypass.
    answer, model, kind, tier, similarity, age_s, entry_id
        Of a hit.
    """

    result: Literal["hit", "miss", "bypass"]
    stamp: str
    reasons: tuple[str, ...] = ()
    answer: Any = None
    model: str | None = None
    kind: Literal["exact", "normalised", "semantic"] | None = None
    tier: str | None = None
    similarity: float | None = None
    age_s: float | None = None
    entry_id: str | None = None


class CacheStore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An answer to keep.

    Parameters
    ----------
    request
        What it answers.
    answer
        Any JSON; looked up, it comes back as it is.
    model, policy_version
        What answered.
    kind
        Refusals and errors are kept for a short while only.
    tags
        To invalidate it by.
    life_s
        Seconds to keep it; not given: as the server keeps answers.
    cost_usd, latency_s
        What it took: what a hit saves.
    stamp
        Of the look-up before it was asked for; without it what was invalidated meanwhile is not noticed.
    """

    request: CacheQuestion
    answer: msgspec.Raw
    model: Name
    policy_version: Annotated[str, Meta(max_length=256)] = ""
    kind: Literal["answer", "refusal", "error"] = "answer"
    tags: _Names = []
    life_s: Annotated[float, Meta(ge=0, le=315_360_000)] | None = None
    cost_usd: Amount = 0.0
    latency_s: Amount = 0.0
    stamp: _Stamp | None = None


class Stored(msgspec.Struct, frozen=True):
    """What became of an answer.

    Parameters
    ----------
    kept
        Whether it is kept.
    entry_id
        Its name.
    reasons
        Why it is not.
    """

    kept: bool
    entry_id: str | None = None
    reasons: tuple[str, ...] = ()


class FalseHitReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hit that was wrong.

    Parameters
    ----------
    entry_id
        What was served, as ``x-beast-cache-entry`` or a look-up says. If it has expired, all that is known is the
        request: it then gets no other request's answer any more.
    request, chat
        What it was served to: as it was looked up, or the body of the chat completion; exactly one of them.
    """

    entry_id: Name
    request: CacheQuestion | None = None
    chat: dict[str, Any] | None = None


class NearReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request whose like are to be asked anew, the nearest 1,000 at most; needs the semantic cache.

    Parameters
    ----------
    request, chat
        The request: as it was looked up, or the body of a chat completion; exactly one of them.
    radius
        Cosine distance up to which another request, of equal system prompt, model and settings, is near: 0.1 takes
        other wordings along, 0.5 the subject.
    """

    request: CacheQuestion | None = None
    chat: dict[str, Any] | None = None
    radius: Annotated[float, Meta(ge=0, le=0.9)] = 0.1


class CacheInvalidation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which of your answers are not to be served any more.

    Parameters
    ----------
    entry_ids, tags, documents, models, policy_versions
        All that has any of them.
    everything
        All of them.
    false_hit
        An answer that was wrong for a request: it never gets it again.
    near
        All answers to a request, and to those near it, of which the nearest 1,000.
    """

    entry_ids: _Names = []
    tags: _Names = []
    documents: _Names = []
    models: _Names = []
    policy_versions: _Names = []
    everything: bool = False
    false_hit: FalseHitReport | None = None
    near: NearReport | None = None


class Invalidated(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was invalidated.

    Parameters
    ----------
    scopes
        How many entries, tags and the like, false hits, and neighbourhoods.
    none_alike
        True where the entry of ``false_hit`` is not known any more: the request, and ones near it, get no other
        request's answer at all.
    more_near
        True where more than the 1,000 that ``near`` takes may be near: no alike request gets the others any more, but
        equal ones do until they expire. A smaller ``radius`` around several requests, or ``everything``, gets them all.
    """

    scopes: int
    none_alike: bool = False
    more_near: bool = False
