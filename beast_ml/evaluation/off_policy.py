"""What another policy would have got on a log of which only the chosen models' outcomes are known.

Estimators are per-round values, so that differences between policies are paired by request. Every question counts once,
however often it was asked: its rounds are averaged first. Repeats of one question are one piece of evidence about
routing (and what a cache should answer), and a few hot ones would otherwise decide everything.

Doubly robust (Dudik, Langford, Li 2011): unbiased when the propensities are right, and of low variance when the
predictions are good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError

__all__ = ["LoggedRounds", "normal_interval"]

Floats = NDArray[np.float64]

_Z95 = 1.959963984540054


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

    def __post_init__(self) -> None:
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            bad = self.propensity[~((self.propensity > 0) & (self.propensity <= 1))]
            raise InputError(f"a propensity of {bad[0]}, must be in (0, 1]: leave such rounds out, or mend the log")

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(n,) rounds whose reward is known."""
        return ~np.isnan(self.reward)

    def weights(self, decisions: NDArray[np.intp]) -> Floats:
        """Return (n,) importance weights of a deterministic target policy: 1 / propensity where it agrees, else 0."""
        return np.asarray((decisions == self.chosen) / self.propensity)

    def doubly_robust(self, decisions: NDArray[np.intp]) -> Floats:
        """Return per-round values of the target policy on the observed rounds."""
        n = np.arange(len(self.chosen))
        correction = self.weights(decisions) * (self.reward - self.predicted[n, self.chosen])
        return np.asarray((self.predicted[n, decisions] + correction)[self.observed])

    def value(self, decisions: NDArray[np.intp]) -> float:
        """Return the doubly robust estimate of the target policy's value, each question counted once."""
        return float(self._by_question(self.doubly_robust(decisions)).mean())

    def gain(self, decisions: NDArray[np.intp]) -> tuple[float, float]:
        """Return the estimated value minus what the logging policy got, and its standard error."""
        gains = self._by_question(self.doubly_robust(decisions) - self.reward[self.observed])
        n = len(gains)
        return float(gains.mean()), float(gains.std(ddof=1) / n**0.5) if n > 1 else float("inf")

    def logged_value(self) -> float:
        """Return what the logging policy got, each question counted once."""
        return float(self._by_question(self.reward[self.observed]).mean())

    def effective_sample_size(self, decisions: NDArray[np.intp]) -> float:
        """Return how many questions speak of the target policy: (sum of weights)^2 / sum of squares, by question."""
        weights = self._by_question(self.weights(decisions)[self.observed])
        total = float((weights**2).sum())
        return float(weights.sum()) ** 2 / total if total else 0.0

    def _by_question(self, rounds: Floats) -> Floats:
        """Return the mean of each question's observed rounds."""
        _, question, n = np.unique(self.question[self.observed], return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(question, rounds) / n)


def normal_interval(mean: float, error: float) -> tuple[float, float, float]:
    """Return (mean, low, high): the 95% normal interval of an estimate with this standard error."""
    return mean, mean - _Z95 * error, mean + _Z95 * error
