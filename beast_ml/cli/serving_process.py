"""The process behind `beast serve`: ``python -m beast_ml.cli.serving_process`` reads the settings and serves."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import BeastError, InputError, MissingExtraError, SettingsError
from beast_ml.events import show_events
from beast_ml.settings import Settings, load_settings

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.config import AnswerCacheConfig
    from beast_ml.serving.app import App
    from beast_ml.serving.chores import ChildCommand
    from beast_ml.serving.worker import ServingConfig

__all__ = ["cache_config", "create_app", "main", "serving_config"]

_OF_THE_EXTRA: Final = ("uvicorn", "starlette", "sqlalchemy", "prometheus_client", "openai")


def create_app() -> App:
    """Return a worker's application under the settings that hold here."""
    settings = load_settings()
    from beast_ml.serving.app import App
    from beast_ml.serving.worker import Worker

    show_events()
    worker = Worker(serving_config(settings))
    return App(worker)


def serving_config(settings: Settings) -> ServingConfig:
    """Return what a worker is told."""
    from beast_ml.cli.ledger_accounts import budget_home
    from beast_ml.operations.budgets.rules import BudgetRule
    from beast_ml.operations.health.nearness import RegionDistances
    from beast_ml.serving.access import is_loopback
    from beast_ml.serving.chores import HostChores
    from beast_ml.serving.services import BodyLimits
    from beast_ml.serving.worker import ServingConfig

    serving = settings.serving
    return ServingConfig(
        router=serving.router,
        state=serving.state,
        tracking_uri=settings.tracking.uri,
        body=BodyLimits(serving.max_body_bytes, serving.max_json_depth),
        requests_per_s=serving.requests_per_s,
        prompts=serving.prompts,
        prompts_of=serving.prompts_of,
        sync_s=serving.sync_s,
        chores=HostChores(serving.state / "locks" / "leader.lock", _children(settings)),
        open_without_keys=is_loopback(serving.host),
        admin_key=None if settings.admin_key is None else settings.admin_key.get_secret_value(),
        secret=None if settings.secret is None else settings.secret.get_secret_value(),
        redis_url=settings.redis_url,
        database_url=settings.database_url,
        home=budget_home(settings),
        distances=RegionDistances(settings.region, settings.region_round_trips_s),
        prices=settings.prices(),
        endpoints=tuple(each.endpoint() for each in settings.endpoints),
        limits=settings.limits(),
        budgets=tuple(BudgetRule.from_usd(**each.model_dump()) for each in settings.budgets),
        cache=cache_config(settings),
        learning=settings.learning.state,
    )


def cache_config(settings: Settings) -> AnswerCacheConfig | None:
    """Return what a worker is told of its cache; None where it is off.

    Raises
    ------
    InputError
        If it is on and cannot work: no secret, a judge that cannot be asked, a state folder too deep for a socket.
    """
    given = settings.cache
    if not given.enabled:
        return None
    if given.secret is None:
        raise SettingsError(
            "`cache.enabled` is true, but `cache.secret` is not set: give at least 16 random characters in "
            "BEAST_CACHE__SECRET (`openssl rand -hex 32`), the same on all hosts that share tiers"
        )
    if given.shared_vectors and not (settings.database_url or "").startswith("postgresql"):
        raise SettingsError(
            "`cache.shared_vectors` is true, but `database_url` names no PostgreSQL: give BEAST_DATABASE_URL, of a "
            "server with pgvector"
        )
    from beast_ml.cache.lifetimes import read_lifetimes
    from beast_ml.cache.neighbours.command import NeighbourFiles, Promise
    from beast_ml.serving.answer_cache.config import EQUAL, AnswerCacheConfig, CacheRegion, Lives

    if given.age_share and given.judge is None:
        raise SettingsError("`cache.age_share` is set, but nothing judges: set `cache.judge`")
    models = sorted({each.model for each in settings.endpoints})
    if given.judge not in (None, EQUAL, *models):
        known = ", ".join(models) or "none"
        raise SettingsError(
            f"`cache.judge` == {given.judge!r} has no endpoint: give `{EQUAL}`, or one of these models: {known}"
        )
    if given.semantic:
        NeighbourFiles(settings.serving.state).check()
    lives = None if given.lifetimes is None else read_lifetimes(given.lifetimes)
    return AnswerCacheConfig(
        secret=given.secret.get_secret_value().encode(),
        state=settings.serving.state,
        redis_url=settings.redis_url,
        database_url=settings.database_url,
        region=CacheRegion(settings.region, settings.home_redis_url or "") if given.regions else None,
        memory_bytes=given.memory_mb << 20,
        memory_entries=given.memory_entries,
        memory_looked_at=given.memory_looked_at,
        tenant_bytes=given.tenant_mb << 20,
        tenant_entries=given.tenant_entries,
        lives=Lives(given.life_s, given.lives_s, given.refusal_life_s, given.error_life_s, lives),
        per_user=given.per_user,
        max_temperature=given.max_temperature,
        max_wait_s=given.max_wait_s,
        semantic=Promise(given.epsilon, given.delta, given.audit_share) if given.semantic else None,
        trained=given.trained,
        shared_vectors=given.shared_vectors,
        judge=given.judge,
        age_share=given.age_share,
        warm_every_s=given.warm_every_s,
        warm_usd=given.warm_usd,
    )


