"""What is done for a running experiment without being asked: bad variants are stopped, best-arm shares are moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from beast_ml.errors import DataError
from beast_ml.experiments.best_arm import moved_shares
from beast_ml.experiments.definitions import Experiment, StoppedVariant
from beast_ml.experiments.guardrails import Breach, watch, without
from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER
from beast_ml.experiments.log_metrics import observe
from beast_ml.logs.store import LogStore

__all__ = ["Tended", "is_tended", "tend"]


@dataclass(frozen=True)
class Tended:
    """What became of an experiment.

    Parameters
    ----------
    experiment
        As it should be from now on.
    breaches
        Why variants were stopped.
    shares
        Where they were moved to; None if they were not.
    waiting
        What could not be looked at yet, and why.
    """

    experiment: Experiment
    breaches: tuple[Breach, ...]
    shares: dict[str, float] | None
    waiting: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.breaches) or self.shares is not None


def is_tended(experiment: Experiment) -> bool:
    """Return whether there is anything to look after."""
    watched = bool(experiment.guardrails) or experiment.allocation == "best-arm"
    return experiment.status == "running" and bool(experiment.variants) and watched


def tend(experiment: Experiment, store: LogStore, now: datetime, rng: np.random.Generator) -> Tended:
    """Return what the log so far asks for; nothing is written."""
    watched = watch(experiment, store, now)
    on = {each.name for each in experiment.variants if each.share > 0}
    broken = tuple(each for each in watched.breaches if each.variant in on)
    waiting = list(watched.waiting)
    if broken:
        stops = tuple(StoppedVariant(variant=each.variant, at=now, metric=each.metric, why=each.why) for each in broken)
        left = without(experiment, {each.variant for each in broken})
        experiment = msgspec.structs.replace(left, stops=(*experiment.stops, *stops))
    shares = None
    if experiment.status == "running" and experiment.allocation == "best-arm":
        try:
            observed = observe(store, experiment, experiment.metric, now)
            wanted = moved_shares(experiment, observed, rng, lower_is_better=experiment.metric in LOWER_IS_BETTER)
            had = {each.name: each.share for each in experiment.variants}
            if any(abs(had[name] - share) > 1e-9 for name, share in wanted.items()):
                shares, experiment = wanted, experiment.with_shares(wanted)
        except DataError as error:
            waiting.append(f"{experiment.metric}: {error}")
    return Tended(experiment, broken, shares, tuple(waiting))
