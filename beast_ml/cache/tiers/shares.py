"""What a tenant holds of the memory tier, and how much memory an entry takes there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from typing import Final

import numpy as np

from beast_ml.cache.entry import CacheEntry

__all__ = ["Share", "Slot", "entry_bytes"]

_FIXED_BYTES: Final = 700
"""Of an entry's objects without its texts, and of its places in the tier's dictionaries, lists and heap."""

_TRIES: Final = 4


class Slot:
    """An entry in memory, with what its eviction turns on.

    Parameters
    ----------
    entry
        What is kept.
    n_bytes
        Memory that it takes.
    saved_usd
        USD that one hit saves.
    asked_as
        The one of its keys under which lookups are counted: that which was asked for more often before it came.
    """

    __slots__ = ("asked_as", "entry", "expires_at", "n_bytes", "place", "saved_usd")

    def __init__(self, entry: CacheEntry, n_bytes: int, saved_usd: float, asked_as: bytes) -> None:
        self.entry, self.n_bytes, self.saved_usd, self.asked_as = entry, n_bytes, saved_usd, asked_as
        self.expires_at = entry.expires_at
        self.place = -1


class Share:
    """The entries of one tenant, in a list from which some can be drawn at random."""

    __slots__ = ("n_bytes", "slots")

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.n_bytes = 0

    def add(self, slot: Slot) -> None:
        """Take an entry in."""
        slot.place = len(self.slots)
        self.slots.append(slot)
        self.n_bytes += slot.n_bytes

    def take(self, slot: Slot) -> None:
        """Take an entry out; the last one moves to its place."""
        last = self.slots.pop()
        if last is not slot:
            self.slots[slot.place] = last
            last.place = slot.place
        self.n_bytes -= slot.n_bytes

    def least(
        self, rng: np.random.Generator, n: int, value: Callable[[Slot], float], but_not: Container[str]
    ) -> Slot | None:
        """Return the entry that is worth least per byte, of ``n`` drawn at random; among equals the oldest."""
        slots = self.slots
        if len(slots) <= n:
            drawn = slots
        else:
            for _ in range(_TRIES):
                drawn = [slots[place] for place in rng.integers(len(slots), size=n).tolist()]
                if any(slot.entry.entry_id not in but_not for slot in drawn):
                    break
            else:
                drawn = slots
        left = [slot for slot in drawn if slot.entry.entry_id not in but_not]
        return min(left, key=lambda slot: (value(slot) / slot.n_bytes, slot.entry.created_at), default=None)


def entry_bytes(entry: CacheEntry) -> int:
    """Return the memory that an entry takes in the memory tier, about."""
    key, size = entry.key, sys.getsizeof
    texts = size(entry.answer) + size(entry.entry_id) + size(key.partition) + size(key.exact) + size(key.normalised)
    if key.text is not None:
        texts += size(key.text)
    if key.heard:
        texts += size(key.heard)
    for names in (entry.tags, entry.documents):
        texts += sum(map(size, names)) + 8 * len(names)
    return texts + _FIXED_BYTES
