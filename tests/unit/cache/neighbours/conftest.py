import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from beast_ml.cache.index.index import PartitionedIndex
from beast_ml.cache.neighbours.client import NeighbourClient
from beast_ml.cache.neighbours.engine import Engine
from beast_ml.cache.neighbours.server import NeighbourServer
from beast_ml.features.hashing import HashingEncoder


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def socket_path():
    with tempfile.TemporaryDirectory(prefix="beast-") as folder:  # pytest's own are too deep for a socket
        yield Path(folder) / "near.sock"


@pytest.fixture
def engine():
    """Return an engine on hashed words: quick, and no less right for what is tested here."""
    return Engine(HashingEncoder(dim=64, name="quick"), HashingEncoder(dim=256), 0.2, PartitionedIndex(64, 256))


@pytest.fixture
def serving(socket_path):
    """Return a context manager that serves an engine and gives clients of it."""

    @asynccontextmanager
    async def serve(engine, n_clients=1, limits=None, within_s=5.0, **options):
        listening = asyncio.Event()
        server = NeighbourServer(engine, options.pop("instance", "first"), limits, **options)
        task = asyncio.create_task(server.serve(socket_path, listening.set))
        await listening.wait()
        clients = [NeighbourClient(socket_path, within_s) for _ in range(n_clients)]
        for client in clients:
            await client.start()
        try:
            yield clients[0] if n_clients == 1 else clients
        finally:
            for client in clients:
                await client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return serve
