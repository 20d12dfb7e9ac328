"""The drill: a backup under load, everything destroyed, a restore, and the same router serves with the same past."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.logs.store import LogStore
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.promotion import promote
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)

BEAST = [sys.executable, "-m", "beast_ml.cli"]
SETTINGS = """\
serving: {compact_s: 2}
budgets:
  - {scope: tenant, key: "*", period: month, limit_usd: 1000}
"""
PROMPTS = [f"word {i} table chair loop integral" for i in range(8)]
COST_USD = 0.01


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture
def config(root: Path, migrated_store: Path) -> TrackingConfig:  # noqa: F811 - the imported fixture
    shutil.copyfile(migrated_store, root / "mlflow.db")
    return TrackingConfig(f"sqlite:///{root}/mlflow.db", root / "mlartifacts")


class Load:
    """Routes requests and tells their outcomes; keeps the ids of those whose outcome was acknowledged."""

    def __init__(self, server: ServerProcess) -> None:
        self.told: list[str] = []
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(2)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def _ask(self) -> None:
        while not self._stop.is_set():
            request_id = route(self._server, PROMPTS[len(self.told) % len(PROMPTS)])["request_id"]
            told = json.dumps({"request_id": request_id, "cost_usd": COST_USD, "latency_s": 0.1}).encode()
            assert self._server.post("/v1/outcomes", told)[0] == 200
            self.told.append(request_id)

    def wait_for(self, n: int) -> None:
        while len(self.told) < n:
            assert all(thread.is_alive() for thread in self._threads)
            self._stop.wait(0.02)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def route(server: ServerProcess, prompt: str) -> dict[str, Any]:
    status, answer = server.post("/v1/route", json.dumps({"prompt": prompt}).encode())
    assert status == 200, answer
    decision: dict[str, Any] = json.loads(answer)
    return decision


def serving(server: ServerProcess) -> tuple[str, int]:
    """Return digest and version of the bundle that decides."""
    router = json.loads(server.get("/readyz")[1])["router"]
    return router["digest"], router["version"]


def spent_usd(server: ServerProcess) -> float:
    (budget,) = json.loads(server.get("/v1/budgets")[1])["budgets"]
    return float(budget["spent_usd"]) + float(budget["lost_usd"])


def beast(folder: Path, *arguments: object) -> Any:
    done = subprocess.run([*BEAST, *map(str, arguments), "--json"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    servers = []

    def started(folder: Path, downloads: str) -> ServerProcess:
        port = free_port()
        environment = {"BEAST_CACHE_DIR": str(tmp_path / downloads)}
        command = [*BEAST, "serve", "--port", str(port)]
        log = tmp_path / f"{folder.name}.log"
        server = ServerProcess.start(command, port, log, environment=environment, folder=folder, within_s=240.0)
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.kill()


@pytest.mark.slow  # two servers, a registry and a load: some twenty seconds
def test_backup_under_load_destroy_restore_serve(
    root: Path,
    config: TrackingConfig,
    register: Any,  # noqa: F811 - the imported fixture
    serve: Any,
    tmp_path: Path,
) -> None:
    promote(config, register("first").version)
    server = serve(root, "downloads")
    with Load(server) as load:
        load.wait_for(20)
        before = list(load.told)
        made = beast(root, "backup", "--to", tmp_path / "backups")
    was, decided = serving(server), [route(server, prompt)["model"] for prompt in PROMPTS]
    server.kill()
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "downloads")

    new = tmp_path / "new"
    restored = beast(tmp_path, "restore", tmp_path / "backups", "--into", new)
    assert restored["n_files"] == made["n_files"]
    stored = LogStore(new / "data/logs").requests(["request_id", "cost_usd"]).to_pylist()
    costs = {row["request_id"]: row["cost_usd"] for row in stored}
    assert len(costs) == len(stored)
    assert {request_id: costs.get(request_id) for request_id in before} == dict.fromkeys(before, COST_USD)

    server = serve(new, "other downloads")
    assert serving(server) == was
    assert [route(server, prompt)["model"] for prompt in PROMPTS] == decided
    assert spent_usd(server) >= sum(cost or 0.0 for cost in costs.values()) - 1e-9 > 0
    assert len(costs) >= len(before)
