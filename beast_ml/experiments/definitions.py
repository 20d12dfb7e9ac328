"""What an experiment is, and the file that a deployment's experiments are kept in."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from beast_ml.errors import InputError
from beast_ml.experiments.log_metric_names import LogMetric
from beast_ml.experiments.points import POINTS, TOLERANCE, Ranges, first_points, gaps, merged, n_points, points_of

__all__ = [
    "EXPERIMENTS_FILE",
    "Experiment",
    "Experiments",
    "Guardrail",
    "ShadowPolicy",
    "SharesSince",
    "Variant",
    "read_experiments",
    "write_experiments",
]

ShadowPolicy = Literal["challenger", "shadow"]
Unit = Literal["user", "session", "request"]

EXPERIMENTS_FILE: Final = "experiments.json"
_SERVED: Final = re.compile(r"champion|challenger(-[A-Za-z0-9_-]{1,48})?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One arm of an experiment.

    Parameters
    ----------
    name
        ``control`` is the one that the others are compared with.
    policy
        Alias of the router that decides for it: ``champion``, ``challenger``, or one of many such as ``challenger-a``.
    share
        Of the units, 0..1.
    ranges
        First and last of the points that are its own; written by `Experiment.laid_out`, not by people.
    """

    name: str
    policy: str
    share: float
    ranges: Ranges = ()


