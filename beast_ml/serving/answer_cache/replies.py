"""Answers of the cache as the gateway sends them, and what is said about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec

from beast_ml.cache.hit import Hit
from beast_ml.errors import ProviderError
from beast_ml.serving.answer_cache.completion import read_kept_error
from beast_ml.serving.answer_cache.streams import replayed
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.gateway.contract import WholeAnswer

__all__ = ["ReplayedAnswer", "hit_headers", "reply_of"]


class ReplayedAnswer(msgspec.Struct, frozen=True):
    """A stream that tells an answer that is there already.

    Parameters
    ----------
    events
        All of it.
    headers
        What is said about it.
    """

    events: bytes
    headers: dict[str, str]

    async def relay(self, write: Callable[[bytes, bool], Awaitable[None]]) -> None:
        """Send it."""
        await write(self.events, True)


def reply_of(hit: Hit, chat: ChatRequest, headers: dict[str, str]) -> WholeAnswer | ReplayedAnswer:
    """Return a hit in the form that the request asks for.

    Raises
    ------
    ProviderError
        If what was kept is the error that a provider answered the request with.
    """
    entry = hit.entry
    error = read_kept_error(entry.answer)
    if error is not None:
        raise ProviderError(f"{error.said} (kept by the cache)", error.kind, entry.model, "")
    if not chat.stream:
        return WholeAnswer(entry.answer, headers)
    return ReplayedAnswer(b"".join(replayed(entry.answer, wants_usage=chat.wants_usage)), headers)


def hit_headers(hit: Hit, request_id: str, now: float) -> dict[str, str]:
    """Return what is said about a hit."""
    entry = hit.entry
    told = {
        "x-beast-request-id": request_id,
        "x-beast-model": entry.model if entry.model.isascii() and entry.model.isprintable() else quote(entry.model),
        "x-beast-cost-usd": "0",
        "x-beast-cache": "hit",
        "x-beast-cache-kind": hit.kind,
        "x-beast-cache-tier": hit.tier,
        "x-beast-cache-age-s": f"{max(0.0, now - entry.created_at):.0f}",
        "x-beast-cache-entry": entry.entry_id,
    }
    if hit.similarity is not None:
        told["x-beast-cache-similarity"] = f"{hit.similarity:.6g}"
    return told
