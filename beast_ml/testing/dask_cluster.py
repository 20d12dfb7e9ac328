"""A Dask cluster for tests: a scheduler and workers, each a process of its own, started as an operator does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["DaskCluster", "dask_cluster"]

_START_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True)
class DaskCluster:
    """A running cluster.

    Parameters
    ----------
    address
        Of its scheduler.
    scheduler, workers
        The processes; a worker's is the one that starts it again when it dies.
    """

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def dask_cluster(folder: Path, n_workers: int = 2, environment: dict[str, str] | None = None) -> Iterator[DaskCluster]:
    """Give a scheduler with workers of one thread each; all are ended with the block.

    Parameters
    ----------
    folder
        For their files and logs.
    n_workers
        How many workers.
    environment
        What of the environment is other for the workers.
    """
    from distributed import Client

    told = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(told)]
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {}), "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "spawn"},
            )
        processes.append(process)
        return process

    try:
        scheduler = start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", *common)
        address = _address(told)
        workers = tuple(
            start(f"worker-{i}", "worker", *common, "--nthreads", "1", "--local-directory", str(folder))
            for i in range(n_workers)
        )
        with Client(address, timeout=_START_S, set_as_default=False) as client:
            client.wait_for_workers(n_workers, timeout=_START_S)
        yield DaskCluster(address, scheduler, workers)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(told: Path) -> str:
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends:
        try:
            address: str = msgspec.json.decode(told.read_bytes())["address"]
        except (FileNotFoundError, msgspec.DecodeError):  # not there yet, or half written
            time.sleep(_LOOK_EVERY_S)
        else:
            return address
    raise TimeoutError(f"no scheduler within {_START_S:g} s: see {told.parent}/scheduler.log")