class Guardrail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What no variant may do; one that provably does is stopped.

    Parameters
    ----------
    metric
        Of the log: quality, cost, latency, errors or feedback.
    most_harm
        By how much a variant may be worse than the control, in units of the metric.
    alpha
        Probability of ever stopping a variant that is exactly that bad, or better.
    """

    metric: LogMetric
    most_harm: float
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.most_harm < float("inf"):
            raise InputError(f"a guardrail's `most_harm` == {self.most_harm}, must be 0 or more")
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"a guardrail's `alpha` == {self.alpha}, must be between 0 and 1")


class SharesSince(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shares that the variants had from a moment on: without them, propensities of the past would be lost.

    Parameters
    ----------
    at
        Aware.
    shares
        Variant -> share of the units.
    """

    at: datetime
    shares: dict[str, float]


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison of policies on live requests.

    Parameters
    ----------
    id
        Also the key of its hash: units are drawn anew for each experiment.
    variants
        Their shares sum to at most 1; other units are served by the champion and take no part. Empty for an
        experiment that only shadows.
    unit
        What is drawn: all requests of a user, or of a session, get the same variant; or each request for itself.
    tenants
        Whose requests; None: everybody's.
    shadow
        Alias of a router that also decides, without being served.
    shadow_share
        Of the requests.
    status
        Of a stopped one nothing is assigned any more.
    layer
        Experiments of one layer take disjoint slices of the same requests' units, so that they may run at once
        without touching each other; None: it takes all units of its tenants.
    layer_share
        Of the layer's units; shares of variants are of these.
    layer_ranges
        First and last of the layer's points that are its own; written by `Experiments.put`, not by people.
    guardrails
        What stops a variant by itself.
    allocation
        ``best-arm``: shares move towards the variants that are most probably best; else people set them.
    metric
        What ``best-arm`` goes by.
    history
        The shares that there were, in order of time; written by the server, not by people.

    Raises
    ------
    InputError
        If a name, a share or a policy cannot be.
    """

    id: str
    variants: tuple[Variant, ...] = ()
    unit: Unit = "user"
    tenants: tuple[str, ...] | None = None
    shadow: ShadowPolicy | None = None
    shadow_share: float = 1.0
    status: Literal["running", "stopped"] = "running"
    layer: str | None = None
    layer_share: float = 1.0
    layer_ranges: Ranges = ()
    guardrails: tuple[Guardrail, ...] = ()
    allocation: Literal["fixed", "best-arm"] = "fixed"
    metric: LogMetric = "quality"
    history: tuple[SharesSince, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.id):
            raise InputError(f"experiment id {self.id!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        names = [variant.name for variant in self.variants]
        for variant in self.variants:
            self._check_variant(variant, names)
        if self.variants and "control" not in names:
            raise self._wrong(f"has the variants {', '.join(names)}, but no `control` to compare them with")
        if sum(map(points_of, (variant.share for variant in self.variants))) > POINTS + TOLERANCE:
            total = sum(variant.share for variant in self.variants)
            raise self._wrong(f"has shares that sum to {total:.6g}, must be at most 1")
        if not self.variants and self.shadow is None:
            raise self._wrong("has neither variants nor a shadow policy: give one")
        if self.shadow is not None and self.shadow not in get_args(ShadowPolicy):
            raise self._wrong(f"shadows {self.shadow!r}, must be one of {', '.join(get_args(ShadowPolicy))}")
        if not 0.0 <= self.shadow_share <= 1.0:
            raise self._wrong(f"has `shadow_share` == {self.shadow_share}, must be in 0..1")
        if self.unit not in get_args(Unit):
            raise self._wrong(f"draws by {self.unit!r}, must be one of {', '.join(get_args(Unit))}")
        if self.tenants is not None and not self.tenants:
            raise self._wrong("has an empty list of tenants: leave `tenants` out to mean all")
        if self.layer is not None and not _NAME.fullmatch(self.layer):
            raise self._wrong(f"is in the layer {self.layer!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        if self.layer is None and (self.layer_share != 1.0 or self.layer_ranges):
            raise self._wrong("has a share of a layer, but no `layer`: name one")
        if not 0.0 < self.layer_share <= 1.0:
            raise self._wrong(f"has `layer_share` == {self.layer_share}, must be above 0 and at most 1")
        if any(each.at.tzinfo is None for each in self.history):
            raise self._wrong("has a `history` with times without a zone: leave `history` out, the server writes it")
        self._check_ranges()

    def laid_out(self) -> Experiment:
        """Return it with the points of every variant, keeping those that it has as far as its shares allow.

        So a unit of a variant that grows stays in it, and only as many units change as must.
        """
        owned = {variant.name: variant.ranges for variant in self.variants}
        wanted = self._wanted()
        for name, points in wanted.items():
            owned[name] = first_points(owned[name], points)
        free = gaps([each for ranges in owned.values() for each in ranges])
        for name, points in wanted.items():
            missing = points - n_points(owned[name])
            taken = first_points(free, missing)
            owned[name] = merged((*owned[name], *taken))
            free = gaps([each for ranges in owned.values() for each in ranges])
        variants = tuple(msgspec.structs.replace(each, ranges=owned[each.name]) for each in self.variants)
        return msgspec.structs.replace(self, variants=variants)

    def with_shares(self, shares: Mapping[str, float]) -> Experiment:
        """Return it with other shares of the variants named; units move no more than they must.

        Raises
        ------
        InputError
            If a variant is unknown, or the shares cannot be.
        """
        unknown = sorted(set(shares) - {variant.name for variant in self.variants})
        if unknown:
            known = ", ".join(variant.name for variant in self.variants) or "none"
            raise self._wrong(f"has no variant {unknown[0]!r}, only {known}")
        before = {variant.name: variant.ranges for variant in self.laid_out().variants}
        bare = tuple(
            msgspec.structs.replace(each, share=shares.get(each.name, each.share), ranges=()) for each in self.variants
        )
        changed = msgspec.structs.replace(self, variants=bare)
        wanted = changed._wanted()
        kept = tuple(
            msgspec.structs.replace(each, ranges=first_points(before[each.name], wanted[each.name])) for each in bare
        )
        return msgspec.structs.replace(changed, variants=kept).laid_out()

    def _wanted(self) -> dict[str, int]:
        """Return the number of points of each variant; shares that sum to 1 within a billionth take all of them."""
        wanted = {variant.name: points_of(variant.share) for variant in self.variants}
        missing = POINTS - sum(wanted.values())
        if wanted and abs(missing) <= TOLERANCE:
            largest = max(wanted, key=lambda name: wanted[name])
            wanted[largest] += missing
        return wanted

    def _check_variant(self, variant: Variant, names: list[str]) -> None:
        if not _NAME.fullmatch(variant.name):
            raise self._wrong(f"has a variant {variant.name!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        if names.count(variant.name) > 1:
            raise self._wrong(f"has {names.count(variant.name)} variants {variant.name!r}: names must differ")
        if not _SERVED.fullmatch(variant.policy):
            raise self._wrong(
                f"serves variant {variant.name!r} by {variant.policy!r}, must be champion, "
                "challenger, or an alias such as challenger-a: other policies are never served"
            )
        if not 0.0 <= variant.share <= 1.0:
            raise self._wrong(f"gives variant {variant.name!r} the share {variant.share}, must be in 0..1")

    def _check_ranges(self) -> None:
        of_variants = [each for variant in self.variants for each in variant.ranges]
        for field, ranges in (("ranges", of_variants), ("layer_ranges", self.layer_ranges)):
            last = -1
            for low, high in sorted(ranges):
                if not last < low <= high < POINTS:
                    points = f"points {low}..{high}"
                    raise self._wrong(f"has {points}, which overlap others or are none: leave `{field}` out")
                last = high

    def _wrong(self, what: str) -> InputError:
        return InputError(f"experiment {self.id!r} {what}")


class Experiments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The experiments of a deployment.

    Raises
    ------
    InputError
        If two have the same id, or two that run would take the same request.
    """

    experiments: tuple[Experiment, ...] = ()

    def __post_init__(self) -> None:
        ids = [each.id for each in self.experiments]
        for name in ids:
            if ids.count(name) > 1:
                raise InputError(f"{ids.count(name)} experiments are named {name!r}: ids must differ")
        running = self.running()
        for i, first in enumerate(running):
            for second in running[i + 1 :]:
                if first.layer is not None and first.layer == second.layer:
                    _check_layer(first, second)
                    continue
                if first.tenants is None or second.tenants is None:
                    # One with tenants and one for all others would change the others' population: refused, too.
                    whose = "requests of the same tenants"
                elif shared := sorted(set(first.tenants) & set(second.tenants)):
                    whose = f"the requests of {shared[0]!r}"
                else:
                    continue
                raise InputError(
                    f"experiments {first.id!r} and {second.id!r} would both take {whose}: stop one, give each "
                    "tenants of its own, or put both into one `layer`"
                )

    def running(self) -> tuple[Experiment, ...]:
        """Return those that assign units."""
        return tuple(each for each in self.experiments if each.status == "running")

    def policies(self) -> frozenset[str]:
        """Return the aliases that must be loaded beside the champion."""
        served = {variant.policy for each in self.running() for variant in each.variants}
        shadows = {each.shadow for each in self.running() if each.shadow is not None}
        return frozenset(served | shadows) - {"champion"}

    def put(self, experiment: Experiment, at: datetime | None = None) -> Experiments:
        """Return them with one more, or with another version of one; its units stay where they are as far as they can.

        Parameters
        ----------
        experiment
            To be added or changed.
        at
            Aware, when its shares begin to hold; None keeps no history.

        Raises
        ------
        InputError
            If it would take the requests of another, or changes what its units or variants mean.
        """
        known = {each.id: each for each in self.experiments}
        before = known.get(experiment.id)
        if before is not None:
            if before.unit != experiment.unit:
                raise InputError(
                    f"experiment {experiment.id!r} draws by {before.unit!r}, not by {experiment.unit!r}: start another "
                    "one, its units would be mixed up"
                )
            policies = {variant.name: variant.policy for variant in before.variants}
            for variant in experiment.variants:
                if policies.get(variant.name, variant.policy) != variant.policy:
                    raise InputError(
                        f"variant {variant.name!r} of experiment {experiment.id!r} is served by the "
                        f"{policies[variant.name]}, not by the {variant.policy}: start another experiment"
                    )
            if before.layer != experiment.layer:
                raise InputError(
                    f"experiment {experiment.id!r} is in {_layer(before)}, not in {_layer(experiment)}: start another "
                    "one, its units would be others"
                )
            experiment = _keeping_units(before, experiment)
        experiment = self._in_layer(before, experiment).laid_out()
        if at is not None:
            experiment = _noting_shares(before, experiment, at)
        return Experiments(tuple((known | {experiment.id: experiment}).values()))

    def _in_layer(self, before: Experiment | None, experiment: Experiment) -> Experiment:
        """Return it with its slice of the layer: the one it had as far as its share allows, and what nobody has."""
        if experiment.layer is None or experiment.status == "stopped":
            return experiment
        wanted = points_of(experiment.layer_share)
        own = first_points(() if before is None or before.status == "stopped" else before.layer_ranges, wanted)
        others = [
            each
            for other in self.running()
            if other.layer == experiment.layer and other.id != experiment.id
            for each in other.layer_ranges
        ]
        own = merged((*own, *first_points(gaps([*others, *own]), wanted - n_points(own))))
        if wanted - n_points(own) > TOLERANCE:
            raise InputError(
                f"experiment {experiment.id!r} wants {experiment.layer_share:.3g} of the layer {experiment.layer!r}, "
                f"of which {1 - n_points(tuple(others)) / POINTS:.3g} is free: take less, or stop another one"
            )
        return msgspec.structs.replace(experiment, layer_ranges=own)


