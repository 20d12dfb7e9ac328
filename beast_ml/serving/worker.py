"""One serving worker: its parts are opened when it starts, and closed in the order in which nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint, ModelLimits
from beast_ml.errors import BeastError, UnavailableError
from beast_ml.events import events
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.experiments.kept_analyses import ANALYSES_FILE
from beast_ml.logs.segments import SegmentWriter
from beast_ml.operations.budgets.guard import BudgetGuard
from beast_ml.operations.budgets.ledger import Ledger
from beast_ml.operations.budgets.open_ledger import BudgetHome, ledger_name, open_ledger
from beast_ml.operations.budgets.recovery import recover
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.health.fleet import FleetHealth
from beast_ml.operations.health.hints import BreakerHints
from beast_ml.operations.health.nearness import RegionDistances
from beast_ml.operations.health.prober import Prober
from beast_ml.operations.implicit_feedback import ImplicitFeedback
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.access import Access, kept_secret
from beast_ml.serving.chores import Chores, HostChores
from beast_ml.serving.decider import Decider
from beast_ml.serving.learning_figures import FollowedLearning
from beast_ml.serving.metrics import ServingMetrics
from beast_ml.serving.prompts import PromptKeeping, PromptPrivacy
from beast_ml.serving.rate_limit import RateLimiter, SharedBuckets
from beast_ml.serving.request_ids import RequestIds
from beast_ml.serving.request_log import RequestLog
from beast_ml.serving.runtime import Runtime
from beast_ml.serving.services import BodyLimits, Services
from beast_ml.serving.swap import Swap
from beast_ml.serving.ticks import Ticks

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.chat_cache import ChatCache
    from beast_ml.serving.answer_cache.config import AnswerCacheConfig
    from beast_ml.serving.gateway.gateway import Gateway

__all__ = ["METRICS_FOLDER", "ServingConfig", "Worker"]

_Chore = Callable[[], Coroutine[None, None, None]]

METRICS_FOLDER: Final = "metrics"
"""Within the state folder: the counts of this run's workers, emptied before the first one starts."""


@dataclass(frozen=True)
class ServingConfig:
    """All that a worker is told; see `beast_ml.settings.ServingSettings`.

    Parameters
    ----------
    router, state, tracking_uri
        What is served, where state is kept, and where the registry is.
    body
        How large requests may be.
    requests_per_s
        Of each tenant on this worker; None: no limit.
    prompts, prompts_of
        What the log keeps of prompts; the same for single tenants.
    sync_s
        Seconds after which a logged row is on the disk at the latest.
    chores
        What the leading worker does for the host.
    open_without_keys
        Serve anybody until the first key is made.
    admin_key, secret
        None: kept in the state folder.
    redis_url, database_url
        State that hosts share; None: a host's own.
    home
        Where the budgets of several regions are at home; None: there are no others.
    distances
        Of the endpoints' regions.
    prices
        By candidate, over those of the bundle.
    endpoints, limits
        Where candidates answer, and what they can take.
    budgets
        Rules to begin with.
    cache
        None: no cache.
    learning
        Folder where the learning loop keeps its state, for the metrics; None: they say nothing of it.
    """

    router: str
    state: Path
    tracking_uri: str
    body: BodyLimits
    requests_per_s: float | None
    prompts: PromptKeeping
    prompts_of: Mapping[str, PromptKeeping]
    sync_s: float
    chores: HostChores
    open_without_keys: bool
    admin_key: str | None = None
    secret: str | None = None
    redis_url: str | None = None
    database_url: str | None = None
    home: BudgetHome | None = None
    distances: RegionDistances = RegionDistances()  # noqa: RUF009  frozen
    prices: Mapping[str, Price] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    limits: Mapping[str, ModelLimits] = field(default_factory=dict)
    budgets: tuple[BudgetRule, ...] = ()
    cache: AnswerCacheConfig | None = None
    learning: Path | None = None


