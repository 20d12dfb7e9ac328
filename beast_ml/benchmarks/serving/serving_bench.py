"""One run of the load suite: case after case, each kept as soon as it is measured."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

from beast_ml.benchmarks.kept_measurements import KeptMeasurements
from beast_ml.benchmarks.serving.cases import (
    Bodies,
    BodyKind,
    Case,
    CaseResult,
    Effort,
    measure_case,
    write_all,
)
from beast_ml.benchmarks.serving.fault_scenes import SCENES
from beast_ml.benchmarks.serving.faults import FaultResult, Ground, Timing, run_fault
from beast_ml.benchmarks.serving.gateway_part import GatewayResult, measure_gateway
from beast_ml.benchmarks.serving.hit_part import HitResult, measure_hits
from beast_ml.benchmarks.serving.payloads import base_prompts, routes, varied, write_bodies
from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
from beast_ml.benchmarks.serving.soak import SoakResult, soak
from beast_ml.benchmarks.serving.subjects import Subject, beast, echo, litellm
from beast_ml.errors import BeastError, InputError, MissingExtraError, ServingError

__all__ = ["PARTS", "ServingBench", "ServingConfig", "ServingResult", "choose"]

PARTS: Final = ("capacity", "gateway", "hit", "faults", "soak")
"""What can be measured, in the order of reports."""

ECHO_BEFORE: Final = "echo, before"
ECHO_AFTER: Final = "echo, after"
LITELLM: Final = "LiteLLM's router, mocked responses"

_MOST_PER_S: Final = 10_000.0  # unseen prompts a second and worker that bodies are made for
_SOAK_BODIES: Final = 300_000
_FAULT_BODIES: Final = 20_000

T = TypeVar("T")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ServingConfig:
    """What to run.

    Parameters
    ----------
    parts
        Of `PARTS`.
    effort
        How much is measured of each case.
    workers
        Most workers; capacity is measured with 1, 2, ... of them.
    wrk
        Whether wrk drives closed loops.
    litellm
        A Python that has LiteLLM, or None.
    soak_minutes, soak_rate
        Length of the soak, and its requests a second.
    faults
        Names of faults.
    timing
        Of the faults.
    data
        Folder of public outcome sets to take prompts from, or None.
    out
        Folder for results.
    cores
        To run on.
    """

    parts: tuple[str, ...]
    effort: Effort
    workers: int
    wrk: bool
    litellm: Path | None
    soak_minutes: float
    soak_rate: float
    faults: tuple[str, ...]
    timing: Timing
    data: Path | None
    out: Path
    cores: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(os.sched_getaffinity(0))))


@dataclass(frozen=True)
class ServingResult:
    """All of a run; what was not measured is empty or None, and ``left_out`` says why.

    Parameters
    ----------
    cases, gateway, faults, soak, hit
        One a part.
    seconds
        The run took.
    """

    cases: tuple[CaseResult, ...]
    gateway: tuple[GatewayResult, ...]
    faults: tuple[FaultResult, ...]
    soak: SoakResult | None
    left_out: Mapping[str, str]
    seconds: float
    hit: HitResult | None = None

    def case(self, name: str, workers: int = 1) -> CaseResult | None:
        """Return a case, or None where it was not measured."""
        return next((each for each in self.cases if (each.name, each.workers) == (name, workers)), None)


class ServingBench:
    """Runs what a configuration asks for.

    Parameters
    ----------
    config
        What to run.
    say
        Called with what is being done.
    progress
        Called with (what, steps done, steps in all).
    """

    def __init__(
        self,
        config: ServingConfig,
        say: Callable[[str], None] = lambda _: None,
        progress: Progress = lambda _what, _done, _total: None,
    ) -> None:
        self._config = config
        self._say = say
        self._progress = progress
        self._kept_here = KeptMeasurements(config.out, "cases", say)
        self._left_out = self._kept_here.left_out

    def run(self) -> ServingResult:
        """Measure everything.

        Raises
        ------
        UnavailableError
            If the bare echo cannot be measured: then nothing can.
        """
        config, began = self._config, time.perf_counter()
        cases = tuple(self._cases()) if "capacity" in config.parts else ()
        gateway = tuple(self._gateway()) if "gateway" in config.parts else ()
        hit = self._hit() if "hit" in config.parts else None
        faults = tuple(self._faults()) if "faults" in config.parts else ()
        soaked = self._soak() if "soak" in config.parts and config.soak_minutes else None
        return ServingResult(cases, gateway, faults, soaked, self._left_out, time.perf_counter() - began, hit)

    # What all parts need is made when the first one asks for it: a run that goes on may need none of it.

    @cached_property
    def _bundle(self) -> Path:
        self._say("fitting the router that is served (once)")
        return quickstart_bundle(self._config.out)

    @cached_property
    def _base(self) -> list[str]:
        return base_prompts(self._config.data)

    @cached_property
    def _bodies(self) -> dict[BodyKind, Bodies]:
        most = self._config.effort.n_bodies(_MOST_PER_S * self._config.workers)
        return write_all(self._config.out / "bodies", self._base, self._bundle, most)

    def _cases(self) -> list[CaseResult]:
        config = self._config
        counts = range(1, config.workers + 1)
        # An echo has no memory, so bodies may repeat for it.
        planned: list[tuple[str, Callable[[], tuple[Subject, Bodies]], str, int]] = [
            (ECHO_BEFORE, self._echo, "/", workers) for workers in counts
        ]
        for kind in ("unseen", "seen", "features", "batch"):
            path = "/v1/route/batch" if kind == "batch" else "/v1/route"
            planned += [(kind, self._beast_with(kind), path, workers) for workers in counts]
        if config.litellm is not None:
            python = config.litellm
            planned.append((LITELLM, lambda: (litellm(python), self._again("unseen")), "/", 1))
        planned += [(ECHO_AFTER, self._echo, "/", workers) for workers in counts]
        found = []
        for i, (name, what, path, workers) in enumerate(planned):
            self._progress("capacity", i, len(planned))
            label = f"{name}, {workers} worker{'s' * (workers > 1)}"

            def measure(
                name: str = name,
                what: Callable[[], tuple[Subject, Bodies]] = what,
                path: str = path,
                workers: int = workers,
            ) -> CaseResult:
                subject, bodies = what()
                case = Case(name, subject, bodies, path, workers)
                folder = self._scratch(f"{name}-{workers}")
                return measure_case(case, config.effort, config.cores, folder, wrk=config.wrk)

            one = self._kept(label, {"litellm": str(config.litellm)} if name == LITELLM else {}, CaseResult, measure)
            found += [one] if one is not None else []
        self._progress("capacity", len(planned), len(planned))
        return found

    def _echo(self) -> tuple[Subject, Bodies]:
        return echo(), self._again("unseen")

    def _again(self, kind: BodyKind) -> Bodies:
        return Bodies(self._bodies[kind].path, repeat=True)

    def _beast_with(self, kind: BodyKind) -> Callable[[], tuple[Subject, Bodies]]:
        return lambda: (beast(str(self._bundle)), self._bodies[kind])

    def _gateway(self) -> list[GatewayResult]:
        config, found = self._config, []
        for stream in (False, True):
            label = "gateway, streamed" if stream else "gateway"

            def measure(stream: bool = stream, label: str = label) -> GatewayResult:
                folder = self._scratch(label)
                return measure_gateway(self._bundle, self._base, config.effort, config.cores, folder, stream=stream)

            one = self._kept(label, {}, GatewayResult, measure)
            found += [one] if one is not None else []
        return found

    def _hit(self) -> HitResult | None:
        config = self._config

        def measure() -> HitResult:
            return measure_hits(self._bundle, self._base, config.effort, config.cores, self._scratch("hit"))

        return self._kept("hit", {}, HitResult, measure)

    def _faults(self) -> list[FaultResult]:
        config, found = self._config, []
        for i, name in enumerate(config.faults):
            self._progress("faults", i, len(config.faults))

            def measure(name: str = name) -> FaultResult:
                bundles = (self._bundle, quickstart_bundle(config.out, part=1))
                folder = self._scratch("faults")
                bodies = folder / "bodies.jsonl"
                write_bodies(bodies, routes(varied(self._base, _FAULT_BODIES)))
                return run_fault(name, SCENES[name], Ground(bundles, bodies, config.cores, folder, config.timing))

            one = self._kept(f"fault, {name}", {"timing": vars(config.timing)}, FaultResult, measure)
            found += [one] if one is not None else []
        self._progress("faults", len(config.faults), len(config.faults))
        return found

    def _soak(self) -> SoakResult | None:
        config = self._config

        def measure() -> SoakResult:
            folder = self._scratch("soak")
            bodies = folder / "bodies.jsonl"
            write_bodies(bodies, routes(varied(self._base, _SOAK_BODIES)))
            return soak(
                beast(str(self._bundle)),
                bodies,
                config.soak_minutes,
                config.cores,
                folder,
                lambda done, total: self._progress("soak, seconds", done, total),
                config.soak_rate,
            )

        settings = {"minutes": config.soak_minutes, "rate": config.soak_rate}
        return self._kept("soak", settings, SoakResult, measure)

    def _scratch(self, name: str) -> Path:
        folder = (self._config.out / "scratch" / name.replace(", ", "-").replace(" ", "-")).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _kept(self, label: str, more: Mapping[str, Any], kind: type[T], measure: Callable[[], T]) -> T | None:
        """Return what an earlier run measured under equal settings and code, or measure it and keep it."""
        config = self._config
        settings = {
            "effort": vars(config.effort),
            "wrk": config.wrk,
            "cores": config.cores,
            "data": str(config.data),
            **more,
        }

        def may_fail(error: BeastError) -> bool:
            return not label.startswith("echo") and isinstance(error, ServingError | MissingExtraError | InputError)

        return self._kept_here.get(label, settings, kind, measure, may_fail)


def choose(option: str, names: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a comma-separated list, in the order of reports; all for None.

    Raises
    ------
    InputError
        If one is not known.

    Examples
    --------
    >>> choose("--parts", "soak,gateway", PARTS)
    ('gateway', 'soak')
    """
    if names is None:
        return tuple(known)
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise InputError(f"`{option}` == {names!r}: there are {', '.join(known)}")
    return tuple(name for name in known if name in asked)
