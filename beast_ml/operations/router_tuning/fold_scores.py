"""What a router with some settings does on one fold that it was not fitted on."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.router_tuning.worth import mean_utility
from beast_ml.policy.learner import FittedRouter, RouterLearner, realised_cost
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.policy.utility import CostKind, Predictions, choose
from beast_ml.predictors.fit_memo import FitMemo
from beast_ml.predictors.pool import PoolFamilies

__all__ = ["FoldScores", "FoldTask", "operating_choices"]

Floats = NDArray[np.float64]


class FoldScores(msgspec.Struct, frozen=True):
    """(s,) figures of the queries of a fold, rounded as they are stored.

    Parameters
    ----------
    worth
        See `mean_utility`.
    quality, cost, latency_s
        Of what is chosen at the operating point; latency None where it is not known.
    """

    worth: list[float]
    quality: list[float]
    cost: list[float]
    latency_s: list[float] | None = None


@dataclass(frozen=True)
class FoldTask:
    """What all trials of a search are given.

    Parameters
    ----------
    outcomes
        The training outcomes; every query is complete in quality and cost.
    cost
        Kind of cost.
    willingness
        (k,) see `willingness_range`.
    learner
        What the settings do not speak of: prices, kinds.
    seed
        Of fits.
    memos
        What trials with the same encoder, context and training part leave to each other.
    """

    outcomes: OutcomeMatrix
    cost: CostKind
    willingness: Floats
    learner: RouterLearner
    seed: int
    memos: dict[Hashable, FitMemo] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    def fit(self, settings: LearnerSettings, train: NDArray[np.bool_]) -> FittedRouter:
        """Return the router that these settings would serve."""
        return settings.applied_to(self.learner).fit(self.outcomes.rows(train), self.cost, self.seed)

    def predict(self, router: FittedRouter, test: NDArray[np.bool_]) -> Predictions:
        """Return what a router expects on queries."""
        held = self.outcomes.rows(test)
        return router.predict(held.prompts, held.contexts(router.context))

    def score(self, settings: LearnerSettings, train: NDArray[np.bool_], test: NDArray[np.bool_]) -> FoldScores:
        """Return how a router fitted on some queries does on others.

        It decides by what the families expect, before one network is taught to say it: that takes as long as all else.
        """
        families = self.learner.families
        amounts = replace(families.amounts, members=("ridge",), student=None)
        quick = replace(self.learner, families=PoolFamilies(replace(families.quality, student=None), amounts))
        memo = self.memos.setdefault((settings.encoder, settings.context, train.tobytes()), FitMemo())
        router = settings.applied_to(quick).fit(self.outcomes.rows(train), self.cost, self.seed, memo=memo)
        held = self.outcomes.rows(test)
        predictions = router.undistilled.predict(held.prompts, held.contexts(router.context))
        cost = realised_cost(held, self.cost)
        at, chosen = np.arange(held.n_queries), operating_choices(router, predictions)
        latency = held.latency_s[at, chosen]
        known = self.cost != "latency_s" and bool(np.isfinite(held.latency_s).all())
        return FoldScores(
            worth=_stored(mean_utility(predictions, held.quality, cost, self.willingness)),
            quality=_stored(held.quality[at, chosen]),
            cost=_stored(cost[at, chosen]),
            latency_s=_stored(latency) if known else None,
        )


def operating_choices(router: FittedRouter, predictions: Predictions) -> NDArray[np.intp]:
    """Return (n,) what a router chooses at its operating point."""
    point = router.operating_point
    if point.willingness_to_pay is None:
        return np.full(len(predictions.quality), predictions.models.index(point.model))
    return choose(predictions, point.willingness_to_pay)


def _stored(values: Floats) -> list[float]:
    return [float(f"{value:.7g}") for value in values]
