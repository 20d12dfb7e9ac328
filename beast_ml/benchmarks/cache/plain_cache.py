"""A cache of equal requests only: what every better one is compared with, and what rates the lives of answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from beast_ml.cache.replay.replay import Hit
from beast_ml.cache.replay.stream import StreamRequest

__all__ = ["PlainCache"]


class PlainCache:
    """Finds equal texts, and those that are equal but for case, spaces and a "please"; forgets the least recently used.

    Parameters
    ----------
    life_s
        How long an answer of a kind is kept, from when it was made.
    max_entries
        How many there is room for.
    normalise
        Whether texts need only be equal in normal form.
    """

    def __init__(self, life_s: Callable[[str], float], max_entries: int = 1_000_000, *, normalise: bool = True) -> None:
        self._life_s, self._max_entries, self._normalise = life_s, max_entries, normalise
        self._entries: OrderedDict[tuple[str, str], tuple[int, str, float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, request: StreamRequest, now_s: float) -> Hit | None:
        """Return the answer to an equal request that has not expired."""
        key = self._key(request.tenant_id, request.text)
        found = self._entries.get(key)
        if found is None:
            return None
        source, text, made_at_s, expires_at_s = found
        if now_s >= expires_at_s:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return Hit(source, "exact" if text == request.text else "normalised", "memory", made_at_s)

    def store(self, request: StreamRequest, now_s: float) -> None:
        """Keep an answer; its life begins now."""
        life_s = self._life_s(request.kind)
        if life_s > 0.0:
            key = self._key(request.tenant_id, request.text)
            self._entries[key] = request.number, request.text, now_s, now_s + life_s
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def key(self, request: StreamRequest) -> str:
        """Return what equal requests have in common, tenant and all."""
        return "|".join(self._key(request.tenant_id, request.text))

    def expires_at(self, request: StreamRequest) -> float:
        """Return when what is kept for a request expires; 0 if nothing is."""
        found = self._entries.get(self._key(request.tenant_id, request.text))
        return 0.0 if found is None else found[3]

    def clear(self) -> None:
        """Lose everything."""
        self._entries.clear()

    def _key(self, tenant_id: str, text: str) -> tuple[str, str]:
        return tenant_id, " ".join(text.lower().split()).removeprefix("please ") if self._normalise else text
