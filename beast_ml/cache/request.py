"""A request as the cache sees it, and how far the cache may go for it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from beast_ml.errors import InputError

__all__ = ["NOT_SHAPING", "SYSTEM_ROLES", "CacheLevel", "CacheRequest", "text_of"]

NOT_SHAPING: Final = frozenset(
    [
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "safety_identifier",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ]
)
"""Fields of a chat request that say how an answer is delivered, billed or filed, never what it says."""

SYSTEM_ROLES: Final = frozenset(["system", "developer"])
"""Whose turns are the application's own."""

_OWN_FIELDS: Final = frozenset(["model", "messages", "tools", "response_format", "beast"])
_TEXT_FIELDS: Final = frozenset(["type", "text", "cache_control"])
_TEXT_PARTS: Final = frozenset(["text", "input_text"])


class CacheLevel(enum.IntEnum):
    """How far the cache may go; the lesser of two levels is the safer."""

    BYPASS = 0
    """Neither looked up nor kept."""
    EXACT = 1
    """Only an equal request's answer is served."""
    FULL = 2
    """Normalised and semantic hits, too."""


class CacheRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes an answer.

    Parameters
    ----------
    tenant_id
        Whose request it is.
    messages
        The conversation in OpenAI's chat form, system prompt and all, decoded from JSON. Names that are not known here
        are kept: they may shape the answer.
    policy
        What chooses the model: ``{"model": "gpt-4o"}``, or a router's constraints. Leave out what changes on its own,
        such as the version of the policy: entries are invalidated by it, not found by it.
    tools, response_format
        As in a chat request; None if not given.
    parameters
        All other fields that shape the answer, known or not; those of `NOT_SHAPING` are passed over.
    user_id
        Who asks within the tenant; in the key only where `KeyRules.per_user` holds.
    context
        What else the application answers by, such as ``{"locale": "de-CH"}``.
    documents
        Fingerprints of what the answer is made from, in the order it is given to the model.
    level
        The most that the caller allows: a client's ``no-cache`` is `CacheLevel.BYPASS`.
    """

    tenant_id: str
    messages: Sequence[Mapping[str, Any]]
    policy: Mapping[str, Any] = {}
    tools: Sequence[Any] | None = None
    response_format: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = {}
    user_id: str | None = None
    context: Mapping[str, str] = {}
    documents: tuple[str, ...] = ()
    level: CacheLevel = CacheLevel.FULL

    @classmethod
    def of_chat(cls, tenant_id: str, body: Mapping[str, Any], **others: Any) -> Self:
        """Return the request of a chat completion's decoded body.

        Parameters
        ----------
        tenant_id
            Whose it is.
        body
            As decoded from JSON. Its ``beast`` field is the gateway's own: what of it shapes the answer belongs into
            `policy` and `context`.
        others
            Other fields of `CacheRequest`. Without `policy` it is the name of the model.

        Raises
        ------
        InputError
            If there are no messages in it.
        """
        messages = body.get("messages")
        if not isinstance(messages, Sequence) or not messages or not all(isinstance(m, Mapping) for m in messages):
            raise InputError(f"`messages` == {str(messages)[:64]!r}: give a list of at least one message")
        others.setdefault("policy", {"model": body.get("model")})
        return cls(
            tenant_id=tenant_id,
            messages=messages,
            tools=body.get("tools"),
            response_format=body.get("response_format"),
            parameters={name: value for name, value in body.items() if name not in _OWN_FIELDS},
            **others,
        )

    @classmethod
    def of_prompt(cls, tenant_id: str, prompt: str, system: str | None = None, **others: Any) -> Self:
        """Return the request of a plain prompt: the same as a chat of one message."""
        messages = [] if system is None else [{"role": "system", "content": system}]
        return cls(tenant_id=tenant_id, messages=[*messages, {"role": "user", "content": prompt}], **others)


def text_of(content: Any) -> str | None:
    """Return the text of a message's content; None if there is more to it than text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        return None
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") not in _TEXT_PARTS or not _TEXT_FIELDS.issuperset(part):
            return None
        if not isinstance(text := part.get("text"), str):
            return None
        texts.append(text)
    return "\n".join(texts)
