"""Measures what requests cost: a real server a deployment and repetition, path after path, beside a bare echo."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from beast_ml.benchmarks.scale.cost_model import COLUMNS, Deployment, PathCost
from beast_ml.benchmarks.scale.deployments import Services, cache_environment, deployed
from beast_ml.benchmarks.scale.meters import Meters, spent
from beast_ml.benchmarks.scale.paths import CACHED_PATHS, PATHS, MeasuredPath, bodies_of, chosen_paths
from beast_ml.benchmarks.serving.cases import Effort, Spread, spread
from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.gateway_part import provider, with_endpoints
from beast_ml.benchmarks.serving.load_plan import LoadPlan, LoadResult
from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.benchmarks.serving.subjects import Subject, echo
from beast_ml.errors import InputError, UnavailableError

__all__ = ["START_S", "Ground", "PathRun", "drive_path", "less_idle", "measure_deployment", "with_environment"]

_CONNECTIONS: Final = 16
_MOST_DECIDED_PER_S: Final = 8_000.0  # new prompts a second that bodies are made for, decided ...
_MOST_CALLED_PER_S: Final = 2_000.0  # ... and called
_SPARE: Final = 1.15
START_S: Final = 240.0
"""Seconds that a server may take to start: what is measured is CPU time, so the machine need not be quiet."""

_ECHO: Final = MeasuredPath("echo", "/", "new")


@dataclass(frozen=True)
class Ground:
    """What every measurement needs.

    Parameters
    ----------
    bundle
        The router that is served.
    base
        Different prompts.
    effort
        How much is measured.
    cores
        To run on: the server on the first, all else on the others, where there are others.
    folder
        For state and logs.
    bodies
        For what is posted.
    trained
        Folder of a trained cache, so that alike requests are looked for; None: only equal ones.
    """

    bundle: Path
    base: Sequence[str]
    effort: Effort
    cores: Sequence[int]
    folder: Path
    bodies: Path
    trained: Path | None = None

    @property
    def others(self) -> Sequence[int]:
        """The cores of what is no server."""
        return self.cores[1:] or self.cores

    def n_new(self, path: MeasuredPath, turns: int = 1) -> int:
        """Return how many new prompts one server may need, on all paths of a path's kind."""
        called = 2 * _MOST_CALLED_PER_S  # whole and streamed
        per_s = called if path in CACHED_PATHS else called + _MOST_DECIDED_PER_S
        return math.ceil(_SPARE * turns * per_s * (self.effort.warm_s + self.effort.seconds)) + 1000


@dataclass(frozen=True)
class PathRun:
    """One measurement of a path.

    Parameters
    ----------
    load
        What the generator found.
    used
        By a request, in the names of `COLUMNS`.
    """

    load: LoadResult
    used: Mapping[str, float]


def with_environment(subject: Subject, *more: Mapping[str, str]) -> Subject:
    """Return a server with more in its environment."""
    return replace(
        subject, environment={name: value for each in (subject.environment, *more) for name, value in each.items()}
    )


def drive_path(
    driver: Driver,
    server: ServerProcess,
    path: MeasuredPath,
    bodies: Path,
    effort: Effort,
    *,
    read: Callable[[], dict[str, float]],
    ids: Path | None = None,
    skip: int = 0,
    headers: Mapping[str, str] | None = None,
) -> PathRun:
    """Return what a path's requests use, closed loop.

    Parameters
    ----------
    driver
        Sends them.
    server
        Answers.
    path
        Where to.
    bodies
        File of what is posted.
    effort
        How long.
    read
        Reads the meters.
    ids
        File for the ids of decisions.
    skip
        Bodies that were sent before.
    headers
        Beside content type and length.

    Raises
    ------
    InputError, UnavailableError
        If the generator fails, or nothing is answered.
    """
    plan = LoadPlan(
        port=server.port,
        path=path.url,
        bodies=str(bodies),
        skip=skip,
        repeat=path.sends != "new",
        connections=_CONNECTIONS,
        warm_s=effort.warm_s,
        measure_s=effort.seconds,
        headers=dict(headers or {}),
        ids=None if ids is None else str(ids),
    )
    with driver.start(plan) as running:
        running.wait_for("measuring")
        before = read()
        running.wait_for("measured")
        after = read()
        load = running.result()
    if not load.answered:
        raise UnavailableError(f"{path.name}: no request of {path.url} was answered with 2xx: {load.failures}")
    used = spent(before, after, load.answered)
    return PathRun(load, used | {"request_bytes": load.request_bytes or 0.0, "answer_bytes": load.answer_bytes or 0.0})


@dataclass(frozen=True)
class _Session:
    runs: Mapping[str, PathRun]
    idle: Mapping[str, float]
    worker_mb: float
    others_mb: float
    entry_bytes: Mapping[str, float]


@dataclass(frozen=True)
class _Repeat(_Session):
    echo_us: float


