"""Logs drawn again and again from outcomes whose truth is known, with policies to be evaluated on them.

Requests are drawn independently, with replacement, from the queries of a set: the set is the population, and a policy's
true value is its mean over it. So every request is a unit of its own, repeats of a query included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.outcome_model import choose_outcome_prior, predict_outcomes, request_columns
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.policies import LoggingPolicy
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.pooled_ridge import RidgePrior

__all__ = ["DrawnLog", "LogWorld", "policies_of"]

_COLUMNS: Final = 48
_FOLDS: Final = 5
_TEMPERATURE: Final = 0.05


@dataclass(frozen=True)
class DrawnLog:
    """One log.

    Parameters
    ----------
    rounds
        With outcomes predicted out of fold.
    query
        (n,) which query of the set each round asks.
    """

    rounds: LoggedRounds
    query: NDArray[np.intp]


@dataclass(frozen=True)
class LogWorld:
    """A set that logs are drawn from.

    Parameters
    ----------
    outcomes
        N queries x m models, every quality known.
    columns
        (N, k) of the queries.
    folds
        (N,) of the queries' texts.
    targets
        Name -> (N, m) probabilities of a policy to be evaluated.
    """

    outcomes: OutcomeMatrix
    columns: Floats
    folds: NDArray[np.intp]
    targets: dict[str, Floats]

    @classmethod
    def of(cls, outcomes: OutcomeMatrix, encoder: Encoder, seed: int = 0) -> LogWorld:
        """Return the world of an outcome set; queries that not every model has answered are left out."""
        kept = outcomes.rows(np.flatnonzero(np.isfinite(outcomes.quality).all(axis=1)))
        columns = request_columns(kept.prompts, encoder, np.random.default_rng(seed), _COLUMNS)
        return cls(kept, columns, query_fold(kept.prompts, _FOLDS, seed), policies_of(kept))

    def truth(self, target: Floats) -> float:
        """Return the true value of a policy."""
        return float((target * self.outcomes.quality).sum(axis=1).mean())

    def prior(self, policy: LoggingPolicy, n: int, rng: np.random.Generator) -> RidgePrior:
        """Return the outcome model's prior, chosen on one log that is not used otherwise."""
        query, chosen, reward = self._draw(policy, n, rng)
        return choose_outcome_prior(
            self.columns[query], reward, chosen, len(self.outcomes.models), self.folds[query], 0.0, 1.0
        )

    def draw(
        self, policy: LoggingPolicy, n: int, prior: RidgePrior, rng: np.random.Generator, labels: float = 1.0
    ) -> DrawnLog:
        """Return a log of n requests.

        Parameters
        ----------
        labels
            Share of the rounds, drawn at random, whose reward is known.
        """
        query, chosen, reward = self._draw(policy, n, rng)
        if labels < 1.0:
            reward = np.where(rng.random(n) < labels, reward, np.nan)
        predicted = predict_outcomes(
            self.columns[query], reward, chosen, len(self.outcomes.models), self.folds[query], 0.0, 1.0, prior
        )
        propensity = policy.probabilities[query, chosen]
        return DrawnLog(LoggedRounds(chosen, propensity, reward, predicted, np.arange(n)), query)

    def _draw(
        self, policy: LoggingPolicy, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
        query = rng.integers(len(self.outcomes.quality), size=n)
        chosen = policy.choose(query, rng.random(n))
        return query, chosen, self.outcomes.quality[query, chosen]


def policies_of(outcomes: OutcomeMatrix) -> dict[str, Floats]:
    """Return policies to be evaluated: a soft one that goes by the task, and always the second-best model."""
    names, task = np.unique(outcomes.tasks, return_inverse=True)
    means = np.stack([outcomes.quality[task == j].mean(axis=0) for j in range(len(names))])
    soft = np.exp((means - means.max(axis=1, keepdims=True)) / _TEMPERATURE)
    soft /= soft.sum(axis=1, keepdims=True)
    second = int(np.argsort(outcomes.quality.mean(axis=0))[-2])
    alone = np.zeros(outcomes.quality.shape)
    alone[:, second] = 1.0
    return {"by task, soft": soft[task], "second-best model": alone}
