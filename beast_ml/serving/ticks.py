"""What a worker looks at once a second: the experiments' file, and what gauges show."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from beast_ml.domain.money import usd
from beast_ml.events import events
from beast_ml.logs.segments import SegmentWriter, oldest_segment_at
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.serving.learning_figures import FollowedLearning
from beast_ml.serving.services import Services

__all__ = ["Ticks"]

_TICK_S: Final = 1.0


class Ticks:
    """Keeps a worker's view up to date.

    Parameters
    ----------
    services
        The worker's parts.
    writer, keys
        Whose state gauges show.
    learning
        The learning loop of this host.
    """

    def __init__(
        self, services: Services, writer: SegmentWriter, keys: KeyRing, learning: FollowedLearning | None = None
    ) -> None:
        self._services = services
        self._writer = writer
        self._keys = keys
        self._learning = learning

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                self.tick()
                await self._look_at_semantic_cache()
                await self._look_at_learning()
            except Exception as error:  # noqa: BLE001  the worker goes on serving whatever a gauge meets
                events.error("serving.tick_failed", error=repr(error))
            await asyncio.sleep(_TICK_S)

    async def _look_at_semantic_cache(self) -> None:
        cache = self._services.cache
        if cache is not None and cache.semantic is not None:
            figures = await cache.semantic.figures()
            self._services.metrics.set_cache_process(figures)
            self._services.metrics.set_up("cache_process", figures is not None)

    async def _look_at_learning(self) -> None:
        if self._learning is None:
            return
        figures = await asyncio.to_thread(self._learning.changed)
        if figures is not None:
            self._services.metrics.set_learning(figures)

    def tick(self) -> None:
        """Look once."""
        services, metrics = self._services, self._services.metrics
        services.follow_experiments()
        for endpoint in services.health.snapshot():
            metrics.set_endpoint(endpoint.name, endpoint.state)
        if services.budgets is not None:
            for budget in services.budgets.status(None):
                metrics.set_budget(budget.budget, usd(budget.limit_nano), usd(budget.left_nano))
            metrics.set_up("budgets", services.budgets.error is None)
        metrics.set_up("registry", services.runtime.status().registry_error is None)
        metrics.set_up("keys", self._keys.error is None)
        metrics.set_up("log", self._writer.error is None)
        if services.cache is not None:
            stats = services.cache.stats()
            metrics.cache_tiers.tell(stats)
            for tier in stats.tiers[1:]:
                metrics.set_up(f"cache_{tier.tier}", not tier.away)
            metrics.set_up("cache_invalidations", services.cache.cache.invalidator.error is None)
        began_at = oldest_segment_at(self._writer.folder)
        metrics.set_log_lag(0.0 if began_at is None else max(0.0, time.time() - began_at))
