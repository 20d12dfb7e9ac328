"""What a policy is: stored in a bundle as ``policy.json``, and all that deciding reads beside predictions."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.utility import CostKind

__all__ = ["PolicySpec"]

_MIN_RATE: Final = 1e-6


class PolicySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to choose.

    Parameters
    ----------
    kind
        ``router``: by utility. ``single``: ``model`` whenever it is allowed, the others by utility after it.
    model
        The best single model of the training data.
    objective
        Willingness to pay and standing constraints.
    cost
        What plays the part of cost: with ``latency_s`` the willingness to pay is in seconds.
    exploration_rate
        Share of requests whose model is drawn uniformly from the allowed candidates: 0, or at least one in a million.
    exploration
        How to try, instead, those candidates that may be better than is known; None: not at all.

    Raises
    ------
    InputError
        If the exploration rate is no such share, or both ways to explore are given.
    """

    kind: Literal["router", "single"]
    model: str
    objective: Objective
    cost: CostKind = "cost_usd"
    exploration_rate: float = 0.0
    exploration: Exploration | None = None

    def __post_init__(self) -> None:
        # A smaller rate would divide into propensities that no log can be weighted by, and at last into zero.
        if self.exploration_rate != 0.0 and not _MIN_RATE <= self.exploration_rate <= 1.0:
            raise InputError(f"`exploration_rate` == {self.exploration_rate}, must be 0, or in {_MIN_RATE:g}..1")
        if self.exploration_rate and self.exploration is not None:
            raise InputError(
                f"`exploration_rate` == {self.exploration_rate} beside `exploration`: give one, for what uniform draws "
                "cost is in no bound"
            )
