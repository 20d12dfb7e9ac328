"""What exploring is worth to a router that learnt from a log, and what it would do and cost under its bounds.

What knowing everything would add to the best expectation is the value of perfect information: it is large where a log
left much open that matters, and falls to nothing as the posterior narrows. A tenth of it is proposed to be spent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.bundle.write import policy_of
from beast_ml.policy.decide import Constraints, rank_batch, utilities, worth_of_quality
from beast_ml.policy.exploration import Exploration, expected_best
from beast_ml.policy.learner import FittedRouter
from beast_ml.predictors.pessimism import PESSIMISM_Z
from beast_ml.predictors.pool import Expected

__all__ = ["ExplorationProposal", "propose_exploration"]

_SPENT: Final = 0.1
_NOTHING: Final = 1e-4


@dataclass(frozen=True)
class ExplorationProposal:
    """What is left open on requests such as the log's, and exploring it.

    Parameters
    ----------
    open_quality
        Quality a request that knowing every candidate's would add, at most; costs counted at the willingness to pay.
    settings
        Those that the router explores by, else those proposed; None where nothing is worth exploring.
    is_set
        Whether the router explores by them.
    rate
        Share of the requests that it would then explore on.
    loss
        Quality that it expects to give up for that, a request.
    extra_cost_usd
        USD a request that it expects to pay more for that (less, where negative); None where costs are not predicted.
    """

    open_quality: float
    settings: Exploration | None
    is_set: bool
    rate: float
    loss: float
    extra_cost_usd: float | None

    def sentence(self) -> str:
        """Return it for people."""
        is_open = f"What the log leaves open is worth up to {self.open_quality:.4f} of quality a request."
        if self.settings is None:
            return f"{is_open} That is not worth exploring."
        extra = "" if self.extra_cost_usd is None else f", {self.extra_cost_usd:+.2g} USD"
        what = (
            f"another model on {self.rate:.1%} of the requests, and expects to give up {self.loss:.4f} of quality a "
            f"request for it{extra}"
        )
        bound = f"{self.settings.max_loss:g}"
        if self.is_set:
            return f"{is_open} The router tries {what} (max_loss {bound})."
        return (
            f"{is_open} With `exploration: {{max_loss: {bound}}}` in mlflow.yaml, or --explore {bound}, the router "
            f"tries {what}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {**asdict(self), "settings": msgspec.to_builtins(self.settings)}


def propose_exploration(router: FittedRouter, expected: Expected) -> ExplorationProposal:
    """Return what exploring is worth on requests, by what the router expects of them; see the module."""
    policy, how = policy_of(router), router.exploration
    if expected.caution is None:
        return ExplorationProposal(0.0, how, how is not None, 0.0, 0.0, None)
    worth = worth_of_quality(policy, expected)
    width = worth * expected.caution
    mean = utilities(policy, expected) + width
    value = expected_best(mean, width / PESSIMISM_Z) - mean.max(axis=1)
    is_open = float(value.mean()) / worth if worth else 0.0
    if how is None and is_open >= _NOTHING:
        how = Exploration(max_loss=float(f"{_SPENT * is_open:.1g}"))
    if how is None:
        return ExplorationProposal(is_open, None, False, 0.0, 0.0, None)
    exploring = msgspec.structs.replace(policy, exploration=how)
    rankings = rank_batch(exploring, router.models, expected, Constraints.of(policy.objective))
    chances = np.zeros(mean.shape)
    for row, ranking in enumerate(rankings):
        for j, propensity in ranking.tried:
            chances[row, j] = propensity
    first = np.array([ranking.allowed[0] for ranking in rankings])[:, None]
    lost = np.maximum(np.take_along_axis(mean, first, axis=1) - mean, 0.0)
    extra = None
    if expected.cost_usd is not None:
        dearer = expected.cost_usd - np.take_along_axis(expected.cost_usd, first, axis=1)
        extra = float((chances * dearer).sum(axis=1).mean())
    return ExplorationProposal(
        open_quality=is_open,
        settings=how,
        is_set=router.exploration is not None,
        rate=float(chances.sum(axis=1).mean()),
        loss=float((chances * lost).sum(axis=1).mean()) / worth if worth else 0.0,
        extra_cost_usd=extra,
    )
