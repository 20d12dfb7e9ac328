"""What is done for a running experiment without being asked: bad variants are stopped, best-arm shares are moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from beast_ml.errors import DataError
from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.best_arm import moved_shares
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.guardrails import Breach, breaches, without
from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER
from beast_ml.experiments.log_metrics import observe
from beast_ml.experiments.sequential_test import SequentialConfig
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
    broken: list[Breach] = []
    waiting: list[str] = []
    for guardrail in experiment.guardrails:
        try:
            observed = observe(store, experiment, guardrail.metric, now)
            config = SequentialConfig(alpha=guardrail.alpha)
            broken += breaches(analyze(observed, guardrail.metric, config, "none"), guardrail)
        except DataError as error:  # nothing in the log yet, or only of one variant: no proof of harm either
            waiting.append(f"{guardrail.metric}: {error}")
    on = {each.name for each in experiment.variants if each.share > 0}
    broken = [each for each in broken if each.variant in on]
    if broken:
        experiment = without(experiment, {each.variant for each in broken})
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
    return Tended(experiment, tuple(broken), shares, tuple(waiting))
