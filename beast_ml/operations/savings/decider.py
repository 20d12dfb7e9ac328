"""What decides under a switch of router: the champion's predictions, or those that the log itself teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.read import RouterBundle
from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.operations.savings.log import SavingsLog
from beast_ml.policy.decide import quality_acted_on
from beast_ml.policy.spec import PolicySpec
from beast_ml.policy.utility import Predictions, choose

__all__ = ["Decider", "champion_decider", "log_decider"]

_NEVER: Final = -1e9


@dataclass(frozen=True)
class Decider:
    """Predictions to decide by.

    Parameters
    ----------
    predictions
        (n, m) of the log's requests and models; quality is far below 0 for a model that may not be chosen.
    policy
        The champion's; None where the log itself taught the predictions.
    """

    predictions: Predictions
    policy: PolicySpec | None

    @property
    def name(self) -> str:
        """Whose decisions these are, for people."""
        return "the champion" if self.policy is not None else "a router learnt from this log"

    @property
    def willingness_to_pay(self) -> float | None:
        """USD for one unit of quality; None where it has none, as it always takes one model or goes by no cost."""
        policy = self.policy
        if policy is None or policy.kind != "router" or policy.cost != "cost_usd":
            return None
        return policy.objective.willingness_to_pay

    def as_it_is(self) -> NDArray[np.intp] | None:
        """Return (n,) the champion's own decisions, without exploration and standing constraints; None without one."""
        if self.policy is None:
            return None
        if self.policy.kind == "single":
            return self._always(self.policy.model)
        willing = self.willingness_to_pay
        return self.at(float("inf") if willing is None else willing)

    def at(self, willingness_to_pay: float) -> NDArray[np.intp]:
        """Return (n,) decisions at a willingness to pay."""
        return choose(self.predictions, willingness_to_pay)

    def cheapest_above(self, floor: float) -> NDArray[np.intp]:
        """Return (n,) the cheapest models predicted to reach a quality; where none is, the best."""
        quality, cost = self.predictions.quality, self.predictions.cost
        reaches = quality >= floor
        cheapest = np.where(reaches, cost, np.inf).argmin(axis=1)
        return np.asarray(np.where(reaches.any(axis=1), cheapest, quality.argmax(axis=1)), dtype=np.intp)

    def preference(self) -> Floats:
        """Return (n, m) how much each model is worth to it: what a request goes by where the first is not there."""
        willing = self.willingness_to_pay
        quality, cost = self.predictions.quality, self.predictions.cost
        return quality if not willing else np.asarray(willing * quality - cost)

    def _always(self, model: str) -> NDArray[np.intp]:
        return np.full(len(self.predictions.quality), self.predictions.models.index(model), dtype=np.intp)


def log_decider(log: SavingsLog) -> Decider:
    """Return what a router would go by that is learnt from the log, each prediction by fits without the question."""
    quality = np.where(log.candidates, log.cautious, _NEVER)
    return Decider(Predictions(log.models, quality, log.cost.predicted), None)


def champion_decider(log: SavingsLog, logged: LoggedOutcomes, bundle: RouterBundle) -> Decider | None:
    """Return what a bundle would go by; None where it shares fewer than two models with the log.

    Its features of the past count as unknown, and models that the log does not have are never chosen.
    """
    shared = [name for name in bundle.manifest.models if name in log.models]
    if len(shared) < 2 or bundle.policy.model not in shared:
        return None
    prompts = logged.matrix.prompts
    history = bundle.features.spec.history
    past = None if history is None else np.zeros((len(prompts), history.dim), dtype=np.float32)
    expected = bundle.predictors.predict(bundle.features.matrix(prompts, logged.context, past))
    quality = np.full(log.candidates.shape, _NEVER)
    cost = np.array(log.cost.predicted)
    acted_on = quality_acted_on(expected)
    for name in shared:
        theirs, ours = bundle.manifest.models.index(name), log.models.index(name)
        quality[:, ours] = np.where(log.candidates[:, ours], acted_on[:, theirs], _NEVER)
        if expected.cost_usd is not None:
            cost[:, ours] = expected.cost_usd[:, theirs]
    return Decider(Predictions(log.models, quality, cost), bundle.policy)
