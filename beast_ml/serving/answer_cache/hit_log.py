"""Hits on record: of a request that the same entry has answered before, only what differs is written anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from beast_ml.cache.hit import Hit
from beast_ml.errors import InputError, UnavailableError
from beast_ml.experiments.assignment import Assignment
from beast_ml.serving.answer_cache.asked import Asked
from beast_ml.serving.answer_cache.completion import read_kept_error
from beast_ml.serving.gateway.chat_request import ROUTED
from beast_ml.serving.gateway.refused_chats import route_request_of
from beast_ml.serving.prompts import routed_text, text_of

if TYPE_CHECKING:
    from beast_ml.serving.services import Services

__all__ = ["HitLog"]

_MOST: Final = 2048
_MOST_BYTES: Final = 4096  # of a body, and of a row: longer ones are rare, and made anew

_Key: TypeAlias = tuple[bytes, str, Assignment | None, str, str, str, float | None, str]


class _Known(NamedTuple):
    """What is known of a request that an entry answers: its row but for id and times, and who asks what."""

    row: bytes
    prompt: str | None
    is_followed: bool


class HitLog:
    """Logs and counts hits, and looks whether they say something of earlier answers.

    Parameters
    ----------
    services
        The worker's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[_Key, _Known] = {}

    def record(self, asked: Asked, hit: Hit) -> None:
        """Put a hit on record.

        Raises
        ------
        UnavailableError
            If the log cannot be written: the client must not believe that its request is on record.
        """
        services, entry = self._services, hit.entry
        version = services.runtime.router.version
        key = (asked.raw, asked.tenant, asked.drawn, entry.entry_id, hit.kind, hit.tier, hit.similarity, version)
        known = self._known.get(key)
        if known is None:
            known = self._made(asked, hit)
            self._remember(key, known)
        try:
            services.log.hit(known.row, asked.request_id, time.perf_counter() - asked.began)
        except UnavailableError:
            services.metrics.log_failed()
            raise
        result = "semantic" if hit.kind == "semantic" else "exact"
        services.metrics.cache_hit(result, hit.kind, hit.tier, entry.cost_usd, entry.latency_s)
        if known.is_followed and known.prompt is not None:
            self._follow(asked, known.prompt)

    def _made(self, asked: Asked, hit: Hit) -> _Known:
        services, chat, entry, drawn = self._services, asked.chat, hit.entry, asked.drawn
        router = services.runtime.router
        routed = route_request_of(chat, chat.options.candidates)
        try:
            prompt: str | None = routed_text(chat.messages)
        except InputError:
            prompt = None
        error = read_kept_error(entry.answer)
        named = chat.model != ROUTED
        row = services.log.row_of_hits(
            routed,
            prompt,
            asked.tenant,
            (chat.model,) if named else tuple(chat.options.candidates or router.models),
            {"cache_kind": hit.kind, "cache_entry": entry.entry_id},
            policy_version=None if named else router.version,
            request_kind=entry.request_kind,
            experiment_id=None if drawn is None else drawn.experiment_id,
            variant=None if drawn is None else drawn.variant,
            cache_result="semantic" if hit.kind == "semantic" else "exact",
            cache_tier=hit.tier,
            cache_similarity=hit.similarity,
            status="ok" if error is None else "error",
            error_kind=None if error is None else error.kind,
            cost_usd=0.0,
        )
        return _Known(row, prompt, routed.user_id is not None or routed.session_id is not None)

    def _remember(self, key: _Key, known: _Known) -> None:
        if len(key[0]) <= _MOST_BYTES and len(known.row) <= _MOST_BYTES:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = known

    def _follow(self, asked: Asked, prompt: str) -> None:
        """Look whether a request says something of an earlier answer to the same user."""
        services, options = self._services, asked.chat.options
        turns = [(message.role, text_of(message.content)) for message in asked.chat.messages]
        signal = services.implicit.sent(
            asked.request_id, asked.tenant, options.user_id, options.session_id, prompt, turns
        )
        if signal is not None:
            services.log.signal(signal)
            services.metrics.signal(signal.kind)
