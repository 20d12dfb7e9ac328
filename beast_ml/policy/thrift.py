"""What a policy becomes while a budget burns: quality is worth less and less, until cost alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from beast_ml.policy.decide import quality_acted_on
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.pool import Expected

__all__ = ["thrifty_router", "thrifty_single"]

_WORTH_AT_HALF: Final = 4.0
"""At half thrift one unit of quality is worth this many answers of the leader: 0.25 of quality keeps it its place."""
_LEAST_LEAD: Final = 0.02
"""Of quality, by which the leader counts as better at least: it leads as a whole, not by forecasts of one request."""
_LEAST_THRIFT: Final = 1e-9


def thrifty_router(policy: PolicySpec, thrift: float) -> PolicySpec:
    """Return a router's policy at a lower willingness to pay; ``thrift``, 0..1, is the share that is taken off it."""
    objective = policy.objective
    willing = objective.willingness_to_pay * (1.0 - thrift)
    return replace(policy, objective=replace(objective, willingness_to_pay=willing))


def thrifty_single(
    policy: PolicySpec, models: Sequence[str], expected: Expected, allowed: Sequence[int], thrift: float
) -> PolicySpec:
    """Return by what one request is decided where a single model leads and money is short.

    A single model is chosen at any price, so there is no willingness to pay to take a share off. Instead it falls from
    infinity to zero, in units of what the leader's answer costs. The leader keeps its place until a cheaper model saves
    more than the quality it lacks is worth; so, as thrift grows, first those requests leave it that lose the least.
    Nobody dearer than the leader is ever chosen for thrift.

    Parameters
    ----------
    policy
        Of kind ``single``.
    models, expected
        The pool, and one row of expectations of it.
    allowed
        Indices of who may be chosen for this request, the leader first.
    thrift
        0..1: where quality no longer counts; above 0.
    """
    if expected.cost_usd is None:
        return policy  # nobody is known to be cheaper
    leader = allowed[0]
    others = list(allowed[1:])
    price = float(expected.cost_usd[0, leader])
    quality = quality_acted_on(expected)[0]
    lacks, saves = quality[leader] - quality[others], price - expected.cost_usd[0, others]
    willing = _WORTH_AT_HALF * price * (1.0 - thrift) / max(thrift, _LEAST_THRIFT)
    keeps = bool((willing * np.maximum(lacks, _LEAST_LEAD) >= saves)[saves > 0].all())
    if not keeps:
        dearer = (saves < 0) & (lacks < 0)
        willing = min([willing, *(saves[dearer] / lacks[dearer]).tolist()])
    return replace(
        policy,
        kind="single" if keeps else "router",
        model=models[leader],
        cost="cost_usd",
        objective=replace(policy.objective, willingness_to_pay=willing, latency_usd_per_s=0.0),
    )
