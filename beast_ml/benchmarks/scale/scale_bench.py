"""One run of the capacity benchmark: part after part, each measurement kept as soon as it is there."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from beast_ml.benchmarks.kept_measurements import KeptMeasurements
from beast_ml.benchmarks.scale.checks import Checked, compaction_us, measure_checks
from beast_ml.benchmarks.scale.cost_model import CostModel, Deployment, LeaseCost
from beast_ml.benchmarks.scale.cost_part import Ground, measure_deployment
from beast_ml.benchmarks.scale.lease_part import measure_leases
from beast_ml.benchmarks.scale.limits import demand, unmeasured
from beast_ml.benchmarks.scale.mix import with_hit_share
from beast_ml.benchmarks.scale.plan import Plan, make_plan, why_no_plan
from beast_ml.benchmarks.scale.release_tree import release_tree
from beast_ml.benchmarks.scale.releases_part import ReleasesResult, measure_releases
from beast_ml.benchmarks.scale.site import Site
from beast_ml.benchmarks.serving.cases import Effort, Spread, spread
from beast_ml.benchmarks.serving.payloads import base_prompts
from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
from beast_ml.benchmarks.serving.surroundings import machine
from beast_ml.errors import InputError

__all__ = ["HIT_SHARES", "PARTS", "Planned", "ScaleBench", "ScaleConfig", "ScaleResult", "Sensitivity", "choose_rates"]

PARTS: Final = ("cost", "plan", "releases")
"""What can be done, in the order of reports."""

HIT_SHARES: Final = tuple(share / 10 for share in range(10))
"""Shares of hits that plans are compared at."""

T = TypeVar("T")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ScaleConfig:
    """What to run.

    Parameters
    ----------
    parts
        Of `PARTS`.
    effort
        How much is measured.
    deployments, paths
        That are measured.
    rates
        Requests a second at the peak, that are planned for.
    mixes
        By name.
    site
        Where plans are to run.
    first
        Commit of the release that costs are compared with; None: the first that serves.
    trained
        Folder of a trained cache, so that alike requests are looked for as well.
    data
        Folder of public outcome sets to take prompts from, or None.
    out
        Folder for results.
    cores
        To run on.
    """

    parts: tuple[str, ...]
    effort: Effort
    deployments: tuple[str, ...]
    paths: tuple[str, ...]
    rates: tuple[float, ...]
    mixes: Mapping[str, Mapping[str, float]]
    site: Site
    first: str | None
    trained: Path | None
    data: Path | None
    out: Path
    cores: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(os.sched_getaffinity(0))))


@dataclass(frozen=True)
class Planned:
    """A plan, and what it is of.

    Parameters
    ----------
    deployment, mix
        Names.
    plan
        The plan.
    """

    deployment: str
    mix: str
    plan: Plan


@dataclass(frozen=True)
class Sensitivity:
    """What another share of hits does to a plan.

    Parameters
    ----------
    mix
        Name of the mix.
    hit_share
        Of its requests.
    plan
        The plan.
    """

    mix: str
    hit_share: float
    plan: Plan


@dataclass(frozen=True)
class ScaleResult:
    """All of a run; what was not done is empty or None, and ``left_out`` says why.

    Parameters
    ----------
    cost
        The cost model.
    plans
        One a deployment, mix and rate.
    sensitivity
        One a mix and share of hits, at the middle rate, in the first deployment that has the mix.
    releases
        The comparison with another release.
    left_out
        What -> why.
    """

    cost: CostModel | None
    plans: tuple[Planned, ...]
    sensitivity: tuple[Sensitivity, ...]
    releases: ReleasesResult | None
    left_out: Mapping[str, str]


class _Measured(msgspec.Struct, frozen=True):
    deployment: Deployment
    echo_us: Spread


class _Leases(msgspec.Struct, frozen=True):
    found: tuple[LeaseCost, ...]


class _Rest(msgspec.Struct, frozen=True):
    checked: Checked
    compaction_us: float | None


class ScaleBench:
    """Runs what a configuration asks for.

    Parameters
    ----------
    config
        What to run.
    known
        A cost model that plans are made from where none is measured.
    say
        Called with what is being done.
    progress
        Called with (what, steps done, steps in all).
    """

    def __init__(
        self,
        config: ScaleConfig,
        known: CostModel | None = None,
        say: Callable[[str], None] = lambda _: None,
        progress: Progress = lambda _what, _done, _total: None,
    ) -> None:
        self._config = config
        self._known = known
        self._say = say
        self._progress = progress
        self._kept_here = KeptMeasurements(config.out, "measured", say)
        self._left_out = self._kept_here.left_out

    def run(self) -> ScaleResult:
        """Measure, plan and compare.

        Raises
        ------
        InputError
            If there is nothing to plan from, or the commit is not known.
        UnavailableError
            If no deployment can be measured.
        """
        config = self._config
        cost = self._cost() if "cost" in config.parts else self._known
        plans: tuple[Planned, ...] = ()
        sensitivity: tuple[Sensitivity, ...] = ()
        if "plan" in config.parts:
            if cost is None:
                raise InputError(
                    "there is no cost model to plan from: measure one with `--parts cost,plan`, or name one with "
                    "`--cost`"
                )
            plans, sensitivity = self._plans(cost)
        releases = self._releases() if "releases" in config.parts else None
        return ScaleResult(cost, plans, sensitivity, releases, self._left_out)

    @cached_property
    def _bundle(self) -> Path:
        self._say("fitting the router that is served (once)")
        return quickstart_bundle(self._config.out)

    @cached_property
    def _base(self) -> list[str]:
        return base_prompts(self._config.data)

    def _ground(self, name: str) -> Ground:
        config = self._config
        folder = (config.out / "scratch" / name.replace(" ", "-")).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        bodies = (config.out / "bodies").absolute()
        return Ground(self._bundle, self._base, config.effort, config.cores, folder, bodies, config.trained)

    def _cost(self) -> CostModel:
        config = self._config
        measured = []
        for name in config.deployments:

            def measure(name: str = name) -> _Measured:
                def told(done: int, total: int) -> None:
                    self._progress(f"cost, {name}", done, total)

                return _Measured(*measure_deployment(name, config.paths, self._ground(name), told))

            one = self._kept(
                f"cost {name}", {"paths": config.paths, "trained": str(config.trained)}, _Measured, measure
            )
            measured += [one] if one is not None else []
        if not measured:
            raise InputError(f"no deployment could be measured: {self._left_out}")
        rest = self._kept("checks", {}, _Rest, self._rest)
        echoes = [each.echo_us for each in measured]
        return CostModel(
            machine=machine(len(config.cores)),
            echo_us=Spread(
                spread([each.median for each in echoes]).median,
                min(each.low for each in echoes),
                max(each.high for each in echoes),
            ),
            deployments=tuple(each.deployment for each in measured),
            latency_us=rest.checked.latency_us if rest is not None else (),
            latency_mean_us=rest.checked.latency_mean_us if rest is not None else 0.0,
            compaction_us=rest.compaction_us if rest is not None else None,
            checks=rest.checked.checks if rest is not None else (),
            leases=self._leases(),
        )

    def _rest(self) -> _Rest:
        ground = self._ground("checks")
        checked = measure_checks(ground, lambda done, total: self._progress("checks", done, total))
        self._say("compacting the log of the checks")
        return _Rest(checked, compaction_us([Path(each) for each in checked.segments], ground.folder / "compaction"))

    def _leases(self) -> tuple[LeaseCost, ...]:
        found = self._kept("leases", {}, _Leases, lambda: _Leases(measure_leases(self._ground("leases").folder)))
        return () if found is None else found.found

    def _plans(self, cost: CostModel) -> tuple[tuple[Planned, ...], tuple[Sensitivity, ...]]:
        config = self._config
        plans: list[Planned] = []
        compared: list[Sensitivity] = []
        middle = sorted(config.rates)[len(config.rates) // 2]
        for name, mix in config.mixes.items():
            able = [each for each in cost.deployments if all(each.path(path) is not None for path in mix)]
            if not able:
                self._left_out[f"plan of the mix {name}"] = "no deployment was measured on all of its paths"
                continue
            for each in able:
                for what, why in unmeasured(cost, each, demand(each, mix)).items():
                    if what not in self._left_out:
                        self._say(f"warning: {what}: {why}")
                    self._left_out[what] = why
            able = [each for each in able if self._can_be_planned(cost, each, name, mix)]
            if not able:
                continue
            plans += [
                Planned(each.name, name, make_plan(cost, each, mix, rate, config.site))
                for each in able
                for rate in config.rates
            ]
            of = next((each for each in able if each.name == "shared"), able[0])
            try:
                mixes = [(share, with_hit_share(mix, share)) for share in HIT_SHARES]
            except InputError:
                continue
            compared += [
                Sensitivity(name, share, make_plan(cost, of, each, middle, config.site))
                for share, each in mixes
                if why_no_plan(cost, of, each, config.site) is None
            ]
        return tuple(plans), tuple(compared)

    def _can_be_planned(self, cost: CostModel, deployment: Deployment, name: str, mix: Mapping[str, float]) -> bool:
        """Return whether a mix can keep to the limit of the p95; if not, say so in the report, and go on."""
        why_not = why_no_plan(cost, deployment, mix, self._config.site)
        if why_not is not None:
            what = f"plan of the mix {name} in the deployment {deployment.name}"
            self._left_out[what] = f"it cannot be planned on this machine: {why_not}"
            self._say(f"warning: {what}: {why_not}")
        return why_not is None

    def _releases(self) -> ReleasesResult | None:
        config = self._config
        tree = (config.out / "scratch" / "release").absolute()

        def measure() -> ReleasesResult:
            with release_tree(config.first, tree) as release:
                self._say(f"the release to compare with is {release.commit[:12]}")
                return measure_releases(release, config.paths, self._ground("releases"), self._say)

        return self._kept(
            "releases", {"first": config.first, "paths": config.paths}, ReleasesResult, measure, fails=(InputError,)
        )

    def _kept(
        self,
        label: str,
        more: Mapping[str, Any],
        kind: type[T],
        measure: Callable[[], T],
        fails: tuple[type[Exception], ...] = (),
    ) -> T | None:
        """Return what an earlier run measured under equal settings and code, or measure it and keep it."""
        config = self._config
        settings = {"effort": vars(config.effort), "cores": config.cores, "data": str(config.data), **more}
        return self._kept_here.get(label, settings, kind, measure, lambda error: not isinstance(error, fails))


def choose_rates(text: str) -> tuple[float, ...]:
    """Return requests a second from a list with commas.

    Raises
    ------
    InputError
        If one is no number above 0.

    Examples
    --------
    >>> choose_rates("10000, 1e6")
    (10000.0, 1000000.0)
    """
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < rate < math.inf for rate in found):
        raise InputError(f"`--rates` == {text!r}, must be requests a second above 0, such as 10000,100000")
    return found
