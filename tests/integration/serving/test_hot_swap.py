"""A router that is promoted in a real MLflow store reaches a runtime that decides all the while."""

import asyncio
import gc
import os
import subprocess
import sys
import time
import weakref
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest

from beast_ml.errors import UnavailableError
from beast_ml.registry.bundle_pointer import PointerFolder, read_pointer
from beast_ml.registry.connection import connect
from beast_ml.registry.promotion import promote, rollback
from beast_ml.registry.watch_child import watch_arguments, watch_environment
from beast_ml.serving.runtime import Runtime

pytestmark = pytest.mark.slow

URI = "models:/beast-router@champion"
PATIENCE_S = 120.0


@pytest.fixture
def files(tmp_path):
    return PointerFolder(tmp_path / "state")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def champion(config, register):
    """Register a router and make it champion, as if it had been promoted before."""
    register("a")
    crown(config, 1)


@pytest.fixture
def watcher(config, files, cache):
    """Start a watcher as a host's leader does."""

    @contextmanager
    def start():
        command = [sys.executable, *watch_arguments(URI, files.state, poll_s=0.2, cache=cache)]
        where = os.environ | watch_environment(config.uri)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=where) as process:
            try:
                yield process
            finally:
                process.terminate()

    return start


@pytest.fixture
def open_runtime(config, files, cache):
    return lambda **more: Runtime.open(URI, files.state, tracking_uri=config.uri, cache=cache, **more)


@asynccontextmanager
async def deciding(runtime):
    """Decide all the time, and follow the registry; counts are handed out."""
    counts = SimpleNamespace(decided=0, failed=0, versions=set())

    async def decide():
        while True:
            try:
                decision = runtime.router.route(f"What is {counts.decided} + 1?")
                runtime.succeeded(f"What is {counts.decided} + 1?")
                counts.versions.add(decision.policy_version)
                counts.decided += 1
            except Exception:  # noqa: BLE001 - what a client would get as an error
                counts.failed += 1
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(decide()), asyncio.create_task(runtime.follow())]
    try:
        yield counts
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


def crown(config, version):
    connect(config).set_registered_model_alias("beast-router", "champion", str(version))


def test_a_promotion_reaches_serving_and_so_does_its_rollback(config, register, open_runtime, watcher):
    register("a")
    promote(config)

    async def scenario():
        runtime = open_runtime()
        first = runtime.status()
        assert first.version == 1
        async with deciding(runtime) as counts:
            with watcher():
                register("b")
                await asyncio.to_thread(promote, config, 2)
                await until(lambda: runtime.status().version == 2)
                await until(lambda: not runtime.status().on_probation)
                await asyncio.to_thread(rollback, config)
                await until(lambda: runtime.status().version == 1)
        assert counts.failed == 0
        assert counts.decided > 200
        assert len(counts.versions) == 2
        assert runtime.status().digest == first.digest
        assert runtime.status().registry_error is None

    asyncio.run(scenario())


def test_no_decision_fails_while_bundles_come_and_go(config, champion, register, open_runtime, watcher):
    register("b")

    async def scenario():
        runtime = open_runtime()
        first = weakref.ref(runtime.router)
        async with deciding(runtime) as counts:
            with watcher():
                for version in (2, 1, 2, 1, 2):
                    await asyncio.to_thread(crown, config, version)
                    await until(lambda version=version: runtime.status().version == version)
            await until(lambda: not runtime.status().on_probation)
            await runtime.look()
            gc.collect()
            assert first() is None
        assert counts.failed == 0
        assert len(counts.versions) == 2

    asyncio.run(scenario())


def test_a_corrupt_bundle_is_refused_and_a_whole_one_after_it_is_served(
    config, champion, register, open_runtime, watcher, flip
):
    whole = set(config.artifacts.rglob("bundle/manifest.json"))
    register("b")
    for manifest in set(config.artifacts.rglob("bundle/manifest.json")) - whole:
        flip(manifest.parent)
    register("c")

    async def scenario():
        runtime = open_runtime()
        async with deciding(runtime) as counts:
            with watcher():
                await asyncio.to_thread(crown, config, 2)
                await until(lambda: "sha256" in (runtime.status().registry_error or ""))
                assert runtime.status().version == 1
                await asyncio.to_thread(crown, config, 3)
                await until(lambda: runtime.status().version == 3)
        assert counts.failed == 0
        assert runtime.status().registry_error is None

    asyncio.run(scenario())


def test_a_registry_that_is_away_keeps_nobody_from_serving(config, champion, register, open_runtime, watcher):
    register("b")
    away = config.database.with_suffix(".away")

    async def scenario():
        runtime = open_runtime()
        async with deciding(runtime) as counts:
            with watcher():
                await until(lambda: runtime.status().checked_at is not None)
                config.database.rename(away)
                await until(lambda: runtime.status().registry_error is not None)
                asked_at = time.time()
                runtime.ask_to_reload()
                with pytest.raises(UnavailableError, match="the router goes on as it is"):
                    await until(lambda: runtime.is_current(asked_at))
                assert open_runtime().status().version == 1  # one that starts now serves what served last
                away.rename(config.database)
                await asyncio.to_thread(crown, config, 2)
                asked_at = time.time()
                runtime.ask_to_reload()
                await until(lambda: runtime.is_current(asked_at))
                assert runtime.status().version == 2
        assert counts.failed == 0
        assert runtime.status().registry_error is None

    asyncio.run(scenario())


def test_a_challenger_is_followed_beside_the_champion(config, champion, register, open_runtime, watcher):
    register("b")

    async def scenario():
        runtime = open_runtime()
        runtime.follow_aliases(["challenger"])
        async with deciding(runtime) as counts:
            with watcher():
                await asyncio.to_thread(connect(config).set_registered_model_alias, "beast-router", "challenger", "2")
                await until(lambda: runtime.router_for("challenger") is not None)
        assert counts.failed == 0
        assert runtime.status().version == 1
        assert runtime.router_for("challenger").version != runtime.router.version

    asyncio.run(scenario())


def test_a_watcher_goes_with_whoever_started_it_and_leaves_its_pointer(champion, files, watcher):
    with watcher() as process:
        asyncio.run(until(lambda: read_pointer(files.pointer) is not None))
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    assert read_pointer(files.pointer).version == 1


def test_a_watcher_that_is_killed_is_simply_started_again(config, champion, register, open_runtime, watcher):
    register("b")

    async def scenario():
        runtime = open_runtime()
        async with deciding(runtime) as counts:
            with watcher() as process:
                await until(lambda: runtime.status().checked_at is not None)
                process.kill()
            await asyncio.to_thread(crown, config, 2)
            with watcher():
                await until(lambda: runtime.status().version == 2)
        assert counts.failed == 0

    asyncio.run(scenario())
