"""Other regions' entries, brought into this region's tiers: lookups never leave the region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from beast_ml.cache.region_stream import RegionStream, Taken
from beast_ml.errors import UnavailableError
from beast_ml.events import events
from beast_ml.serving.answer_cache.answers import AnswerCache
from beast_ml.serving.copy_figures import CopyFigures

__all__ = ["RegionCopies"]

_BEAT_S: Final = 0.5


class RegionCopies:
    """Takes the others' entries, for all workers of the region.

    Parameters
    ----------
    stream
        Where they come from.
    cache
        Of the worker that does it.
    told
        Is called with how the region stands after each time.
    monotonic
        Seconds that only grow.
    """

    def __init__(
        self,
        stream: RegionStream,
        cache: AnswerCache,
        told: Callable[[CopyFigures], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._cache, self._told, self._monotonic = stream, cache, told, monotonic
        self._heard_at = monotonic()
        self._is_away = False
        self._strangers: tuple[str, ...] = ()

    async def run(self) -> None:
        """Take them until cancelled: twice a second, and at once while more wait."""
        while True:
            try:
                n_waiting = await self.step()
            except UnavailableError as error:
                if not self._is_away:
                    events.warning("cache.regions_away", error=str(error))
                self._is_away, n_waiting = True, 0
                self._told(CopyFigures(away=True, silent_s=self._monotonic() - self._heard_at))
            if not n_waiting:
                await asyncio.sleep(_BEAT_S)

    async def step(self) -> int:
        """Take some; return how many wait.

        Raises
        ------
        UnavailableError
            If the home does not answer.
        """
        taken = await self._cache.at_store(self._take)
        n_kept = sum(self._cache.take_over(entry) for entry in taken.entries)
        self._heard_at, self._is_away = self._monotonic(), False
        if taken.strangers != self._strangers:
            self._strangers = taken.strangers
            if taken.strangers:
                events.error("cache.regions_differ_in_secret", regions=list(taken.strangers))
        self._told(CopyFigures(False, 0.0, n_kept, len(taken.entries) - n_kept, taken.n_waiting))
        return taken.n_waiting

    def _take(self) -> Taken:
        """Return what is new, having heard of all that was invalidated before it was made. Blocks."""
        taken = self._stream.take()
        if taken.entries:
            self._cache.invalidator.refresh()
        return taken
