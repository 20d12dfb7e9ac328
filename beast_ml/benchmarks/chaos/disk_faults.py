"""Disks that are full, slow, hang, or fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.disks import LoopDisk, limited_files
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED
from beast_ml.errors import UnavailableError

__all__ = ["DISK_FAULTS"]

_SLOW_BYTES_PER_S: Final = 20_000


def _disk(deployment: Deployment) -> LoopDisk:
    if deployment.disk is None:
        raise UnavailableError(deployment.why_no_disk or "the state has no disk of its own")
    return deployment.disk


def _on_disk(what: Callable[[LoopDisk], None]) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: what(_disk(deployment))


def _needs(why_not: Callable[[LoopDisk], str | None] = lambda _: None) -> Callable[[Deployment], str | None]:
    """Return what says why a deployment's disk cannot do something."""
    return lambda deployment: deployment.why_no_disk if deployment.disk is None else why_not(deployment.disk)


def _limit(deployment: Deployment, _: np.random.Generator) -> None:
    limited_files(deployment.server.workers(), 0)


def _unlimit(deployment: Deployment) -> None:
    limited_files(deployment.server.workers(), None)


def _fail(deployment: Deployment, _: np.random.Generator) -> None:
    deployment.failed_at.append(time.monotonic())
    _disk(deployment).fail()


def _repair(deployment: Deployment) -> None:
    """Do what an operator does whose disk went read-only: stop, check, mount, start."""
    deployment.stop_server()
    _disk(deployment).repair()
    deployment.start_server()


DISK_FAULTS: Final = (
    Fault(
        "disk full",
        "disk",
        "the file system of the state folder is filled to its last byte, then room is made",
        _on_disk(LoopDisk.fill),
        Rate(1, 900.0),
        mend=lambda deployment: _disk(deployment).make_room(),
        may=frozenset({503}),
        forbids=_needs(),
    ),
    Fault(
        "files limited",
        "disk",
        "no worker may write to any file (RLIMIT_FSIZE of 0, as under a quota), then it may again",
        _limit,
        Rate(0.5, 900.0),
        mend=_unlimit,
        may=frozenset({503}),
    ),
    Fault(
        "disk read-only",
        "disk",
        "the file system meets an error and takes nothing more; then: stop, check it, mount it, start",
        _fail,
        Rate(0.2, 1800.0),
        mend=_repair,
        may=frozenset({503, CLOSED, REFUSED}),
        forbids=_needs(lambda disk: disk.why_not_failing),
    ),
    Fault(
        "disk slow",
        "disk",
        f"the disk takes {_SLOW_BYTES_PER_S // 1000} kB/s",
        _on_disk(lambda disk: disk.slow(_SLOW_BYTES_PER_S)),
        Rate(4, 600.0),
        mend=lambda deployment: _disk(deployment).slow(0),
        forbids=_needs(lambda disk: disk.why_not_slow),
    ),
    Fault(
        "disk hangs",
        "disk",
        "every write waits (the file system is frozen), then goes on",
        _on_disk(LoopDisk.hang),
        Rate(2, 10.0),
        mend=lambda deployment: _disk(deployment).thaw(),
        may=frozenset({CLOSED}),
        forbids=_needs(),
    ),
)
"""In the order of the report."""
