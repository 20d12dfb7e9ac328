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
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds, effective_sample_size
from beast_ml.evaluation.off_policy.tails import WeightTail, weight_tail

__all__ = [
    "Diagnostics",
    "ModelOverlap",
    "PropensityCheck",
    "check_propensities",
    "diagnose",
]

_LEAST_CHOICES: Final = 10.0
_CERTAIN: Final = 1.0 - 1e-9
_Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class ModelOverlap:
    """One model in the target policy and in the log.

    Where the log could have made every choice that the target makes of a model, the weights of that model's rounds add
    up to how often the target chooses it. To less, if there are requests on which the target takes it and the log never
    did, or if its propensities are too high; to more, if they are too low. Requests on which the target does not take
    it say nothing: so a log that leaves out what is known may be trusted where it tried.

    Parameters
    ----------
    model
        Its name.
    target_share
        Mean probability with which the target chooses it.
    logged_share
        Share of the rounds whose logged choice it is.
    reached
        Estimated share of the target's choices of it that the log could have made, about 0..1; above 1 by chance, or
        because propensities are too low.
    p_value
        Of "the log could have made all of them, and its propensities are right", times the number of models tested
        (Bonferroni); 1 where too few rounds speak of it to test that.
    squared_weight_share
        How much of the sum of squared weights is due to it: what makes the intervals wide.
    """

    model: str
    target_share: float
    logged_share: float
    reached: float
    p_value: float
    squared_weight_share: float


@dataclass(frozen=True)
class PropensityCheck:
    """Whether the logged propensities can be those of the choices, whatever policy is asked about.

    With right propensities the inverse ones of a model's choices add up to the number of rounds in which it could have
    been chosen: at most those in which it was a candidate, and fewer where its log tried it only on some requests. So a
    sum above that number means wrong propensities; one below matters where the target takes it on the other requests.

    Parameters
    ----------
    p_value
        Of "they are not too low": that of the model that fits worst, times the number of models tested (Bonferroni).
    model
        That model; None where no model was chosen often enough to be tested.
    ratio
        Its sum of inverse propensities over the number of rounds with it as a candidate.
    tested
        Number of models tested.
    untried_p_value
        Of "every model could be chosen wherever it was a candidate, and its propensities are not too high": that of the
        model with the most against it, times the number of models tested.
    untried
        That model.
    """

    p_value: float
    model: str | None
    ratio: float
    tested: int
    untried_p_value: float
    untried: str | None


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
    unreached
        Share of the target's choices that the log cannot have made, as it says itself: others than the logged one where
        that had a propensity of 1, and models that it never chose though it was long enough to have chosen them by the
        least propensity that it has. There may be more.
    tail
        The largest weights.
    models
        Per model, by the target's share.
    propensities
        Whether they can be right.
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
    unreached: float
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
    target: Floats,
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
    fits = _fit_of_weights(rounds, questions, weight, target)
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
                p_value=float(fits[j]),
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
        unreached=_unreached(rounds, target),
        tail=weight_tail(speaking.weight),
        models=tuple(found),
        propensities=check_propensities(rounds, models, candidates),
        least_propensity=float(rounds.propensity.min()),
    )


def _unreached(rounds: LoggedRounds, target: Floats) -> float:
    others = 1.0 - target[np.arange(len(rounds.chosen)), rounds.chosen]
    never = np.bincount(rounds.chosen, minlength=target.shape[1]) == 0
    long = len(rounds.chosen) * float(rounds.propensity.min()) >= _LEAST_CHOICES
    elsewhere = target[:, never].sum(axis=1) if long else 0.0
    return float(np.where(rounds.propensity >= _CERTAIN, others, elsewhere).mean())


def check_propensities(
    rounds: LoggedRounds, models: Sequence[str], candidates: NDArray[np.bool_] | None = None
) -> PropensityCheck:
    """Return whether the logged propensities can be those of the choices that were made; see `PropensityCheck`.

    Models whose choices were expected fewer than ten times are not tested: the normal distribution of the sums is not
    to be relied on there. What was expected is told by the propensities, not by the choices, as far as they tell it.
    """
    questions = Questions.of(rounds.question)
    scores = []
    for j, name in enumerate(models):
        chosen = rounds.chosen == j
        offered = np.ones(len(chosen)) if candidates is None else candidates[:, j].astype(float)
        n = float(offered.sum())
        inverse = np.where(chosen, 1.0 / rounds.propensity, 0.0)
        if _is_tested(inverse, n):
            scores.append((_z(questions, inverse - offered), name, float(inverse.sum()) / n))
    if not scores:
        return PropensityCheck(1.0, None, 1.0, 0, 1.0, None)
    z, model, ratio = max(scores)
    lowest, untried, _ = min(scores)
    p_value, untried_p_value = (min(1.0, _p_value(each) * len(scores)) for each in (z, -lowest))
    return PropensityCheck(p_value, model, ratio, len(scores), untried_p_value, untried)


def _fit_of_weights(rounds: LoggedRounds, questions: Questions, weight: Floats, target: Floats) -> Floats:
    """Return (m,) p-values of `ModelOverlap`."""
    p_value, tested = np.ones(target.shape[1]), np.zeros(target.shape[1], dtype=bool)
    for j, wanted in enumerate(target.T):
        of_model = np.where(rounds.chosen == j, weight, 0.0)
        if _is_tested(of_model, float(wanted.sum())):
            p_value[j], tested[j] = 2.0 * _p_value(abs(_z(questions, of_model - wanted))), True
    return np.minimum(p_value * max(int(tested.sum()), 1), 1.0)


def _is_tested(weight: Floats, expected: float) -> bool:
    """Return whether weights that should add up to a number come from enough rounds for their sum to be normal."""
    there = weight[weight > 0]
    if not len(there) or expected <= 0:
        return False
    typical = expected / float(there.mean())  # the rounds that there would be, each of the mean weight
    return min(typical, float(len(there))) >= _LEAST_CHOICES


def _z(questions: Questions, difference: Floats) -> float:
    """Return how many standard errors a sum over rounds is from zero, where it belongs."""
    of_question = questions.sums(difference)
    error, excess = float(np.sqrt((of_question**2).sum())), float(of_question.sum())
    return excess / error if error > 0 else 0.0


def _p_value(z: float) -> float:
    from scipy.stats import norm

    return float(norm.sf(z))