class Worker:
    """Holds a worker's parts between start and stop.

    Parameters
    ----------
    config
        What it is told.
    """

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._services: Services | None = None
        self.draining = False

    @property
    def is_started(self) -> bool:
        """Whether there are parts."""
        return self._services is not None

    @property
    def services(self) -> Services:
        """The parts; before the start there are none.

        Raises
        ------
        UnavailableError
            If the worker is not started.
        """
        if self._services is None:
            raise UnavailableError("the server is starting: try again in a second")
        return self._services

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Open everything, serve, and close everything."""
        async with AsyncExitStack() as stack:
            try:
                self._services = await self._open(stack)
            except Exception as error:
                said = str(error) if isinstance(error, BeastError) else repr(error)
                sys.stderr.write(f"error: {said}\n")
                raise
            events.info("serving.started", bundle=self._services.runtime.router.version)
            try:
                yield
            finally:
                self.drain()

    def drain(self) -> None:
        """Ask clients to leave from now on."""
        self.draining = True

    async def _open(self, stack: AsyncExitStack) -> Services:
        config = self._config
        secret = (config.secret or kept_secret(config.state / "secret")).encode()
        admin_key = config.admin_key or kept_secret(config.state / "admin.key")

        writer = SegmentWriter(config.state / "segments", sync_s=config.sync_s)
        stack.callback(writer.close)
        keys = KeyRing(KeyStore.open(config.state, config.database_url), copy=config.state / "keys.json")
        await asyncio.to_thread(keys.start)
        stack.callback(keys.close)
        metrics = ServingMetrics(config.state / METRICS_FOLDER)
        stack.callback(metrics.close)

        def swapped(swap: Swap) -> None:
            metrics.swap(swap.result)
            if swap.alias is None:
                health.follow(runtime.router.models)
                metrics.set_bundle(str(runtime.status().version or ""), swap.serving)
                if services.cache is not None and services.cache.semantic is not None:
                    services.cache.semantic.bundle_changed(runtime.bundle_folder)

        runtime = await asyncio.to_thread(
            Runtime.open,
            config.router,
            config.state,
            tracking_uri=config.tracking_uri,
            prices=config.prices,
            listener=swapped,
        )
        metrics.set_bundle(str(runtime.status().version or ""), runtime.router.version)
        health = FleetHealth(config.endpoints, runtime.router.models, distances=config.distances)
        ledger, meanwhile = await _ledger(config, metrics)
        stack.callback(ledger.close)
        metrics.set_ledger(ledger_name(config.database_url, config.redis_url, config.state, config.home))
        # Elsewhere than at the budgets' home its rules hold, and a region that never heard of them must not start:
        # whom its own settings do not name would spend without a bound.
        rules = config.budgets if config.home is None or config.home.is_here else None
        budgets = await asyncio.to_thread(BudgetGuard.open, ledger, config.state, rules)
        await budgets.start()
        stack.push_async_callback(budgets.close)
        buckets = SharedBuckets(config.state / METRICS_FOLDER / "rates")
        stack.callback(buckets.close)
        services = Services(
            runtime=runtime,
            decider=Decider(health, config.limits),
            log=RequestLog(writer, PromptPrivacy(config.prompts, config.prompts_of, secret)),
            ids=RequestIds(secret),
            access=Access(keys, admin_key, open_without_keys=config.open_without_keys),
            limiter=RateLimiter(config.requests_per_s, shared=buckets),
            health=health,
            metrics=metrics,
            limits=config.body,
            experiments=FollowedExperiments(config.state / "experiments.json"),
            implicit=ImplicitFeedback(),
            analyses=config.state / ANALYSES_FILE,
            budgets=budgets,
        )
        learning = None if config.learning is None else FollowedLearning(config.learning)
        ticks = Ticks(services, writer, keys, learning)
        tasks = [runtime.follow, ticks.run]
        if config.endpoints:
            services.gateway = gateway = await _gateway(services, config)
            stack.push_async_callback(gateway.close)
            prober = Prober(health, gateway.probe)
            tasks.append(prober.run)
            if config.redis_url is not None:
                hints = BreakerHints.open(config.redis_url, health, prober.ask_now)
                stack.callback(hints.close)
                tasks.append(hints.run)
        if config.cache is not None:
            services.cache, of_the_cache = await _cache(services, config.cache, stack)
            meanwhile += of_the_cache
            cache = services.cache
            if cache.semantic is not None:
                await cache.semantic.start(runtime.bundle_folder)
                tasks.append(cache.semantic.search.run)
            tasks.append(cache.refill)
        tasks.append(Chores(config.chores, partial(asyncio.to_thread, recover, config.state, ledger), meanwhile).run)
        for task in tasks:
            stack.push_async_callback(_cancelled, asyncio.create_task(task()))
        gc.collect()
        gc.freeze()  # what is here now stays: collections need not look at it again
        stack.callback(gc.unfreeze)  # files among it are closed when it goes
        return services


async def _ledger(config: ServingConfig, metrics: ServingMetrics) -> tuple[Ledger, list[_Chore]]:
    """Return the budgets' ledger, and what one worker of the host does for it."""
    args = (config.database_url, config.redis_url, config.state, config.home)
    ledger = await asyncio.to_thread(open_ledger, *args)
    if config.home is None or config.home.is_here:
        return ledger, []
    steps = await asyncio.to_thread(import_module, "beast_ml.operations.budgets.region_steps")
    life_s, told = config.home.life_s, metrics.region.tell
    return ledger, [steps.RegionSteps(ledger, config.distances.here, life_s=life_s, told=told).run]


async def _gateway(services: Services, config: ServingConfig) -> Gateway:
    # The openai SDK takes most of a second to import, and 30 MB: only workers that call models have it.
    module = await asyncio.to_thread(import_module, "beast_ml.serving.gateway.worker_parts")
    gateway: Gateway = module.open_gateway(
        services, config.endpoints, os.environ, prices=config.prices, limits=config.limits
    )
    return gateway


async def _cache(
    services: Services, config: AnswerCacheConfig, stack: AsyncExitStack
) -> tuple[ChatCache, list[_Chore]]:
    """Return the cache, and what one worker of the host does for all of them."""
    # Only workers that have a cache import what it stands on.
    opening = await asyncio.to_thread(import_module, "beast_ml.serving.answer_cache.open_cache")
    cache = await asyncio.to_thread(opening.open_answer_cache, config)
    verdicts = opening.open_verdicts(config, services.gateway, services.ids, services.metrics)
    opened: ChatCache = import_module("beast_ml.serving.answer_cache.chat_cache").ChatCache(
        services, cache, opening.open_semantic(config, cache, verdicts), opening.open_freshness(config, verdicts)
    )
    warmer = opening.open_warmer(config, opened, services.gateway, services.ids, services.metrics)
    stack.push_async_callback(opened.close)
    if verdicts is not None:
        stack.push_async_callback(verdicts.close)
    meanwhile: list[_Chore] = [] if opened.semantic is None else [opened.semantic.search.keep_rebuilt]
    copies = opening.open_copies(cache, services.metrics.region.copied)
    if copies is not None:
        meanwhile.append(copies.run)
    if warmer is not None:
        meanwhile.append(warmer.run)
    return opened, meanwhile


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
