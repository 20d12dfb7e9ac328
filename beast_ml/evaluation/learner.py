"""What evaluation asks of a learner: fit on training outcomes, predict for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from beast_ml.logs.outcomes import OutcomeMatrix
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

    def predict(self, prompts: Sequence[str], tasks: Sequence[str] | None) -> Predictions:
        """Return predictions for new prompts; ``tasks`` is given exactly when the learner was fitted with tasks."""
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

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int, use_task: bool) -> FittedLearner:
        """Return predictors fitted on these outcomes; NaN cells are unknown."""
        ...
