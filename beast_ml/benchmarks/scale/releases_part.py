"""What a request costs now and did in another release: both servers' CPU time, in turns, in one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

import msgspec

from beast_ml.benchmarks.scale.cost_part import START_S, Ground, drive_path, with_environment
from beast_ml.benchmarks.scale.deployments import Services, cache_environment
from beast_ml.benchmarks.scale.meters import Meters
from beast_ml.benchmarks.scale.mix import MIXES
from beast_ml.benchmarks.scale.paths import CACHED_PATHS, PATHS, MeasuredPath, bodies_of, chosen_paths
from beast_ml.benchmarks.scale.release_tree import Release
from beast_ml.benchmarks.serving.cases import Spread, spread
from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.gateway_part import provider, with_endpoints
from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.errors import BeastError

__all__ = ["TARGET", "PathRatio", "Ratio", "ReleasesResult", "measure_releases", "ratio_of"]

TARGET: Final = 0.5
"""What a request may cost, as a share of what it cost in the first release that served."""


class Ratio(msgspec.Struct, frozen=True):
    """New over old, the geometric mean of turns, with its 95% interval; the turns' extremes where there are too few.

    Parameters
    ----------
    value, low, high
        In this order.
    """

    value: float
    low: float
    high: float


class PathRatio(msgspec.Struct, frozen=True, kw_only=True):
    """A path in both releases.

    Parameters
    ----------
    path
        The path, or the name of a mix of them.
    old_us, new_us
        CPU time of the worker a request.
    ratio
        Of each turn's new to its old.
    """

    path: str
    old_us: Spread
    new_us: Spread
    ratio: Ratio

    @property
    def met(self) -> bool | None:
        """Whether it costs half or less for certain; None: it may be either."""
        if self.ratio.high <= TARGET:
            return True
        return False if self.ratio.low > TARGET else None


class ReleasesResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Parameters
    ----------
    commit
        Of the old release.
    paths
        Each path.
    mixes
        Mixes of them, as far as all their paths were measured.
    left_out
        Path -> why it was not measured.
    """

    commit: str
    paths: tuple[PathRatio, ...]
    mixes: tuple[PathRatio, ...]
    left_out: dict[str, str]


def ratio_of(old: Sequence[float], new: Sequence[float]) -> Ratio:
    """Return new over old of turns that were measured one beside the other.

    Student's interval of the logarithm's mean; with two turns or fewer from the lowest to the highest.

    Examples
    --------
    >>> ratio_of([100.0, 100.0, 100.0], [50.0, 50.0, 50.0])
    Ratio(value=0.5, low=0.5, high=0.5)
    """
    logs = [math.log(b / a) for a, b in zip(old, new, strict=True)]
    mean = fmean(logs)
    if len(logs) < 3:
        return Ratio(math.exp(mean), math.exp(min(logs)), math.exp(max(logs)))
    from scipy.stats import t

    half = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def measure_releases(
    release: Release,
    paths: Sequence[str],
    ground: Ground,
    say: Callable[[str], None] = lambda _: None,
) -> ReleasesResult:
    """Return what requests cost in both releases, without services, with bundles that each has fitted itself.

    A path that either does not answer is left out with the reason.

    Raises
    ------
    UnavailableError
        If the old release does not run at all.
    """
    bundles = {"old": release.bundle(ground.bodies.parent / f"release-{release.commit[:12]}"), "new": ground.bundle}
    turns: dict[str, dict[str, list[float]]] = {}
    left_out: dict[str, str] = {}
    for kind, asked in zip(("plain", "cached"), chosen_paths(paths), strict=True):
        if not asked:
            continue
        cache = cache_environment() if kind == "cached" else {}
        environments = {"old": {**release.environment, **cache}, "new": cache}
        try:
            _in_turns(asked, bundles, environments, replace(ground, folder=ground.folder / kind), turns, left_out, say)
        except BeastError as error:
            left_out |= {path.name: str(error).splitlines()[0] for path in asked if path.name not in turns}
    found = {name: each for name, each in turns.items() if name not in left_out and each["old"]}
    return ReleasesResult(
        commit=release.commit,
        paths=tuple(_ratio(name, each["old"], each["new"]) for name, each in found.items()),
        mixes=tuple(
            _ratio(name, *(_of_mix(mix, found, which) for which in ("old", "new")))
            for name, mix in MIXES.items()
            if all(path in found for path in mix)
        ),
        left_out=left_out,
    )


