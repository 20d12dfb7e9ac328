"""What the cost of one worker predicts, beside what is measured: p95 at half capacity, and two workers."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.scale.cost_model import Check
from beast_ml.benchmarks.scale.cost_part import START_S, Ground
from beast_ml.benchmarks.scale.paths import PATHS, bodies_of
from beast_ml.benchmarks.scale.queueing import response_us
from beast_ml.benchmarks.serving.cases import spread
from beast_ml.benchmarks.serving.drive import Driver, Measured
from beast_ml.benchmarks.serving.load_plan import LoadPlan, Records
from beast_ml.benchmarks.serving.subjects import beast
from beast_ml.errors import UnavailableError
from beast_ml.logs.segments import OPEN_SUFFIX, SEALED_SUFFIX

__all__ = ["Checked", "compaction_us", "measure_checks", "predicted_p95_us", "predicted_per_s"]

_LOW: Final = 0.05
_HALF: Final = 0.5
_MANY: Final = 64
_GRID: Final = np.linspace(0.0, 1.0, 201)
_N_ROWS: Final = 20_000
_ID: Final = re.compile(rb'"request_id":"[^"]*"')


@dataclass(frozen=True)
class Checked:
    """What was checked, and the latencies that plans draw from.

    Parameters
    ----------
    checks
        Predictions beside what was measured.
    latency_us, latency_mean_us
        See `CostModel`.
    segments
        Folders of the request log that was written meanwhile.
    """

    checks: tuple[Check, ...]
    latency_us: tuple[float, ...]
    latency_mean_us: float
    segments: tuple[str, ...]


def predicted_p95_us(latency_us: NDArray[np.float64], mean_us: float, service_us: float, load: float) -> float:
    """Return the p95 of the latency at some load, from what requests take that meet no other.

    The time that a request occupies the worker for is its CPU time on the mean, and varies as the latency of lonely
    requests does; what the latency has beyond it (sockets, the generator) is added.

    Parameters
    ----------
    latency_us
        Quantiles of the latency of lonely requests at even distances.
    mean_us
        Its mean.
    service_us
        CPU time of the worker a request.
    load
        Share of its time that the worker is busy.
    """
    return response_us(latency_us * (service_us / mean_us), load) + max(mean_us - service_us, 0.0)


def predicted_per_s(worker_us: float, generator_us: float, workers: int, cores: int) -> float:
    """Return the requests a second of some workers, when the generator needs its part of the same cores.

    Parameters
    ----------
    worker_us, generator_us
        CPU time a request.
    workers, cores
        How many.

    Examples
    --------
    >>> predicted_per_s(200.0, 50.0, workers=2, cores=2)
    8000.0
    >>> predicted_per_s(200.0, 50.0, workers=2, cores=4)
    10000.0
    """
    return min(workers * 1e6 / worker_us, cores * 1e6 / (worker_us + generator_us))


def measure_checks(ground: Ground, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Checked:
    """Return what the model predicts of unseen prompts, and what is measured, on servers without services.

    Raises
    ------
    InputError, UnavailableError
        If a server or the generator fails.
    """
    n_repeats = ground.effort.repeats
    ones, twos = [], []
    for i in range(n_repeats):
        progress(i, n_repeats)
        ones.append(_one_worker(replace(ground, folder=ground.folder / f"one-{i}")))
        if len(ground.cores) > 1:
            twos.append(_two_workers(replace(ground, folder=ground.folder / f"two-{i}")))
    progress(n_repeats, n_repeats)
    latency = np.concatenate([each.lonely_us for each in ones])
    grid, mean_us = np.quantile(latency, _GRID), float(latency.mean())
    service_us = spread([each.full.worker_cpu_us for each in ones]).median
    halves = [each.half.load.latency.p95_us for each in ones if each.half.load.latency is not None]
    loads = [each.half.load.per_s * service_us / 1e6 for each in ones]
    checks = [
        Check(
            what="p95 of unseen prompts at half capacity, ms",
            predicted=predicted_p95_us(grid, mean_us, service_us, min(float(np.median(loads)), 0.98)) / 1e3,
            measured=spread([value / 1e3 for value in halves]),
        )
    ]
    if twos:
        generator_us = spread([each.load.generator_cpu_us or 0.0 for each in twos]).median
        checks.append(
            Check(
                what="unseen prompts a second, two workers",
                predicted=predicted_per_s(service_us, generator_us, 2, len(ground.cores)),
                measured=spread([each.load.per_s for each in twos]),
            )
        )
        checks.append(
            Check(
                what="CPU us of the workers an unseen prompt, two workers",
                predicted=service_us,
                measured=spread([each.worker_cpu_us for each in twos]),
            )
        )
    folders = tuple(str(each) for each in sorted(ground.folder.rglob("segments")))
    return Checked(tuple(checks), tuple(grid.tolist()), mean_us, folders)


@dataclass(frozen=True)
class _OneWorker:
    full: Measured
    half: Measured
    lonely_us: NDArray[np.float64]


def _one_worker(ground: Ground) -> _OneWorker:
    plan, driver = _plan(ground), Driver(ground.folder, ground.others)
    with beast(str(ground.bundle)).start(ground.folder, cores=ground.cores[:1], within_s=START_S) as server:
        plan = msgspec.structs.replace(plan, port=server.port)
        full = driver.drive(server, plan)
        if not full.load.answered:
            raise UnavailableError(f"unseen: nothing was answered: {full.load.failures}")
        n_sent, per_s = full.load.used, full.load.per_s
        half = driver.drive(server, msgspec.structs.replace(plan, skip=n_sent, rate=_HALF * per_s))
        records = ground.folder / "records.npz"
        lonely = msgspec.structs.replace(
            plan, skip=n_sent + half.load.used, rate=_LOW * per_s, records=str(records), seed=1
        )
        driver.drive(server, lonely)
        found = Records.load(str(records))
    kept = found.answered & found.measured
    return _OneWorker(full, half, (found.done_s - found.due_s)[kept] * 1e6)


def _two_workers(ground: Ground) -> Measured:
    driver = Driver(ground.folder, ground.cores)
    with beast(str(ground.bundle)).start(ground.folder, workers=2, cores=ground.cores, within_s=START_S) as server:
        return driver.drive(server, msgspec.structs.replace(_plan(ground), port=server.port))


def _plan(ground: Ground) -> LoadPlan:
    bodies = bodies_of(PATHS["unseen"], ground.bodies, ground.base, ground.n_new(PATHS["unseen"]))
    return LoadPlan(
        port=0,
        path=PATHS["unseen"].url,
        bodies=str(bodies),
        connections=_MANY,
        warm_s=ground.effort.warm_s,
        measure_s=ground.effort.seconds,
    )


def compaction_us(segments: Sequence[Path], folder: Path) -> float | None:
    """Return the CPU time that `beast logs compact` takes for a row, less what it takes for none; None without rows.

    Parameters
    ----------
    segments
        Folders of a request log that nobody writes any more.
    folder
        For what it compacts, and the stores that it makes.

    The rows are those of the log, over and over under other ids: as many as say more than the start of a process does.

    Raises
    ------
    UnavailableError
        If it fails.
    """
    found = [path for each in segments for path in sorted(each.rglob("*.jsonl")) if path.stat().st_size]
    if not found:
        return None
    empty, grown = folder / "empty", folder / "grown"
    for each in (empty, grown):
        each.mkdir(parents=True, exist_ok=True)
    largest = max(found, key=lambda path: path.stat().st_size)
    rows = [line for line in largest.read_bytes().splitlines() if line.endswith(b"}")]
    with (grown / largest.name.replace(OPEN_SUFFIX, SEALED_SUFFIX)).open("wb") as file:
        for i in range(_N_ROWS):
            file.write(_ID.sub(b'"request_id":"req-%d"' % i, rows[i % len(rows)], count=1) + b"\n")
    nothing = _compacting_us(empty, folder / "nothing")
    return max(_compacting_us(grown, folder / "store") - nothing, 0.0) / _N_ROWS


def _compacting_us(segments: Path, store: Path) -> float:
    options = ["--segments", str(segments), "--store", str(store), "--quarantine", str(store / "refused")]
    command = [sys.executable, "-m", "beast_ml.cli", "logs", "compact", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=store.parent)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise UnavailableError(f"beast logs compact failed: {ended.stderr[-500:]}")
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e6
