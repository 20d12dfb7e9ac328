import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beast_ml.cache.artefact import verify_cache
from beast_ml.cache.neighbours.client import NeighbourClient
from beast_ml.cache.neighbours.command import NeighbourFiles, neighbour_arguments
from beast_ml.cache.neighbours.frames import NewEntry
from beast_ml.serving.chores import ChildCommand, Chores, HostChores

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TENANT, OTHER = b"tenant", b"other"
RETURN_S = 30.0  # on a busy machine; the process itself says below how long it took to start


@pytest.fixture
def state(socket_path):
    return socket_path.parent


async def connected(client, unlike=None):
    async with asyncio.timeout(RETURN_S):
        while client.instance in (None, unlike):
            await asyncio.sleep(0.02)
    return client.instance


async def found(client, partition, text, k=1):
    return [each.entry_id for each in (await client.lookup(partition, text, k, within_s=10.0)).neighbours]


async def test_after_kill_9_lookups_miss_and_the_process_is_back_with_all_entries(trained_cache, state):
    entries = [
        NewEntry("bread", TENANT, "how do I bake bread?"),
        NewEntry("parrot", TENANT, "is it hard to insure a parrot?"),
        NewEntry("theirs", OTHER, "how do I bake bread?"),
    ]
    lost_since_the_snapshot = NewEntry("wine", TENANT, "how do I sell some good wine?")
    child = ChildCommand("neighbours", neighbour_arguments(trained_cache, state))
    chores = asyncio.create_task(Chores(HostChores(state / "lock", (child,))).run())
    clients = [NeighbourClient(NeighbourFiles(state).socket) for _ in range(2)]
    for client in clients:
        await client.start()
    first, second = clients
    stored = list(entries)
    keeping = asyncio.create_task(first.keep_rebuilt(lambda: stored))
    try:
        instance = await connected(first)
        await connected(second)
        async with asyncio.timeout(RETURN_S):
            while await found(second, TENANT, "how can I bake bread?") != ["bread"]:
                await asyncio.sleep(0.05)
        await second.add([lost_since_the_snapshot])
        stored.append(lost_since_the_snapshot)
        stats = await first.stats()
        assert 0 < stats.start_s < RETURN_S
        assert 50e6 < stats.memory_bytes < 600e6

        looking = [
            asyncio.create_task(found(client, TENANT, f"bread number {n}?")) for n in range(20) for client in clients
        ]
        os.kill(_pid_of(state), signal.SIGKILL)
        began = time.monotonic()
        await asyncio.gather(*looking)  # each ends, with a hit or with a miss
        while first.instance == instance:
            await asyncio.sleep(0.01)
        assert (await first.lookup(TENANT, "how can I bake bread?")).outcome in ("away", "late")
        assert await connected(first, instance) != instance
        async with asyncio.timeout(RETURN_S):
            while await found(first, TENANT, "how do I sell good wine?") != ["wine"]:
                await asyncio.sleep(0.05)
        await connected(second)
        assert await found(second, TENANT, "what does it take to bake bread", k=9) == ["bread", "wine", "parrot"]
        assert await found(second, OTHER, "how do I bake bread", k=9) == ["theirs"]
        assert time.monotonic() - began < RETURN_S
    finally:
        for task in (keeping, chores):
            task.cancel()
        await asyncio.gather(keeping, chores, return_exceptions=True)
        for client in clients:
            await client.close()


async def test_what_was_indexed_is_there_again_after_an_orderly_end(trained_cache, state):
    command = [sys.executable, *neighbour_arguments(trained_cache, state)]
    for start in range(2):
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        client = NeighbourClient(NeighbourFiles(state).socket)
        await client.start()
        try:
            await connected(client)
            if start == 0:
                await client.add([NewEntry("bread", TENANT, "how do I bake bread?")])
            async with asyncio.timeout(10):
                while await found(client, TENANT, "how do I bake bread?") != ["bread"]:
                    await asyncio.sleep(0.05)
            stats = await client.stats()
            assert stats.entries == 1
            assert stats.embedded <= 1  # the text came with the trained cache
        finally:
            await client.close()
            process.stdin.close()
            assert process.wait(10) == 0


def test_a_folder_that_is_no_trained_cache_is_said(tmp_path, state):
    command = [sys.executable, *neighbour_arguments(tmp_path, state)]
    ended = subprocess.run(command, input="", capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "no trained cache" in ended.stderr


def test_a_worker_that_asks_it_imports_neither_onnxruntime_nor_faiss():
    code = "import beast_ml.cache.neighbours.client, beast_ml.cache.neighbours.command, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"onnxruntime", "onnx", "faiss", "torch", "scipy"}.isdisjoint(loaded)
    assert "msgspec" in loaded


def _pid_of(state: Path) -> int:
    """Return the process that has this state folder in its arguments."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"beast_ml.cache.neighbours" in arguments and os.fsencode(state / "near.sock") in arguments:
                return int(entry.name)
    raise AssertionError("the process does not run")


async def test_when_the_link_names_another_trained_cache_the_process_ends_to_start_with_it(
    trained_cache, verified_cache, state
):
    link = state / "current"
    link.symlink_to(trained_cache)
    child = ChildCommand("neighbours", neighbour_arguments(link, state))
    chores = asyncio.create_task(Chores(HostChores(state / "lock", (child,))).run())
    client = NeighbourClient(NeighbourFiles(state).socket)
    await client.start()
    try:
        instance = await connected(client)
        assert client.cache == verify_cache(trained_cache).digest
        await client.add([NewEntry("bread", TENANT, "how do I bake bread?")])
        assert (await client.lookup(TENANT, "how can I bake bread?", within_s=10.0)).threshold is None  # no verifier
        (state / "next").symlink_to(verified_cache)
        (state / "next").replace(link)
        await connected(client, instance)
        assert client.cache == verify_cache(verified_cache).digest
        async with asyncio.timeout(RETURN_S):
            while await found(client, TENANT, "how can I bake bread?") != ["bread"]:  # of the same encoders: it is kept
                await asyncio.sleep(0.05)
        told = await client.lookup(TENANT, "how can I bake bread?", within_s=10.0)
        assert 0.0 < told.threshold < 1.0
        for _ in range(2):
            assert await client.verified(TENANT, "acme", 0.99, wrong=False, probability=1.0, unverified=3)
        async with asyncio.timeout(RETURN_S):
            while (await client.stats()).verified < 2:
                await asyncio.sleep(0.05)
    finally:
        chores.cancel()
        await asyncio.gather(chores, return_exceptions=True)
        await client.close()
