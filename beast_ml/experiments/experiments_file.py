"""All experiments of a deployment: that they get along, how one changes, and the file that they are kept in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.durable import write_durably
from beast_ml.errors import InputError
from beast_ml.experiments.definitions import Experiment, SharesSince
from beast_ml.experiments.points import POINTS, TOLERANCE, first_points, gaps, merged, n_points, points_of

__all__ = ["EXPERIMENTS_FILE", "Experiments", "read_experiments", "write_experiments"]

EXPERIMENTS_FILE: Final = "experiments.json"
"""Its name in a server's state folder."""


class Experiments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The experiments of a deployment.

    Parameters
    ----------
    experiments
        Running ones, and those that were stopped.

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

    def get(self, name: str) -> Experiment | None:
        """Return the one of an id; None where there is none."""
        return next((each for each in self.experiments if each.id == name), None)

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
        before = self.get(experiment.id)
        if before is not None:
            if before.unit != experiment.unit:
                raise InputError(
                    f"experiment {experiment.id!r} draws by {before.unit!r}, not by {experiment.unit!r}: start another "
                    "one, its units would be mixed up"
                )
            known_variants = {variant.name: variant for variant in before.variants}
            for variant in experiment.variants:
                was = known_variants.get(variant.name, variant)
                if was.policy != variant.policy:
                    raise InputError(
                        f"variant {variant.name!r} of experiment {experiment.id!r} is served by the "
                        f"{was.policy}, not by the {variant.policy}: start another experiment"
                    )
                if was.cache != variant.cache:
                    raise InputError(
                        f"variant {variant.name!r} of experiment {experiment.id!r} is answered out of the cache in "
                        "another way: start another experiment"
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
    """Replace the file at once: who reads it sees the old or the new experiments, even after a power cut.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    kept = Experiments(tuple(each.laid_out() for each in experiments.experiments))
    write_durably(path, msgspec.json.format(msgspec.json.encode(kept), indent=2), b"\n")


def _keeping_units(before: Experiment, after: Experiment) -> Experiment:
    """Return the new version with the old one's points, variant by variant."""
    owned = {variant.name: variant.ranges for variant in before.laid_out().variants}
    wanted = after.wanted_points()
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