def read_experiments(path: Path) -> Experiments:
    """Return the experiments in a file; none where there is no file.

    Raises
    ------
    InputError
        If it holds anything else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Experiments()
    try:
        return msgspec.json.decode(content, type=Experiments)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path} holds no experiments: {error}; mend it, or remove it to have none") from error


def write_experiments(path: Path, experiments: Experiments) -> None:
    """Replace the file at once: who reads it sees the old or the new experiments, even after a power cut."""
    kept = Experiments(tuple(each.laid_out() for each in experiments.experiments))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keeping_units(before: Experiment, after: Experiment) -> Experiment:
    """Return the new version with the old one's points, variant by variant."""
    owned = {variant.name: variant.ranges for variant in before.laid_out().variants}
    wanted = after._wanted()
    variants = tuple(
        msgspec.structs.replace(each, ranges=first_points(owned.get(each.name, ()), wanted[each.name]))
        for each in after.variants
    )
    return msgspec.structs.replace(after, variants=variants)


def _noting_shares(before: Experiment | None, after: Experiment, at: datetime) -> Experiment:
    """Return the new version with the old one's history, and its own shares noted where they differ."""
    history = () if before is None else before.history
    shares = {variant.name: variant.share for variant in after.variants} if after.status == "running" else {}
    if not history or history[-1].shares != shares:
        history = (*history, SharesSince(at=at.astimezone(UTC), shares=shares))
    return msgspec.structs.replace(after, history=history)


def _check_layer(first: Experiment, second: Experiment) -> None:
    what = f"experiments {first.id!r} and {second.id!r} of the layer {first.layer!r}"
    if first.unit != second.unit:
        raise InputError(f"{what} draw by {first.unit!r} and {second.unit!r}: a layer has one kind of unit")
    for low, high in first.layer_ranges:
        if any(low <= other_high and other_low <= high for other_low, other_high in second.layer_ranges):
            raise InputError(f"{what} have slices that overlap: leave `layer_ranges` out, the server writes them")
    if not (first.layer_ranges and second.layer_ranges):
        raise InputError(f"{what} have no slices yet: add them one by one (beast experiment create)")


def _layer(experiment: Experiment) -> str:
    return "no layer" if experiment.layer is None else f"the layer {experiment.layer!r}"
