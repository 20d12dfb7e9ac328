"""The faults, by name: each stages a server and says what breaks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from beast_ml.benchmarks.serving.faults import Ground, Logged, Staged
from beast_ml.benchmarks.serving.processes import ServerProcess
from beast_ml.benchmarks.serving.registering import registered
from beast_ml.benchmarks.serving.replicas import N_REPLICAS, Replicas, replicas
from beast_ml.benchmarks.serving.shared_services import MlflowServer, PostgresServer, Service, ValkeyServer
from beast_ml.benchmarks.serving.subjects import beast
from beast_ml.bundle.manifest import verify
from beast_ml.errors import UnavailableError
from beast_ml.registry.config import CHAMPION, ROUTER, TrackingConfig
from beast_ml.registry.promotion import promote

__all__ = ["SCENES"]

_WORKERS: Final = 2
_START_S: Final = 60.0
_LOOK_S: Final = 0.05
_UPGRADE_S: Final = 240.0
_RETURN_S: Final = 120.0
_STARTED: Final = b'"serving.started"'
_BUDGETS: Final = json.dumps([{"scope": "tenant", "period": "month", "limit_usd": 1_000_000}])
_PLAIN: Final = {"BEAST_SERVING__COMPACT_S": "0", "BEAST_SERVING__POLL_S": "1"}


@contextmanager
def _serving(
    ground: Ground, router: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[ServerProcess, Path]]:
    subject = beast(router, {**_PLAIN, **(environment or {})})
    with subject.start(ground.folder, workers=_WORKERS, cores=ground.cores) as server:
        until = time.monotonic() + _START_S
        while _n_started(server) < _WORKERS:  # the other worker may still be on its way
            if time.monotonic() > until:
                raise UnavailableError(f"only {_n_started(server)} of {_WORKERS} workers started: see {server.log}")
            time.sleep(_LOOK_S)
        yield server, ground.folder / "state" / "segments"


def _n_started(server: ServerProcess) -> int:
    return server.log.read_bytes().count(_STARTED)


@contextmanager
def _worker_killed(ground: Ground) -> Iterator[Staged]:
    with _serving(ground, str(ground.bundles[0])) as (server, segments):
        before = _n_started(server)
        yield Staged(
            server,
            segments,
            _WORKERS,
            break_it=lambda: os.kill(server.workers()[0], signal.SIGKILL),
            is_back=lambda: _n_started(server) > before and len(server.workers()) == _WORKERS,
            kills=True,
        )


@contextmanager
def _replaced(ground: Ground) -> Iterator[Staged]:
    with _serving(ground, str(ground.bundles[0])) as (server, segments):
        before, old = _n_started(server), set(server.workers())
        yield Staged(
            server,
            segments,
            _WORKERS,
            break_it=lambda: os.kill(server.process.pid, signal.SIGHUP),
            is_back=lambda: _n_started(server) >= before + _WORKERS and not old & set(server.workers()),
        )


@contextmanager
def _drained(ground: Ground) -> Iterator[Staged]:
    with _serving(ground, str(ground.bundles[0])) as (server, segments):
        yield Staged(
            server,
            segments,
            _WORKERS,
            break_it=server.process.terminate,
            is_back=lambda: server.process.poll() is not None,
            leaves=lambda: not server.answers("/readyz"),
        )


@contextmanager
def _swapped(ground: Ground) -> Iterator[Staged]:
    store = ground.folder / "registry"
    with _following(ground, TrackingConfig(f"sqlite:///{store}/mlflow.db", store / "artifacts")) as (staged, promoted):
        yield Staged(staged[0], staged[1], _WORKERS, break_it=promoted, back_at=_all_by(ground.bundles[1]))


@contextmanager
def _mlflow_away(ground: Ground) -> Iterator[Staged]:
    mlflow = MlflowServer(ground.folder / "mlflow")
    mlflow.start()
    try:
        with _following(ground, TrackingConfig(mlflow.url)) as (staged, promoted):

            def mended() -> None:
                mlflow.start()
                promoted()

            yield Staged(
                staged[0],
                staged[1],
                _WORKERS,
                break_it=mlflow.kill,
                mend_it=mended,
                lasts_s=_RETURN_S,
                back_at=_all_by(ground.bundles[1]),
            )
    finally:
        mlflow.kill()


@contextmanager
def _following(
    ground: Ground, tracking: TrackingConfig
) -> Iterator[tuple[tuple[ServerProcess, Path], Callable[[], None]]]:
    """Yield a server that follows the champion, the first bundle, and what promotes the second one."""
    versions = [registered(bundle, tracking) for bundle in ground.bundles]
    promote(tracking, versions[0])
    settings = {
        "BEAST_TRACKING__URI": tracking.uri,
        "BEAST_TRACKING__ARTIFACTS": str(tracking.artifacts),
        "BEAST_CACHE_DIR": str(ground.folder / "cache"),
    }
    with _serving(ground, f"models:/{ROUTER}@{CHAMPION}", settings) as serving:
        yield serving, partial(_promote, tracking, versions[1])


def _promote(tracking: TrackingConfig, version: int) -> None:
    promote(tracking, version)


def _all_by(bundle: Path) -> Callable[[Sequence[Logged], float], float | None]:
    """Return what says when the last decision of another router was taken after a promotion."""
    version = verify(bundle).digest

    def at(rows: Sequence[Logged], promoted_at: float) -> float | None:
        def is_new(row: Logged) -> bool:
            return bool(row.policy_version) and version.startswith(row.policy_version)

        if not any(is_new(row) for row in rows):
            return None
        return max((row.at for row in rows if not is_new(row)), default=promoted_at)

    return at


class _Shared(Service, Protocol):
    @property
    def url(self) -> str: ...


@contextmanager
def _ledger_away(ground: Ground, service: _Shared, variable: str) -> Iterator[Staged]:
    """Budgets, keys and health are shared through a service that is killed and comes back."""
    service.start()
    try:
        with _serving(ground, str(ground.bundles[0]), {variable: service.url, "BEAST_BUDGETS": _BUDGETS}) as found:
            server, segments = found
            yield Staged(
                server,
                segments,
                _WORKERS,
                break_it=service.kill,
                mend_it=service.start,
                is_back=lambda: server.answers("/v1/budgets") and server.answers("/readyz"),
            )
    finally:
        service.kill()


@contextmanager
def _valkey_away(ground: Ground) -> Iterator[Staged]:
    with _ledger_away(ground, ValkeyServer(ground.folder / "valkey"), "BEAST_REDIS_URL") as staged:
        yield staged


@contextmanager
def _postgres_away(ground: Ground) -> Iterator[Staged]:
    postgres = PostgresServer()
    try:
        with _ledger_away(ground, postgres, "BEAST_DATABASE_URL") as staged:
            yield staged
    finally:
        postgres.close()


@contextmanager
def _replicated(ground: Ground, staged: Callable[[Replicas, Path], Staged]) -> Iterator[Staged]:
    """Stage replicas behind their proxy."""
    with replicas(ground.folder, ground.bundles[0], ground.cores) as found:
        yield staged(found, ground.folder / "replicas")


def _replica_killed(ground: Ground) -> AbstractContextManager[Staged]:
    def staged(found: Replicas, logs: Path) -> Staged:
        return Staged(
            found,
            logs,
            N_REPLICAS,
            break_it=lambda: found.kill(0),
            is_back=lambda: not found.is_up(0),
            kills=True,
        )

    return _replicated(ground, staged)


def _replica_drained(ground: Ground) -> AbstractContextManager[Staged]:
    def staged(found: Replicas, logs: Path) -> Staged:
        return Staged(found, logs, N_REPLICAS, break_it=lambda: found.drain(1), is_back=lambda: found.has_ended(1))

    return _replicated(ground, staged)


def _replicas_upgraded(ground: Ground) -> AbstractContextManager[Staged]:
    def staged(found: Replicas, logs: Path) -> Staged:
        return Staged(
            found,
            logs,
            N_REPLICAS,
            break_it=lambda: found.upgrade(ground.bundles[1]),
            is_back=lambda: all(found.is_up(which) for which in range(N_REPLICAS)),
            lasts_s=_UPGRADE_S,
        )

    return _replicated(ground, staged)


SCENES: Final[Mapping[str, Callable[[Ground], AbstractContextManager[Staged]]]] = {
    "hot swap": _swapped,
    "worker kill -9": _worker_killed,
    "SIGHUP replacement": _replaced,
    "SIGTERM drain": _drained,
    "MLflow outage": _mlflow_away,
    "Valkey outage": _valkey_away,
    "PostgreSQL outage": _postgres_away,
    "replica kill -9": _replica_killed,
    "replica drain": _replica_drained,
    "replicas upgraded": _replicas_upgraded,
}
"""Every fault: name -> what stages it."""
