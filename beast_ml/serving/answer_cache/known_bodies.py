"""Keys of bodies that came before, byte for byte: most requests that hit are such, and making a key takes longest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.key import ExactKey
from beast_ml.cache.request import CacheRequest
from beast_ml.experiments.assignment import Assignment

__all__ = ["KnownBodies", "Made"]

Made: TypeAlias = tuple[CacheRequest, ExactKey | Bypass]
"""What is made of a body: the request, and its exact key or why there is none."""

_MAX_BODIES: Final = 2048
_MAX_BYTES: Final = 4096  # of one: a longer one is rare, and what it is made into may be several times as large


class KnownBodies:
    """Remembers what was made of the last bodies, which follows from nothing else than what they are found by."""

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, str, Assignment | None], Made] = {}

    def made(self, raw: bytes, tenant: str, drawn: Assignment | None, make: Callable[[], Made]) -> Made:
        """Return what is made of a tenant's body, of which an experiment may have drawn the variant."""
        found = self._made.get((raw, tenant, drawn))
        if found is not None:
            return found
        made = make()
        if len(raw) <= _MAX_BYTES:
            if len(self._made) >= _MAX_BODIES:
                del self._made[next(iter(self._made))]
            self._made[raw, tenant, drawn] = made
        return made