def _of_mix(mix: Mapping[str, float], found: Mapping[str, Mapping[str, list[float]]], which: str) -> list[float]:
    n_turns = min(len(found[path][which]) for path in mix)
    return [sum(calls * found[path][which][i] for path, calls in mix.items()) for i in range(n_turns)]


def _ratio(name: str, old: Sequence[float], new: Sequence[float]) -> PathRatio:
    return PathRatio(path=name, old_us=spread(old), new_us=spread(new), ratio=ratio_of(old, new))


def _in_turns(
    paths: Sequence[MeasuredPath],
    bundles: Mapping[str, Path],
    environments: Mapping[str, Mapping[str, str]],
    ground: Ground,
    turns: dict[str, dict[str, list[float]]],
    left_out: dict[str, str],
    say: Callable[[str], None],
) -> None:
    """Start both servers, and measure each path old, new, old, new, ..."""
    driver, port = Driver(ground.folder, ground.others), free_port()
    common = {"BEAST_SERVING__COMPACT_S": "0"}
    with ExitStack() as stack:
        stack.enter_context(provider().start(ground.folder, cores=ground.others, port=port, within_s=START_S))
        servers: dict[str, ServerProcess] = {}
        for which, bundle in bundles.items():
            # The endpoints are the same; each has the models of its own bundle.
            subject = with_environment(with_endpoints(ground.bundle, port), common, environments[which])
            command = tuple(str(bundle) if part == str(ground.bundle) else part for part in subject.command)
            folder = ground.folder / which
            servers[which] = stack.enter_context(
                replace(subject, command=command).start(folder, cores=ground.cores[:1], within_s=START_S)
            )
        sent = dict.fromkeys(servers, 0)
        for path in paths:
            say(f"releases: {path.name}, old and new in turns")
            turns[path.name] = {which: [] for which in servers}
            try:
                for i in range(ground.effort.repeats):
                    for which, server in servers.items():
                        folder = ground.folder / which
                        used = _worker_us(path, server, folder, ground, driver, sent, which, fill=not i)
                        turns[path.name][which].append(used)
            except BeastError as error:
                left_out[path.name] = str(error).splitlines()[0]
                del turns[path.name]
                if any(server.process.poll() is not None for server in servers.values()):
                    raise


def _worker_us(
    path: MeasuredPath,
    server: ServerProcess,
    folder: Path,
    ground: Ground,
    driver: Driver,
    sent: dict[str, int],
    which: str,
    *,
    fill: bool,
) -> float:
    issued = folder / "ids.txt"
    with Meters(server, folder / "state", Services()) as meters:

        def drive(path: MeasuredPath, told: Sequence[str] = (), *, ids: Path | None = None, skip: int = 0) -> float:
            n_new = ground.n_new(path, ground.effort.repeats)
            # Bodies about ids are each server's own.
            bodies = bodies_of(path, folder if told else ground.bodies, ground.base, n_new, told)
            run = drive_path(driver, server, path, bodies, ground.effort, read=meters.read, ids=ids, skip=skip)
            if path.sends == "new":
                sent[which] += run.load.used
            return run.used["worker_us"]

        if path.sends == "new":
            return drive(path, skip=sent[which])
        if path.sends == "ids":
            if path.name == "outcomes" or not issued.is_file():  # the first word about a decision counts
                drive(PATHS["seen"], ids=issued)
            return drive(path, issued.read_text().split())
        if fill and path in CACHED_PATHS:
            drive(path)
        return drive(path)