def _children(settings: Settings) -> tuple[ChildCommand, ...]:
    """Return the processes that a host needs beside its workers."""
    from beast_ml.registry.watch_child import watch_arguments, watch_environment
    from beast_ml.serving.chores import ChildCommand

    serving = settings.serving
    children: list[ChildCommand] = []
    if serving.router.startswith("models:/"):
        watch = watch_arguments(serving.router, serving.state, poll_s=serving.poll_s)
        where = watch_environment(settings.tracking.uri)
        children.append(ChildCommand("registry watcher", watch, environment=where))
    if serving.compact_s and find_spec("duckdb") is not None:  # else another machine compacts the segments
        compact = ("-m", "beast_ml.cli", "logs", "compact", "--json")
        children.append(ChildCommand("compaction", compact, serving.compact_s))
        guard = ("-m", "beast_ml.cli", "experiment", "guard", "--json")  # it looks at what compaction brings
        children.append(ChildCommand("guard of experiments", guard, serving.compact_s))
    cache = cache_config(settings)
    if cache is not None and cache.semantic is not None:
        from beast_ml.cache.neighbours.command import neighbour_arguments
        from beast_ml.serving.answer_cache.trained import TrainedCaches

        near = neighbour_arguments(TrainedCaches(serving.state).current, serving.state, cache.semantic)
        children.append(ChildCommand("neighbours of the cache", near))
    return tuple(children)


def main() -> int:
    """Serve until told to stop; return the exit code of the command line."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # a row is too small for two threads
    try:
        if any(find_spec(name) is None for name in _OF_THE_EXTRA):
            raise MissingExtraError("`beast serve`", "serve")
        settings = load_settings()
        _check(settings)
        from beast_ml.serving.supervisor import Supervision, supervise
        from beast_ml.serving.worker import METRICS_FOLDER
        from beast_ml.serving.worker_scaling import WorkerScaling

        serving = settings.serving
        sys.stderr.write(
            f"serving {serving.router} at http://{serving.host}:{serving.port} with {serving.workers} worker(s); "
            f"state in {serving.state}\n"
        )
        _preload(gateway=bool(settings.endpoints), cache=cache_config(settings) is not None)
        shutil.rmtree(serving.state / METRICS_FOLDER, ignore_errors=True)  # counts of the run before
        scaling = None
        if serving.workers_max is not None:
            scaling = WorkerScaling(serving.workers, serving.workers_max, clock=time.monotonic)
        supervise(Supervision(create_app, serving.host, serving.port, serving.workers, serving.drain_s, scaling))
    except BeastError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    return 0


def _check(settings: Settings) -> None:
    """Refuse what will not work, in a sentence, before there are workers to fail."""
    from beast_ml.operations.keys.store import KeyStore
    from beast_ml.serving.access import is_loopback

    cache_config(settings)  # it may lack its secret
    router, host = settings.serving.router, settings.serving.host
    if not router.startswith("models:/") and not Path(router).is_dir():
        raise InputError(f"no bundle folder {router}: name a folder, or a registry address such as models:/...")
    if not is_loopback(host) and not KeyStore.open(settings.serving.state, settings.database_url).list():
        raise InputError(
            f"`--host` == {host!r} can be reached from elsewhere, and no API key was made: "
            "run `beast keys create TENANT` first, or listen at 127.0.0.1"
        )


def _preload(*, gateway: bool, cache: bool) -> None:
    """Import what serving needs: workers are forked from this process, so it is done once, and its memory shared."""
    import_module("beast_ml.serving.app")
    if gateway:
        import_module("beast_ml.serving.gateway.worker_parts")
    if cache:
        import_module("beast_ml.serving.answer_cache.open_cache")
        import_module("beast_ml.serving.answer_cache.chat_cache")


if __name__ == "__main__":
    sys.exit(main())
