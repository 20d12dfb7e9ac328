"""What a policy is: stored in a bundle as ``policy.json``, and all that deciding reads beside predictions."""

from __future__ import annotations

from typing import Literal

import msgspec

from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.policy.utility import CostKind

__all__ = ["PolicySpec"]


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
        Share of requests whose model is drawn uniformly from the allowed candidates.

    Raises
    ------
    InputError
        If the exploration rate is not a share.
    """

    kind: Literal["router", "single"]
    model: str
    objective: Objective
    cost: CostKind = "cost_usd"
    exploration_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.exploration_rate <= 1.0:
            raise InputError(f"`exploration_rate` == {self.exploration_rate}, must be in 0..1")
