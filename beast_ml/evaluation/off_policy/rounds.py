"""What another policy would have got on a log of which only the chosen models' outcomes are known.

A target policy is given as (n,) decisions or as (n, m) probabilities. Estimators are per-round values, so that
differences between policies are paired by request. The methods here that end in one number count every question once,
however often it was asked: its rounds are averaged first. Repeats of one question are one piece of evidence about
routing (and what a cache should answer), and a few hot ones would otherwise decide everything.

Doubly robust (Dudik, Langford, Li 2011): unbiased when the propensities are right, and of low variance when the
predictions are good. Its spread over the rounds at hand says little where the target policy asks for a model that the
log hardly tried: without a single such round there is nothing to correct, the estimate is the prediction alone, and its
spread looks small. So the standard error is never below the one that the logging probabilities imply, whatever
happened to be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError

__all__ = ["Floats", "LoggedRounds", "Target", "effective_sample_size", "normal_interval", "standard_error"]

Floats = NDArray[np.float64]
"""An array of floats."""

Target = NDArray[np.intp] | Floats
"""(n,) decisions or (n, m) probabilities."""

_Z95: Final = 1.959963984540054
_LEAST_PROBABILITY: Final = 1e-4
_PRIOR_ROUNDS: Final = 10.0


@dataclass(frozen=True)
class LoggedRounds:
    """Requests of a log as bandit rounds.

    Parameters
    ----------
    chosen
        (n,) index of the logged choice.
    propensity
        (n,) probability with which it was made, in (0, 1].
    reward
        (n,) its realised value, NaN where none was observed: such rounds are left out, which assumes that rewards
        are missing for reasons that have nothing to do with their value.
    predicted
        (n, m) predicted values of every candidate, by predictors that never saw the round.
    question
        (n,) which question it asks, 0, 1, ...; requests of one question count as one.
    logging
        (n, m) probabilities with which the log's policy would have chosen each candidate, or None where they are not
        known: then standard errors are those of the rounds alone.

    Raises
    ------
    InputError
        If a propensity is not in (0, 1].
    """

    chosen: NDArray[np.intp]
    propensity: Floats
    reward: Floats
    predicted: Floats
    question: NDArray[np.intp]
    logging: Floats | None = None

    def __post_init__(self) -> None:
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            bad = self.propensity[~((self.propensity > 0) & (self.propensity <= 1))]
            raise InputError(f"a propensity of {bad[0]}, must be in (0, 1]: leave such rounds out, or mend the log")

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(n,) rounds whose reward is known."""
        return ~np.isnan(self.reward)

    def rows(self, kept: NDArray[np.bool_]) -> LoggedRounds:
        """Return the rounds that a mask selects."""
        return LoggedRounds(
            chosen=self.chosen[kept],
            propensity=self.propensity[kept],
            reward=self.reward[kept],
            predicted=self.predicted[kept],
            question=self.question[kept],
            logging=None if self.logging is None else self.logging[kept],
        )

    def weights(self, target: Target) -> Floats:
        """Return (n,) importance weights of a target policy: its probability of the logged choice / propensity."""
        agrees = target == self.chosen if target.ndim == 1 else target[np.arange(len(target)), self.chosen]
        return np.asarray(agrees / self.propensity)

    def expected(self, target: Target) -> Floats:
        """Return (n,) predicted values of a target policy."""
        if target.ndim == 1:
            return np.asarray(self.predicted[np.arange(len(target)), target])
        return np.asarray((target * self.predicted).sum(axis=1))

    @property
    def predicted_of_chosen(self) -> Floats:
        """(n,) predicted values of the logged choices."""
        return np.asarray(self.predicted[np.arange(len(self.chosen)), self.chosen])

    def doubly_robust(self, target: Target) -> Floats:
        """Return per-round values of the target policy on the observed rounds."""
        correction = self.weights(target) * (self.reward - self.predicted_of_chosen)
        return np.asarray((self.expected(target) + correction)[self.observed])

    def value(self, decisions: NDArray[np.intp]) -> float:
        """Return the doubly robust estimate of the target policy's value, each question counted once."""
        return float(self.by_question(self.doubly_robust(decisions)).mean())

    def gain(self, decisions: NDArray[np.intp]) -> tuple[float, float]:
        """Return the estimated value minus what the logging policy got, and its standard error."""
        gains = self.by_question(self.doubly_robust(decisions) - self.reward[self.observed])
        return float(gains.mean()), max(standard_error(gains), self.implied_error(decisions))

    def implied_error(self, decisions: NDArray[np.intp], among: NDArray[np.bool_] | None = None) -> float:
        """Return the standard error that the logging probabilities imply, 0 where they are not known.

        A round corrects the prediction with probability p, by residual / p: a variance of (1 - p)^2 / p times that of
        an outcome about its prediction, whether or not such a round was drawn. Outcome variances are taken per model
        and shrunk, as by ten rounds, to the most that values of this range can have.
        """
        if self.logging is None:
            return 0.0
        counted = self.observed if among is None else self.observed & among
        each = self._counts_for()
        probability = np.maximum(self.logging[np.arange(len(decisions)), decisions], _LEAST_PROBABILITY)
        variance = (1.0 - probability) ** 2 / probability * self._outcome_variance[decisions]
        return float(np.sqrt((each**2 * variance)[counted].sum()))

    @cached_property
    def _outcome_variance(self) -> Floats:
        """(m,) variance of each model's outcomes about their predictions."""
        seen, m = self.observed, self.predicted.shape[1]
        reward, chosen = self.reward[seen], self.chosen[seen]
        worst = (float(np.ptp(reward)) / 2.0) ** 2 if len(reward) else 0.0
        squared = (reward - self.predicted[seen, chosen]) ** 2
        n = np.bincount(chosen, minlength=m)
        return np.asarray((np.bincount(chosen, squared, minlength=m) + _PRIOR_ROUNDS * worst) / (n + _PRIOR_ROUNDS))

    @cached_property
    def _questions(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The question of each observed round, numbered anew, and how many rounds each question has."""
        _, question, n = np.unique(self.question[self.observed], return_inverse=True, return_counts=True)
        return question, n

    def _counts_for(self) -> Floats:
        """Return (n,) what part of the mean over questions each observed round is, 0 for the others."""
        question, n = self._questions
        each = np.zeros(len(self.chosen))
        each[self.observed] = 1.0 / n[question] / max(len(n), 1)
        return each

    def logged_value(self) -> float:
        """Return what the logging policy got, each question counted once."""
        return float(self.by_question(self.reward[self.observed]).mean())

    def effective_sample_size(self, decisions: NDArray[np.intp]) -> float:
        """Return how many questions speak of the target policy; see the function of this name."""
        return effective_sample_size(self.by_question(self.weights(decisions)[self.observed]))

    def by_question(self, rounds: Floats) -> Floats:
        """Return each question's mean of a value per observed round."""
        question, n = self._questions
        return np.asarray(np.bincount(question, rounds) / n)


def effective_sample_size(weight: Floats) -> float:
    """Return (sum of weights)^2 / sum of squares (Kish 1965): how many equal weights vary as little; 0 of none."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def standard_error(values: Floats) -> float:
    """Return the standard error of the mean of independent values; infinite for fewer than two."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("inf")


def normal_interval(mean: float, error: float) -> tuple[float, float, float]:
    """Return (mean, low, high): the 95% normal interval of an estimate with this standard error."""
    return mean, mean - _Z95 * error, mean + _Z95 * error
