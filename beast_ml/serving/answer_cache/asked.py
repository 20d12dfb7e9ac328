"""A chat request on its way through the cache, and what comes back to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from beast_ml.cache.hit import Hit
from beast_ml.cache.key import ExactKey
from beast_ml.cache.request import CacheRequest
from beast_ml.experiments.assignment import Assignment
from beast_ml.serving.answer_cache.control import CacheControl
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.gateway.contract import WholeAnswer, Witness

__all__ = ["Asked", "Make", "Relayed", "Write"]

Write = Callable[[bytes, bool], Awaitable[None]]
"""Sends a part of an answer; and whether more follows."""


class Relayed(Protocol):
    """An answer that is sent piece by piece."""

    @property
    def headers(self) -> dict[str, str]:
        """What is said about it."""
        ...

    async def relay(self, write: Write) -> None:
        """Send it all."""
        ...


Make = Callable[[Witness], Awaitable[WholeAnswer | Relayed]]
"""Has an answer made, and lets a witness see it."""


class Asked:
    """A chat request, as far as the cache has come with it.

    Parameters
    ----------
    chat, raw, tenant, request_id
        The request, its body, whose it is, and what it is called.
    control
        What its client wants of the cache.
    """

    __slots__ = (
        "began",
        "chat",
        "control",
        "doubted",
        "drawn",
        "exact",
        "only_equal",
        "raw",
        "reasons",
        "request",
        "request_id",
        "spare",
        "tenant",
        "told",
    )

    def __init__(self, chat: ChatRequest, raw: bytes, tenant: str, request_id: str, control: CacheControl) -> None:
        self.chat, self.raw, self.tenant, self.request_id, self.control = chat, raw, tenant, request_id, control
        self.began = time.perf_counter()
        self.drawn: Assignment | None = None
        self.only_equal = False
        """Whether the answer to an alike request is not wanted, by the variant that was drawn."""
        self.request: CacheRequest | None = None
        self.exact: ExactKey | None = None
        self.spare: Hit | None = None
        """What is served where a new answer, by which it was to be verified, does not come."""
        self.doubted: Hit | None = None
        """What was found, and is made anew all the same, to learn whether it is still right."""
        self.reasons: tuple[str, ...] = ()
        self.told: dict[str, str] = {}
        """What is said to the client about the cache, whatever becomes of the request."""
