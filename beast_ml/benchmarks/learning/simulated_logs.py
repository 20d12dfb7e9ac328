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
from beast_ml.logs.simulate.config import PolicyConfig
from beast_ml.logs.simulate.policies import LoggingPolicy, logging_policy
from beast_ml.logs.splits import query_fold
from beast_ml.policy.exploration import Exploration, explore
from beast_ml.predictors.pessimism import PESSIMISM_Z
from beast_ml.predictors.pooled_ridge import RidgePrior, fit_pooled_ridge, known_out_of_fold

__all__ = ["DrawnLog", "ExploringPolicy", "LogWorld", "exploring_policy", "policies_of"]

_COLUMNS: Final = 48
_FOLDS: Final = 5
_TEMPERATURE: Final = 0.05
_BOUNDS: Final = Exploration(max_loss=0.1, max_rate=0.3, min_propensity=0.05)
_PRIOR: Final = RidgePrior(7.5, 25.0)
_LEARNT_FROM: Final = 6_000
_OTHERS: Final = 0.2
_DEAREST: Final = 0.15
"""Quality that the dearest model's mean cost is worth."""


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


@dataclass(frozen=True)
class ExploringPolicy:
    """A router that explores by evidence, and policies that its log should be able to tell of.

    Parameters
    ----------
    policy
        On every query of the set. It tries nobody where enough is known.
    targets
        Name -> (N, m) probabilities: its own choice, without what it tries; and a policy that takes, where it tries
        somebody, one of those one time in five.
    """

    policy: LoggingPolicy
    targets: dict[str, Floats]


def exploring_policy(world: LogWorld, rng: np.random.Generator) -> ExploringPolicy:
    """Return a router that has learnt from 6,000 uniform requests, and explores by what it does not know.

    Costs count.
    """
    uniform = logging_policy(world.outcomes, PolicyConfig("uniform"))
    query = rng.integers(len(world.columns), size=_LEARNT_FROM)
    chosen = uniform.choose(query, rng.random(_LEARNT_FROM))
    seen = np.full((_LEARNT_FROM, len(world.outcomes.models)), np.nan)
    seen[np.arange(_LEARNT_FROM), chosen] = world.outcomes.quality[query, chosen]
    columns = world.columns[query]
    noise = known_out_of_fold(columns, seen, world.folds[query], _PRIOR).noise
    ridge = fit_pooled_ridge(columns, seen, _PRIOR, noise)
    costs = np.nan_to_num(np.nanmean(world.outcomes.cost_usd, axis=0))
    mean = ridge.predict(world.columns) - _DEAREST * costs / max(float(costs.max()), np.finfo(float).tiny)
    width = ridge.spread(world.columns)
    first = (mean - PESSIMISM_Z * width).argmax(axis=1)
    tries = np.zeros(mean.shape)
    for row, tried in enumerate(explore(_BOUNDS, mean, width, first)):
        for j, propensity in tried:
            tries[row, j] = propensity
    own = np.zeros(mean.shape)
    own[np.arange(len(first)), first] = 1.0
    rate = tries.sum(axis=1, keepdims=True)
    each = np.divide(tries, rate, out=own.copy(), where=rate > 0)
    return ExploringPolicy(
        LoggingPolicy("simulated:evidence", uniform.candidates, tries + (1.0 - rate) * own, np.argsort(-mean, axis=1)),
        {"its own choice": own, "whom it tries, too": (1.0 - _OTHERS) * own + _OTHERS * each},
    )


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
