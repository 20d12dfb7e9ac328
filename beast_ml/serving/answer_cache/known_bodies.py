"""Keys of bodies that came before, byte for byte: most requests that hit are such, and making a key takes longest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.key import ExactKey
from beast_ml.cache.request import CacheRequest
from beast_ml.experiments.assignment import Assignment

if TYPE_CHECKING:
    from beast_ml.serving.gateway.chat_request import ChatRequest

__all__ = ["KnownBodies", "Made"]

Made: TypeAlias = tuple[CacheRequest, ExactKey | Bypass]
"""What is made of a body: the request, and its exact key or why there is none."""

_K = TypeVar("_K")
_V = TypeVar("_V")

_MAX_BODIES: Final = 2048
_MAX_BYTES: Final = 4096  # of one: a longer one is rare, and what it is made into may be several times as large


class KnownBodies:
    """Remembers what was made of the last bodies, which follows from nothing else than what they are found by."""

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, str, Assignment | None], Made] = {}
        self._chats: dict[bytes, ChatRequest] = {}

    def chat(self, raw: bytes, decode: Callable[[bytes], ChatRequest]) -> ChatRequest:
        """Return the chat request of a body, decoded and checked once."""
        found = self._chats.get(raw)
        if found is None:
            found = decode(raw)
            _remember(self._chats, raw, found, len(raw))
        return found

    def made(self, raw: bytes, tenant: str, drawn: Assignment | None, make: Callable[[], Made]) -> Made:
        """Return what is made of a tenant's body, of which an experiment may have drawn the variant."""
        found = self._made.get((raw, tenant, drawn))
        if found is not None:
            return found
        made = make()
        _remember(self._made, (raw, tenant, drawn), made, len(raw))
        return made


def _remember(known: dict[_K, _V], key: _K, value: _V, n_bytes: int) -> None:
    if n_bytes <= _MAX_BYTES:
        if len(known) >= _MAX_BODIES:
            del known[next(iter(known))]
        known[key] = value
