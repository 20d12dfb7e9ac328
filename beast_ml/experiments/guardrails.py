"""What stops a bad variant by itself: proof, at whatever moment it comes, that it is worse by more than is allowed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from beast_ml.errors import DataError
from beast_ml.experiments.analysis import ExperimentAnalysis, analyze
from beast_ml.experiments.definitions import Experiment, Guardrail
from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER, LogMetric
from beast_ml.experiments.log_metrics import observe
from beast_ml.experiments.observations import CONTROL
from beast_ml.experiments.sequential_test import SequentialConfig
from beast_ml.logs.store import LogStore

__all__ = ["Breach", "Watched", "breaches", "harmed", "watch", "without"]


@dataclass(frozen=True)
class Breach:
    """A variant that is provably worse than a guardrail allows.

    Parameters
    ----------
    variant, metric
        Which one, and in what.
    harm
        By how much it is worse than the control, as estimated.
    at_least
        By how much at least: the bound that broke the guardrail.
    most_harm
        What is allowed.
    """

    variant: str
    metric: LogMetric
    harm: float
    at_least: float
    most_harm: float

    @property
    def why(self) -> str:
        """What was found of it."""
        return (
            f"worse than the control in {self.metric} by at least {self.at_least:.4g} (estimated {self.harm:.4g}; "
            f"{self.most_harm:.4g} is allowed)"
        )

    @property
    def sentence(self) -> str:
        """What happened."""
        return f"{self.variant!r} is {self.why}"


@dataclass(frozen=True)
class Watched:
    """What the guardrails of an experiment find in the log.

    Parameters
    ----------
    breaches
        Of all variants, also of those that were stopped.
    waiting
        What could not be looked at yet, and why.
    """

    breaches: tuple[Breach, ...]
    waiting: tuple[str, ...]


def watch(experiment: Experiment, store: LogStore, now: datetime) -> Watched:
    """Return which guardrails are broken, as far as the log tells; nothing is written."""
    broken: list[Breach] = []
    waiting: list[str] = []
    for guardrail in experiment.guardrails:
        try:
            observed = observe(store, experiment, guardrail.metric, now)
            config = SequentialConfig(alpha=guardrail.alpha)
            broken += breaches(analyze(observed, guardrail.metric, config, "none"), guardrail)
        except DataError as error:  # nothing in the log yet, or only of one variant: no proof of harm either
            waiting.append(f"{guardrail.metric}: {error}")
    return Watched(tuple(broken), tuple(waiting))


def harmed(experiment: Experiment, broken: Sequence[Breach]) -> dict[str, str]:
    """Return the variants that are not to be shipped, each with the reason.

    They are those that break a guardrail now, and those that one stopped and nobody has given a share again since.
    """
    reasons: dict[str, list[str]] = {}
    for each in broken:
        reasons.setdefault(each.variant, []).append(each.why)
    for stop in experiment.stops:
        again = any(each.at > stop.at and each.shares.get(stop.variant, 0.0) > 0 for each in experiment.history)
        if not again and stop.variant not in reasons:
            reasons[stop.variant] = [f"stopped on {stop.at:%Y-%m-%d %H:%M} UTC: {stop.why}"]
    return {variant: "; ".join(whys) for variant, whys in reasons.items()}


def breaches(analysis: ExperimentAnalysis, guardrail: Guardrail) -> list[Breach]:
    """Return the variants that break a guardrail.

    The bound is that side of the confidence sequence at the guardrail's alpha: a variant that is no worse than allowed
    is stopped with at most this probability, however often one looks.
    """
    broken = []
    for each in analysis.comparisons:
        low, high = each.path.interval(guardrail.alpha)
        at_least = float(np.max(low if guardrail.metric in LOWER_IS_BETTER else -high, initial=-np.inf))
        if each.effect is not None and at_least > guardrail.most_harm:
            harm = each.effect if guardrail.metric in LOWER_IS_BETTER else -each.effect
            broken.append(Breach(each.name, guardrail.metric, harm, at_least, guardrail.most_harm))
    return broken


def without(experiment: Experiment, variants: Collection[str]) -> Experiment:
    """Return the experiment with these variants off: their units are served by the champion again.

    Where no variant is left, the experiment stops.
    """
    off = [name for name in variants if name != CONTROL]
    left = experiment.with_shares(dict.fromkeys(off, 0.0))
    if any(each.share > 0 for each in left.variants if each.name != CONTROL):
        return left
    return msgspec.structs.replace(experiment, status="stopped")
