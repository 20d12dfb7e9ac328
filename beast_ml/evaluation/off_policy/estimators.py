"""Estimators of a policy's value: per-round numbers whose sums make the estimate.

Every estimator is a ratio of two sums over rounds, ``sum(numerator) / sum(denominator)``; the denominator is 1 a round
but for the self-normalised one. So one piece of code makes intervals for all of them (`intervals`).

- ``dm``, direct method: what is predicted of the target's choices. Biased where the predictions are; never alone.
- ``ips``, inverse propensity score (Horvitz, Thompson 1952): unbiased, of large variance where weights are large.
- ``snips``, self-normalised (Swaminathan, Joachims 2015): bounded by the rewards, biased in small samples.
- ``clipped_ips`` (Ionides 2008): weights no larger than the root of the number of rounds; biased towards zero.
- ``dr``, doubly robust (Dudik, Langford, Li 2011): prediction plus weighted residual; unbiased as ``ips`` is, and of
  small variance where the predictions are good.
- ``switch_dr`` (Wang, Agarwal, Dudik 2017): ``dr`` without the correction where the weight exceeds a threshold, the one
  of least variance plus squared bound of the bias.
- ``ppi``, prediction-powered (`labels`): ``ips`` that reads predictions of the unlabelled rounds; only where labels are
  missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds, Target, effective_sample_size

__all__ = ["ESTIMATORS", "EstimatorName", "PerRound", "TargetRounds", "estimate_rounds"]

EstimatorName = Literal["dm", "ips", "snips", "clipped_ips", "dr", "switch_dr"]
ESTIMATORS: Final[tuple[EstimatorName, ...]] = get_args(EstimatorName)

_THRESHOLDS: Final = 20


@dataclass(frozen=True)
class TargetRounds:
    """Rounds of a log as they speak of one target policy.

    Parameters
    ----------
    weight
        (n,) importance weights times, for a labelled round, the inverse probability of its label; 0 without a label.
    residual
        (n,) reward minus what was predicted of the logged choice; 0 without a label.
    of_chosen
        (n,) what was predicted of the logged choice.
    expected
        (n,) what was predicted of the target's choices.
    question
        (n,) which question a round asks.
    policy_weight
        (n,) importance weights alone, of unlabelled rounds too.
    """

    weight: Floats
    residual: Floats
    of_chosen: Floats
    expected: Floats
    question: NDArray[np.intp]
    policy_weight: Floats

    @classmethod
    def of(cls, rounds: LoggedRounds, target: Target, label_probability: Floats | None = None) -> TargetRounds:
        """Return the rounds with what they say of a target policy.

        Parameters
        ----------
        label_probability
            (n,) with which each round's reward becomes known; default: all rewards are known, or missing for reasons
            that have nothing to do with anything.
        """
        observed = rounds.observed
        if label_probability is None:
            label_probability = np.full(len(observed), max(observed.mean(), 1e-12))
        of_chosen, weight = rounds.predicted_of_chosen, rounds.weights(target)
        return cls(
            weight=np.where(observed, weight / label_probability, 0.0),
            residual=np.where(observed, rounds.reward - of_chosen, 0.0),
            of_chosen=of_chosen,
            expected=rounds.expected(target),
            question=rounds.question,
            policy_weight=weight,
        )

    @property
    def reward(self) -> Floats:
        """(n,) rewards; unlabelled ones read as predicted, and have no weight."""
        return self.of_chosen + self.residual


@dataclass(frozen=True)
class PerRound:
    """One estimator's numbers.

    Parameters
    ----------
    numerator, denominator
        (n,) each.
    effective
        How many equally weighted rounds say as much.
    """

    numerator: Floats
    denominator: Floats
    effective: float

    @property
    def value(self) -> float:
        """The estimate; NaN where no round speaks of the target."""
        total = float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total > 0 else float("nan")


def estimate_rounds(rounds: TargetRounds, span: float) -> dict[EstimatorName, PerRound]:
    """Return every estimator's numbers.

    Parameters
    ----------
    span
        How far rewards can lie apart: bounds the bias of ``switch_dr``.

    Examples
    --------
    >>> import numpy as np
    >>> log = LoggedRounds(
    ...     chosen=np.array([0, 1]),
    ...     propensity=np.array([0.5, 0.5]),
    ...     reward=np.array([1.0, 0.0]),
    ...     predicted=np.array([[0.9, 0.2], [0.8, 0.1]]),
    ...     question=np.arange(2),
    ... )
    >>> found = estimate_rounds(TargetRounds.of(log, np.array([0, 0])), span=1.0)
    >>> {name: round(each.value, 3) for name, each in found.items()}
    {'dm': 0.85, 'ips': 1.0, 'snips': 1.0, 'clipped_ips': 0.707, 'dr': 0.95, 'switch_dr': 0.95}
    """
    weight, reward, n = rounds.weight, rounds.reward, len(rounds.weight)
    ones, effective = np.ones(n), effective_sample_size(weight)
    clipped = np.minimum(weight, max(n, 1) ** 0.5)
    threshold = _switch_threshold(rounds, span)
    switched = np.where(weight <= threshold, weight, 0.0)
    return {
        "dm": PerRound(rounds.expected, ones, float(np.count_nonzero(weight > 0))),
        "ips": PerRound(weight * reward, ones, effective),
        "snips": PerRound(weight * reward, weight, effective),
        "clipped_ips": PerRound(clipped * reward, ones, effective_sample_size(clipped)),
        "dr": PerRound(rounds.expected + weight * rounds.residual, ones, effective),
        "switch_dr": PerRound(rounds.expected + switched * rounds.residual, ones, effective_sample_size(switched)),
    }


def _switch_threshold(rounds: TargetRounds, span: float) -> float:
    """Return the weight above which the prediction is taken, by least estimated squared error."""
    weight = rounds.weight
    positive = np.sort(weight[weight > 0])
    if not len(positive):
        return 0.0
    candidates = np.unique(np.quantile(positive, np.linspace(0, 1, _THRESHOLDS + 1), method="higher"))
    kept = np.where(weight[:, None] <= candidates, weight[:, None], 0.0)
    values = rounds.expected[:, None] + kept * rounds.residual[:, None]
    variance = values.var(axis=0) / len(weight)
    bias = (weight[:, None] - kept).mean(axis=0) * span
    error = variance + bias**2
    return float(candidates[int(np.flatnonzero(error == error.min())[-1])])
