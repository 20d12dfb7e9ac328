"""Whether a log can speak of a target policy: overlap, weights, and propensities that fit the choices made.

The mean weight tells of overlap: it is 1 when the log could have made every choice that the target makes. Where it is
less, the rest of the target's choices was never tried, and nothing but predictions speaks of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.estimators import TargetRounds
from beast_ml.evaluation.off_policy.intervals import Questions
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, Target, effective_sample_size
from beast_ml.evaluation.off_policy.tails import WeightTail, weight_tail

__all__ = ["Diagnostics", "ModelOverlap", "PropensityCheck", "check_propensities", "diagnose"]

_LEAST_CHOICES: Final = 10.0
_Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class ModelOverlap:
    """One model in the target policy and in the log.

    Parameters
    ----------
    model
        Its name.
    target_share
        Mean probability with which the target chooses it.
    logged_share
        Share of the rounds whose logged choice it is.
    reached
        Estimated share of the target's choices of it that the log could have made, about 0..1; above 1 by chance.
    squared_weight_share
        How much of the sum of squared weights is due to it: what makes the intervals wide.
    """

    model: str
    target_share: float
    logged_share: float
    reached: float
    squared_weight_share: float


@dataclass(frozen=True)
class PropensityCheck:
    """Whether the logged propensities fit the choices.

    With right propensities the inverse ones of a model's choices add up to the number of rounds in which it was a
    candidate; to less only where it could not have been chosen. So a sum above that number means wrong propensities,
    one below it either.

    Parameters
    ----------
    p_value
        Of "they fit": that of the model that fits worst, times the number of models tested (Bonferroni).
    model
        That model; None where no model was chosen often enough to be tested.
    ratio
        Its sum of inverse propensities over the number of rounds with it as a candidate.
    tested
        Number of models tested.
    """

    p_value: float
    model: str | None
    ratio: float
    tested: int


@dataclass(frozen=True)
class Diagnostics:
    """What the verdict goes by.

    Parameters
    ----------
    n_rounds, n_questions, n_labelled
        Usable rounds, the different questions among them, and those with a reward.
    effective
        Effective sample size of the target policy, labels included.
    mean_weight, mean_weight_low, mean_weight_high
        With 95% interval; 1 under full overlap.
    tail
        The largest weights.
    models
        Per model, by the target's share.
    propensities
        Whether they fit.
    least_propensity
        The smallest that was logged.
    """

    n_rounds: int
    n_questions: int
    n_labelled: int
    effective: float
    mean_weight: float
    mean_weight_low: float
    mean_weight_high: float
    tail: WeightTail
    models: tuple[ModelOverlap, ...]
    propensities: PropensityCheck
    least_propensity: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def diagnose(
    rounds: LoggedRounds,
    speaking: TargetRounds,
    target: Target,
    models: Sequence[str],
    candidates: NDArray[np.bool_] | None = None,
) -> Diagnostics:
    """Return what there is to say of the overlap of a log and a target policy.

    Parameters
    ----------
    speaking
        The rounds as they speak of the target.
    target
        (n, m) probabilities.
    candidates
        (n, m) which models could be chosen; None: all.
    """
    questions = Questions.of(rounds.question)
    weight = speaking.policy_weight
    sums, counts = questions.sums(weight), np.bincount(questions.unit, minlength=questions.n_units)
    mean = float(weight.mean())
    spread = float(np.sqrt(((sums - mean * counts) ** 2).sum()) / len(weight))
    squares = float((speaking.weight**2).sum())
    found = []
    for j in np.argsort(-target.mean(axis=0), kind="stable"):
        chosen = rounds.chosen == j
        share = float(target[:, j].mean())
        found.append(
            ModelOverlap(
                model=models[j],
                target_share=share,
                logged_share=float(chosen.mean()),
                reached=float(weight[chosen].sum() / len(weight)) / share if share > 0 else 1.0,
                squared_weight_share=float((speaking.weight[chosen] ** 2).sum()) / squares if squares > 0 else 0.0,
            )
        )
    return Diagnostics(
        n_rounds=len(weight),
        n_questions=questions.n_units,
        n_labelled=int(rounds.observed.sum()),
        effective=effective_sample_size(questions.sums(speaking.weight)),
        mean_weight=mean,
        mean_weight_low=mean - _Z95 * spread,
        mean_weight_high=mean + _Z95 * spread,
        tail=weight_tail(speaking.weight),
        models=tuple(found),
        propensities=check_propensities(rounds, models, candidates),
        least_propensity=float(rounds.propensity.min()),
    )


def check_propensities(
    rounds: LoggedRounds, models: Sequence[str], candidates: NDArray[np.bool_] | None = None
) -> PropensityCheck:
    """Return whether the logged propensities fit the choices that were made; see `PropensityCheck`.

    Models whose choices were expected fewer than ten times are not tested: the normal distribution of the sums is not
    to be relied on there. What was expected is told by the propensities, not by the choices, as far as they tell it.
    """
    questions = Questions.of(rounds.question)
    worst = PropensityCheck(1.0, None, 1.0, 0)
    scores = []
    for j, name in enumerate(models):
        chosen = rounds.chosen == j
        offered = np.ones(len(chosen)) if candidates is None else candidates[:, j].astype(float)
        n = float(offered.sum())
        if not chosen.any() or n == 0:
            continue
        inverse = np.where(chosen, 1.0 / rounds.propensity, 0.0)
        typical = n / float(inverse[chosen].mean())  # the rounds it would have at its harmonic mean propensity
        if min(typical, float(chosen.sum())) < _LEAST_CHOICES:
            continue
        difference = questions.sums(inverse - offered)
        error = float(np.sqrt((difference**2).sum()))
        excess = float(difference.sum())
        z = abs(excess) / error if error > 0 else (0.0 if excess == 0 else np.inf)
        scores.append((float(z), name, float(inverse.sum()) / n))
    if not scores:
        return worst
    from scipy.stats import norm

    z, name, ratio = max(scores)
    return PropensityCheck(min(1.0, float(2 * norm.sf(z)) * len(scores)), name, ratio, len(scores))
