"""What stops a bad variant by itself: proof, at whatever moment it comes, that it is worse by more than is allowed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import numpy as np

from beast_ml.experiments.analysis import ExperimentAnalysis
from beast_ml.experiments.definitions import Experiment, Guardrail
from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER
from beast_ml.experiments.observations import CONTROL

__all__ = ["Breach", "breaches", "without"]


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
    metric: str
    harm: float
    at_least: float
    most_harm: float

    @property
    def sentence(self) -> str:
        """What happened."""
        return (
            f"{self.variant!r} is worse than the control in {self.metric} by at least {self.at_least:.4g} (estimated "
            f"{self.harm:.4g}; {self.most_harm:.4g} is allowed)"
        )


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
