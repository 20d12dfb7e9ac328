"""What requests a second a server takes, and how long they take at half of that: one case a server, workers, bodies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from beast_ml.benchmarks.serving.drive import Driver, Measured
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import batches, routes, varied, write_bodies
from beast_ml.benchmarks.serving.router_bundle import feature_rows
from beast_ml.benchmarks.serving.subjects import Subject
from beast_ml.errors import UnavailableError

__all__ = ["BATCH", "Bodies", "Case", "CaseResult", "Effort", "Repeat", "Spread", "measure_case", "spread", "write_all"]

BATCH: Final = 64
"""Requests of a batch."""

_MOST_BATCHED: Final = 50_000
_BATCH_CONNECTIONS: Final = 8
_N_SEEN: Final = 256
_LATENCY_SHARE: Final = 0.5

BodyKind = Literal["unseen", "seen", "features", "batch"]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Parameters
    ----------
    seconds
        Of each measurement.
    warm_s
        Before it.
    repeats
        Of everything, each on a fresh server; medians are reported.
    connections
        Kept alive by the generator.
    """

    seconds: float
    warm_s: float
    repeats: int
    connections: int = 64

    def n_bodies(self, most_per_s: float) -> int:
        """Return how many bodies a repetition needs at most, none twice."""
        return math.ceil((1 + _LATENCY_SHARE) * (2 * self.warm_s + self.seconds) * most_per_s) + 1000


@dataclass(frozen=True)
class Bodies:
    """A file of bodies.

    Parameters
    ----------
    path
        The file.
    repeat
        Whether it is sent over and over.
    decisions
        In each body.
    connections
        That send them; None: as many as the effort says.
    """

    path: Path
    repeat: bool = False
    decisions: int = 1
    connections: int | None = None


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Parameters
    ----------
    name
        In reports and files.
    subject
        The server.
    bodies
        What is posted.
    path
        Where to.
    workers
        Processes that answer.
    """

    name: str
    subject: Subject
    bodies: Bodies
    path: str = "/v1/route"
    workers: int = 1


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition.

    Parameters
    ----------
    ready_s
        From the start of the server to its readiness.
    full
        As many requests as it takes, closed loop.
    half
        At half of that, open loop.
    """

    ready_s: float
    full: Measured
    half: Measured


class Spread(msgspec.Struct, frozen=True):
    """The median of repetitions, the lowest and the highest.

    Parameters
    ----------
    low, high
        The extremes.
    """

    median: float
    low: float
    high: float


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a case.

    Parameters
    ----------
    name, workers, decisions
        The case, its workers, and the decisions of each of its requests.
    repeats
        Each repetition.
    """

    name: str
    workers: int
    decisions: int
    repeats: tuple[Repeat, ...]

    def of(self, what: Callable[[Repeat], float]) -> Spread:
        """Return a figure over the repetitions."""
        return spread([what(each) for each in self.repeats])

    @property
    def per_s(self) -> Spread:
        """Decisions a second."""
        return self.of(lambda each: each.full.load.per_s * self.decisions)

    @property
    def failed(self) -> int:
        """Requests that were not answered with 2xx."""
        return sum(measured.load.failed for each in self.repeats for measured in (each.full, each.half))


def spread(values: Sequence[float]) -> Spread:
    """Return the median of some values, and their ends.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """
    return Spread(statistics.median(values), min(values), max(values))


def write_all(folder: Path, base: Sequence[str], bundle: Path, n_prompts: int) -> dict[BodyKind, Bodies]:
    """Write the bodies of every kind, and return where they are."""

    def written(kind: BodyKind, bodies: Iterator[dict[str, Any]], **known: Any) -> Bodies:
        path = folder / f"{kind}.jsonl"
        write_bodies(path, bodies)
        return Bodies(path, **known)

    few = list(base[:_N_SEEN])
    rows = feature_rows(bundle, few)
    return {
        "unseen": written("unseen", routes(varied(base, n_prompts))),
        "seen": written("seen", routes(few), repeat=True),
        "features": written("features", ({"features": row} for row in rows), repeat=True),
        "batch": written(  # batches remember no prompts, so bodies may repeat
            "batch",
            batches(varied(base, min(n_prompts, _MOST_BATCHED)), BATCH),
            decisions=BATCH,
            connections=_BATCH_CONNECTIONS,
            repeat=True,
        ),
    }


def measure_case(case: Case, effort: Effort, cores: Sequence[int], folder: Path, *, wrk: bool) -> CaseResult:
    """Return what a case's server takes, repetition by repetition.

    A server of n workers runs on the first n cores, the generator on the others, or on all where there are no others.

    Raises
    ------
    InputError, UnavailableError
        If the server or the generator fails, or bodies run out.
    """
    n_cores = min(case.workers, len(cores))
    driver = Driver(folder, cores[n_cores:] or cores, wrk=wrk)
    return CaseResult(
        name=case.name,
        workers=case.workers,
        decisions=case.bodies.decisions,
        repeats=tuple(
            _repeat(case, effort, driver, cores[:n_cores], folder / f"repeat-{i}") for i in range(effort.repeats)
        ),
    )


def _repeat(case: Case, effort: Effort, driver: Driver, cores: Sequence[int], folder: Path) -> Repeat:
    plan = LoadPlan(
        port=0,
        path=case.path,
        bodies=str(case.bodies.path),
        repeat=case.bodies.repeat,
        connections=case.bodies.connections or effort.connections,
        warm_s=effort.warm_s,
        measure_s=effort.seconds,
    )
    with case.subject.start(folder, workers=case.workers, cores=cores) as server:
        plan = msgspec.structs.replace(plan, port=server.port)
        full = driver.drive(server, plan)
        if not full.load.answered:
            raise UnavailableError(f"{case.subject.name} answered nothing on {case.path}: {full.load.failures}")
        rate = full.load.per_s * _LATENCY_SHARE
        half = driver.drive(server, msgspec.structs.replace(plan, skip=full.load.used, rate=rate))
        return Repeat(ready_s=server.ready_s, full=full, half=half)