def measure_deployment(
    name: str, paths: Sequence[str], ground: Ground, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[Deployment, Spread]:
    """Return what requests cost in a deployment, and what an echo costs.

    Raises
    ------
    InputError, MissingExtraError, UnavailableError
        If a server, a service or the generator fails.
    """
    repeats = []
    for i in range(ground.effort.repeats):
        progress(i, ground.effort.repeats)
        repeats.append(_repeat(name, paths, replace(ground, folder=ground.folder / f"repeat-{i}")))
    progress(ground.effort.repeats, ground.effort.repeats)

    def over(what: Callable[[_Repeat], float]) -> Spread:
        return spread([what(each) for each in repeats])

    deployment = Deployment(
        name=name,
        paths=tuple(_path_cost(path, repeats) for path in repeats[0].runs),
        idle={column: spread([each.idle[column] for each in repeats]) for column in repeats[0].idle},
        worker_mb=over(lambda each: each.worker_mb),
        others_mb=over(lambda each: each.others_mb),
        entry_bytes={
            where: spread([each.entry_bytes[where] for each in repeats]).median for where in repeats[0].entry_bytes
        },
    )
    return deployment, over(lambda each: each.echo_us)


def _repeat(name: str, paths: Sequence[str], ground: Ground) -> _Repeat:
    folder, port = ground.folder, free_port()
    driver = Driver(folder, ground.others)
    with ExitStack() as stack:
        services = stack.enter_context(deployed(name, folder))
        stack.enter_context(provider().start(folder, cores=ground.others, port=port, within_s=START_S))
        echo_us = _echo_us(driver, ground)
        plain = with_environment(with_endpoints(ground.bundle, port), services.environment)
        servers = (("plain", plain), ("cached", with_environment(plain, cache_environment(ground.trained))))
        sessions = [
            _session(server, asked, services, ground, driver, folder / kind)
            for (kind, server), asked in zip(servers, chosen_paths(paths), strict=True)
            if asked
        ]
    if not sessions:
        raise InputError(f"no path to measure: there are {', '.join(PATHS)}")
    return _Repeat(
        echo_us=echo_us,
        runs={path: run for each in sessions for path, run in each.runs.items()},
        idle=sessions[0].idle,
        worker_mb=sessions[-1].worker_mb,
        others_mb=sessions[-1].others_mb,
        entry_bytes=sessions[-1].entry_bytes,
    )


def _echo_us(driver: Driver, ground: Ground) -> float:
    bodies = bodies_of(PATHS["unseen"], ground.bodies, ground.base, ground.n_new(PATHS["unseen"]))
    with echo().start(ground.folder, cores=ground.cores[:1], within_s=START_S) as bare:

        def read() -> dict[str, float]:
            return {"worker_us": sum(used.cpu_s for used in bare.usage().values()) * 1e6}

        # An echo has no memory, so bodies may repeat for it.
        again = replace(_ECHO, sends="again")
        return drive_path(driver, bare, again, bodies, ground.effort, read=read).used["worker_us"]


def _session(
    subject: Subject,
    paths: Sequence[MeasuredPath],
    services: Services,
    ground: Ground,
    driver: Driver,
    folder: Path,
) -> _Session:
    """Measure one path after the other on one server, which has done none of them before."""
    runs: dict[str, PathRun] = {}
    entries: dict[str, float] = {}
    ids, n_sent = folder / "ids.txt", 0
    with (
        subject.start(folder, cores=ground.cores[:1], within_s=START_S) as server,
        Meters(server, folder / "state", services) as meters,
    ):

        def drive(path: MeasuredPath, told: Sequence[str] = (), **known: Any) -> PathRun:
            bodies = bodies_of(path, ground.bodies, ground.base, ground.n_new(path), told)
            run = drive_path(driver, server, path, bodies, read=meters.read, **{"effort": ground.effort, **known})
            return replace(run, used=less_idle(run.used, idle, run.load.per_s))

        idle = _idle(meters, ground.effort)
        for path in paths:
            before = meters.stored_bytes()
            if path.sends == "new":
                runs[path.name] = drive(path, skip=n_sent)
                n_sent += runs[path.name].load.used  # every file has the same prompts in the same order
            elif path.sends == "again":
                if path in CACHED_PATHS:  # fills the cache
                    drive(path, effort=replace(ground.effort, warm_s=0.0))
                runs[path.name] = drive(path)
            else:
                if not ids.is_file():
                    drive(PATHS["seen"], ids=ids)
                runs[path.name] = drive(path, ids.read_text().split())
            if path.name == "miss":
                after, n_stored = meters.stored_bytes(), max(runs[path.name].load.used, 1)
                entries = {where: max(after[where] - before[where], 0.0) / n_stored for where in after}
        worker_mb, others_mb = meters.resident_mb()
    return _Session(runs, idle, worker_mb, others_mb, entries)


def less_idle(used: Mapping[str, float], idle: Mapping[str, float], per_s: float) -> dict[str, float]:
    """Return what requests use, without what the server uses a second without any.

    The worker's own time is left as it is, as others report it.

    Examples
    --------
    >>> less_idle({"worker_us": 100.0, "valkey_us": 7.0}, {"worker_us": 1000.0, "valkey_us": 500.0}, 100.0)
    {'worker_us': 100.0, 'valkey_us': 2.0}
    """
    return {
        name: value if name in ("worker_us", "log_bytes") else max(value - idle.get(name, 0.0) / per_s, 0.0)
        for name, value in used.items()
    }


def _idle(meters: Meters, effort: Effort) -> dict[str, float]:
    began, before = time.monotonic(), meters.read()
    time.sleep(effort.seconds)
    after = meters.read()
    return spent(before, after, time.monotonic() - began)


def _path_cost(path: str, repeats: Sequence[_Repeat]) -> PathCost:
    runs = [each.runs[path] for each in repeats]
    return PathCost(
        path=path,
        figures={column: spread([run.used[column] for run in runs]) for column in COLUMNS if column in runs[0].used},
        echoes=spread([run.used["worker_us"] / each.echo_us for run, each in zip(runs, repeats, strict=True)]),
        per_s=spread([run.load.per_s for run in runs]),
        failed=sum(run.load.failed for run in runs),
    )
