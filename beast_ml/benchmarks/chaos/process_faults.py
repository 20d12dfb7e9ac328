"""kill -9: of a worker, the supervisor, everything at once, what the workers share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment, kill_all
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED

__all__ = ["PROCESS_FAULTS", "lacks"]

_HOST_DOWN: Final = frozenset({CLOSED, REFUSED})


def lacks(service: str) -> Callable[[Deployment], str | None]:
    """Return what says that a deployment has no such service."""
    return lambda deployment: None if service in deployment.networks else f"this deployment has no {service}"


def _kill_worker(deployment: Deployment, rng: np.random.Generator) -> None:
    kill_all([int(rng.choice(deployment.server.workers()))])


def _kill_supervisor(deployment: Deployment, _: np.random.Generator) -> None:
    os.kill(deployment.server.process.pid, signal.SIGKILL)
    deployment.server.process.wait()


def _kill_all(deployment: Deployment, _: np.random.Generator) -> None:
    deployment.server.kill()


def _kill_valkey(deployment: Deployment, _: np.random.Generator) -> None:
    if deployment.valkey is not None:
        deployment.valkey.kill()


def _start_valkey(deployment: Deployment) -> None:
    if deployment.valkey is not None:
        deployment.valkey.start()


def _kill_postgresql(deployment: Deployment, _: np.random.Generator) -> None:
    if deployment.postgres is not None:
        deployment.postgres.kill()


def _start_postgresql(deployment: Deployment) -> None:
    if deployment.postgres is not None:
        deployment.postgres.start()


PROCESS_FAULTS: Final = (
    Fault(
        "worker killed",
        "processes",
        "kill -9 of a worker drawn by chance; the supervisor starts another",
        _kill_worker,
        Rate(52),
        may=frozenset({CLOSED}),
    ),
    Fault(
        "supervisor killed",
        "processes",
        "kill -9 of the supervisor; its workers drain and end, and an init system starts the server again",
        _kill_supervisor,
        Rate(4),
        mend=Deployment.start_server,
        is_mended_at_once=True,
        may=_HOST_DOWN,
    ),
    Fault(
        "server killed",
        "processes",
        "kill -9 of all processes of the server at once; an init system starts it again",
        _kill_all,
        Rate(4),
        mend=Deployment.start_server,
        is_mended_at_once=True,
        may=_HOST_DOWN,
    ),
    Fault(
        "Valkey killed",
        "processes",
        "kill -9 of Valkey; it comes back with its append-only file",
        _kill_valkey,
        Rate(4, 30.0, "shared"),
        mend=_start_valkey,
        may=frozenset({503}),
        forbids=lacks("valkey"),
    ),
    Fault(
        "PostgreSQL killed",
        "processes",
        "immediate shutdown of PostgreSQL, all its processes; it comes back and recovers",
        _kill_postgresql,
        Rate(4, 60.0, "shared"),
        mend=_start_postgresql,
        may=frozenset({503}),
        forbids=lacks("postgresql"),
    ),
)
"""In the order of the report."""
