"""What evaluation asks of a learner: fit on training outcomes, predict for prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.policy.utility import COST_KINDS, CostKind, Predictions

__all__ = ["COST_KINDS", "CostKind", "Distilled", "FittedLearner", "Learner"]


class FittedLearner(Protocol):
    """Predictors of quality and cost for every candidate model."""

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates, sorted."""
        ...

    @property
    def out_of_fold(self) -> Predictions:
        """(n, m) predictions for the training queries, each made by predictors that never saw its question."""
        ...

    def predict(self, prompts: Sequence[str], contexts: Sequence[Mapping[str, str]] | None) -> Predictions:
        """Return predictions for new prompts, of which nothing else is known where there are no contexts."""
        ...


@runtime_checkable
class Distilled(Protocol):
    """A fitted learner that serves a smaller version of what it learned."""

    @property
    def undistilled(self) -> FittedLearner:
        """What it learned, for comparison."""
        ...


class Learner(Protocol):
    """Anything that learns predictors from outcomes."""

    @property
    def context(self) -> tuple[ContextKey, ...]:
        """What it may read of a query beside its prompt."""
        ...

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int) -> FittedLearner:
        """Return predictors fitted on these outcomes; NaN cells are unknown."""
        ...
