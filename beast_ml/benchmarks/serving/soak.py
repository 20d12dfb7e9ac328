"""A long steady load: whether memory grows, whether anything fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import LoadPlan, LoadResult
from beast_ml.benchmarks.serving.processes import ServerProcess
from beast_ml.benchmarks.serving.subjects import Subject

__all__ = ["RATE", "Slope", "SoakResult", "memory_slope", "soak"]

RATE: Final = 500.0
"""Requests a second."""

_LOOKS: Final = 400
_MIN_LOOK_S: Final = 0.25
_SETTLING: Final = 0.2
_BLOCKS: Final = 20


class Slope(msgspec.Struct, frozen=True):
    """Growth in megabytes an hour, with its 95% interval.

    Parameters
    ----------
    mb_per_h, low, high
        In this order.
    """

    mb_per_h: float
    low: float
    high: float


class SoakResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak showed.

    Parameters
    ----------
    rate, minutes
        Of the load.
    load
        What the generator found.
    at_s, worker_mb, other_mb
        Memory of all workers, and of the server's other processes, at times from the start.
    slope
        Of the workers' memory after it has settled.
    """

    rate: float
    minutes: float
    load: LoadResult
    at_s: tuple[float, ...]
    worker_mb: tuple[float, ...]
    other_mb: tuple[float, ...]
    slope: Slope | None


def soak(
    subject: Subject,
    bodies: Path,
    minutes: float,
    cores: Sequence[int],
    folder: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    rate: float = RATE,
) -> SoakResult:
    """Return what steady load for some minutes shows; bodies are sent over and over.

    Raises
    ------
    UnavailableError
        If the server or the generator fails.
    """
    plan = LoadPlan(
        port=0, path="/v1/route", bodies=str(bodies), repeat=True, rate=rate, warm_s=1.0, measure_s=60 * minutes
    )
    with subject.start(folder, cores=cores[:1]) as server:
        watch = _Watch(server, max(60 * minutes / _LOOKS, _MIN_LOOK_S), lambda at: progress(int(at), int(60 * minutes)))
        driver = Driver(folder, cores[1:] or cores)
        with driver.start(msgspec.structs.replace(plan, port=server.port)) as running:
            running.wait_for("measuring")
            with watch:
                running.wait_for("measured")
            load = running.result()
    return SoakResult(
        rate=rate,
        minutes=minutes,
        load=load,
        at_s=tuple(watch.at_s),
        worker_mb=tuple(watch.worker_mb),
        other_mb=tuple(watch.other_mb),
        slope=memory_slope(watch.at_s, watch.worker_mb),
    )


class _Watch:
    """Looks at a server's memory from a thread."""

    def __init__(self, server: ServerProcess, every_s: float, told: Callable[[float], None]) -> None:
        self._server = server
        self._every_s = every_s
        self._told = told
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.at_s: list[float] = []
        self.worker_mb: list[float] = []
        self.other_mb: list[float] = []

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(self._every_s):
            usage, workers = self._server.usage(), set(self._server.workers())
            self.at_s.append(time.monotonic() - self._began)
            self.worker_mb.append(sum(used.rss_bytes for pid, used in usage.items() if pid in workers) / 1e6)
            self.other_mb.append(sum(used.rss_bytes for pid, used in usage.items() if pid not in workers) / 1e6)
            self._told(self.at_s[-1])


def memory_slope(at_s: Sequence[float], megabytes: Sequence[float]) -> Slope | None:
    """Return the growth of memory after its first fifth, while caches fill; None of too few looks.

    A line through the means of twenty blocks: neighbouring looks are not independent, blocks nearly are.

    Examples
    --------
    >>> memory_slope(range(100), [80.0] * 100)
    Slope(mb_per_h=0.0, low=0.0, high=0.0)
    """
    from scipy.stats import t

    times, values = np.asarray(at_s, dtype=float), np.asarray(megabytes, dtype=float)
    settled = times >= _SETTLING * (times[-1] if times.size else 0.0)
    times, values = times[settled], values[settled]
    if times.size < 2 * _BLOCKS:
        return None
    x = np.array([block.mean() for block in np.array_split(times, _BLOCKS)])
    y = np.array([block.mean() for block in np.array_split(values, _BLOCKS)])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    left = y - y.mean() - slope * centred
    half = float(t.ppf(0.975, _BLOCKS - 2) * np.sqrt(left @ left / (_BLOCKS - 2) / (centred @ centred)))
    return Slope(*(3600.0 * value for value in (slope, slope - half, slope + half)))
