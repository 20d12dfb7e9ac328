"""Vectors in a database that several hosts share: what another host has just stored is found here at once.

Without them a host hears of the others' entries when its index is rebuilt from the last tier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.index.partition import Neighbour
from beast_ml.cache.invalidation.bans import Vector
from beast_ml.cache.neighbours.client import NeighbourClient
from beast_ml.cache.tier_health import TierHealth
from beast_ml.cache.tiers.sql_vectors import SqlVectors
from beast_ml.errors import UnavailableError
from beast_ml.events import events

__all__ = ["SharedVectors"]

_TRIES: Final = 50
"""Rounds in which an entry may come to the database before its vector is given up: writing is not waited for."""
_AT_ONCE: Final = 64
_MOST_WAITING: Final = 4096


class SharedVectors:
    """Writes vectors of this worker's entries, and finds everybody's.

    A database that is away is left alone for a moment: each look at it would take seconds of one of few threads.

    Parameters
    ----------
    open_vectors
        Opens them; called in a thread, again until the database is there.
    """

    def __init__(self, open_vectors: Callable[[], SqlVectors]) -> None:
        self._open = open_vectors
        self._vectors: SqlVectors | None = None
        self._waiting: dict[str, tuple[bytes, str, int]] = {}
        self._health = TierHealth()

    def stored(self, entry: CacheEntry) -> None:
        """Have an entry found by the other hosts, soon."""
        if entry.key.text is not None and len(self._waiting) < _MOST_WAITING:
            self._waiting[entry.entry_id] = entry.key.partition, entry.key.text, _TRIES

    def near(self, partition: bytes, vector: Vector, k: int) -> list[Neighbour]:
        """Return up to k entries of a partition, nearest first; none while the database is away. Blocks."""
        if not self._health.allows():
            return []
        try:
            found = [Neighbour(*each) for each in self._opened().near(partition, vector, k)]
        except UnavailableError as error:
            self._away(error)
            return []
        self._health.succeeded()
        return found

    async def embedded(self, client: NeighbourClient) -> list[tuple[str, bytes, Vector]]:
        """Return id, partition and vector of some entries that wait."""
        rows = []
        for entry_id, (partition, text, _) in list(self._waiting.items())[:_AT_ONCE]:
            vector = await client.vector(text)
            if vector is None:
                break  # the process is away; later
            rows.append((entry_id, partition, vector))
        return rows

    def write(self, rows: list[tuple[str, bytes, Vector]]) -> None:
        """Write vectors of entries; one whose entry is not there yet waits for another round. Blocks."""
        if not self._health.allows():
            return
        try:
            n_written = self._opened().put_many(rows)
        except UnavailableError as error:
            self._away(error)
            return
        self._health.succeeded()
        for entry_id, partition, _ in rows:
            _, text, tries = self._waiting.pop(entry_id)
            if n_written < len(rows) and tries > 1:  # which of them is not told; written twice is written once
                self._waiting[entry_id] = partition, text, tries - 1

    def _opened(self) -> SqlVectors:
        if self._vectors is None:
            self._vectors = self._open()
        return self._vectors

    def _away(self, error: UnavailableError) -> None:
        if not self._health.is_away:
            events.warning("cache.shared_vectors_away", error=str(error))
        self._health.failed()
