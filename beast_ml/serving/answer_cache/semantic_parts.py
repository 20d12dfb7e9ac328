"""What a worker has of the semantic cache between its start and its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from beast_ml.bundle.manifest import CACHE_FOLDER
from beast_ml.cache.neighbours.frames import Figures
from beast_ml.errors import BundleError, InputError
from beast_ml.events import events
from beast_ml.serving.answer_cache.audits import Audits
from beast_ml.serving.answer_cache.semantic import SemanticSearch
from beast_ml.serving.answer_cache.trained import TrainedCaches

__all__ = ["SemanticParts"]


class SemanticParts:
    """Search, audits, and the trained caches of the host.

    Parameters
    ----------
    search, audits, caches
        As they are called.
    trained
        Folder of the trained cache; None: the router bundle has one in it.
    """

    def __init__(
        self, search: SemanticSearch, audits: Audits, caches: TrainedCaches, trained: Path | None = None
    ) -> None:
        self.search, self.audits = search, audits
        self._caches, self._trained = caches, trained
        self._installing: asyncio.Task[None] | None = None

    async def start(self, bundle: Path) -> None:
        """Bring the trained cache into use, and connect.

        Raises
        ------
        InputError
            If there is none: not in the folder that is named for it, or not in the bundle, and none from before.
        BundleError
            If it is damaged.
        """
        source = self._trained or bundle / CACHE_FOLDER
        installed = await asyncio.to_thread(self._caches.install, source)
        if installed is None and (self._trained is not None or not self._caches.current.exists()):
            raise InputError(
                f"`cache.semantic` is true, but there is no trained cache in {source}: `beast cache build` makes one; "
                "name its folder in `cache.trained`, or put it into the router's bundle with --bundle"
            )
        await self.search.client.start()

    def bundle_changed(self, bundle: Path) -> None:
        """Bring the trained cache of the bundle that serves now into use; without one that of before stays."""
        if self._trained is None:
            self._installing = asyncio.create_task(self._install(bundle / CACHE_FOLDER, self._installing))

    async def figures(self) -> Figures | None:
        """Return how the process of the host is doing; None if it does not answer."""
        return await self.search.client.stats()

    async def close(self) -> None:
        """Drop what is under way."""
        if self._installing is not None:
            self._installing.cancel()
            await asyncio.gather(self._installing, return_exceptions=True)
        await self.search.client.close()

    async def _install(self, source: Path, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before  # or the one that came first might be in use in the end
        try:
            await asyncio.to_thread(self._caches.install, source)
        except (BundleError, OSError) as error:
            events.error("cache.trained_cache_refused", error=str(error))
