"""Choose for one request: constraints first, then utility, then a little exploration with exact propensities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError, NoCandidateError, UnknownModelError
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.pool import Expected

__all__ = ["Choice", "Constraints", "decide", "utilities"]


@dataclass(frozen=True)
class Constraints:
    """The tightest of what a policy and a request ask for; None asks for nothing.

    Raises
    ------
    InputError
        If one is NaN: every comparison with it is false, so it would be ignored in silence.
    """

    min_quality: float | None = None
    max_cost_usd: float | None = None
    max_latency_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_quality", "max_cost_usd", "max_latency_s"):
            value = getattr(self, name)
            if value is not None and isnan(value):
                raise InputError(f"`{name}` is NaN, must be a number, or None for no such constraint")

    def tightened(self, other: Constraints) -> Constraints:
        """Return the tighter of both, field by field."""
        return Constraints(
            _tighter(max, self.min_quality, other.min_quality),
            _tighter(min, self.max_cost_usd, other.max_cost_usd),
            _tighter(min, self.max_latency_s, other.max_latency_s),
        )


@dataclass(frozen=True)
class Choice:
    """What was chosen for one request.

    Parameters
    ----------
    chosen
        Index of the model that answers.
    propensity
        The probability with which it was chosen.
    ranking
        Indices of the allowed candidates, best first (the chosen one may not be the first when exploring).
    binding_constraint
        The constraint that kept out the candidate of highest utility, or None.
    """

    chosen: int
    propensity: float
    ranking: tuple[int, ...]
    binding_constraint: str | None = None


def utilities(policy: PolicySpec, expected: Expected) -> Floats:
    """Return (n, m) utilities: willingness x quality x P(answers) - cost - latency x its price.

    In the unit of cost of the policy; without costs, the quality itself. Quality is lowered by the caution, where a
    router has one.
    """
    quality = expected.quality if expected.caution is None else expected.quality - expected.caution
    if expected.failure is not None:
        quality = quality * (1.0 - expected.failure)
    if policy.cost == "none":
        return quality
    cost = expected.cost_usd if policy.cost == "cost_usd" else expected.latency_s
    if cost is None:
        return quality
    utility = policy.objective.willingness_to_pay * quality - cost
    if policy.objective.latency_usd_per_s and policy.cost == "cost_usd" and expected.latency_s is not None:
        utility = utility - policy.objective.latency_usd_per_s * expected.latency_s
    return np.asarray(utility)


def decide(
    policy: PolicySpec,
    models: Sequence[str],
    expected: Expected,
    row: int,
    constraints: Constraints,
    candidates: Sequence[str] | None,
    uniform: float,
    pick: float,
) -> Choice:
    """Choose for one row of expectations.

    Parameters
    ----------
    policy, models, expected, row
        What to choose by, among whom, on what predictions, and for which row of them.
    constraints, candidates
        What the request allows.
    uniform, pick
        Two draws from [0, 1): whether to explore, and whom.

    Raises
    ------
    NoCandidateError
        If the constraints leave nobody.
    UnknownModelError
        If a candidate is not in the pool.
    InputError
        If ``candidates`` is a string.
    """
    expected = _only(expected, row)
    utility, quality = utilities(policy, expected)[0], expected.quality[0]
    cost = expected.cost_usd[0] if expected.cost_usd is not None else np.zeros(len(models))
    order = sorted(range(len(models)), key=lambda j: (-utility[j], cost[j], j))
    if policy.kind == "single":
        order.sort(key=lambda j: models[j] != policy.model)
    if candidates is not None:
        wanted = _positions(models, candidates)
        order = [j for j in order if j in wanted]
    allowed, binding = [], None
    for j in order:
        broken = _broken(constraints, expected, j)
        if broken is None:
            allowed.append(j)
        elif not allowed and binding is None:
            binding = broken
    if not allowed:
        raise NoCandidateError(_nobody(constraints, models, quality, order))
    k, rate = len(allowed), policy.exploration_rate
    chosen = allowed[min(int(pick * k), k - 1)] if uniform < rate else allowed[0]
    propensity = rate / k + (1.0 - rate if chosen == allowed[0] else 0.0)
    return Choice(chosen, propensity, tuple(allowed), binding)


def _only(expected: Expected, row: int) -> Expected:
    """Return one row of expectations: what is said of a batch must not cost every one of its rows."""
    one = slice(row, row + 1)
    return Expected(
        expected.quality[one],
        None if expected.cost_usd is None else expected.cost_usd[one],
        None if expected.latency_s is None else expected.latency_s[one],
        None if expected.failure is None else expected.failure[one],
        None if expected.caution is None else expected.caution[one],
    )


def _broken(constraints: Constraints, expected: Expected, j: int) -> str | None:
    """Return the name of a constraint that candidate j breaks on the only row there is, or None."""
    if constraints.min_quality is not None and expected.quality[0, j] < constraints.min_quality:
        return "min_quality"
    if constraints.max_cost_usd is not None and _above(expected.cost_usd, j, constraints.max_cost_usd):
        return "max_cost_usd"
    if constraints.max_latency_s is not None and _above(expected.latency_s, j, constraints.max_latency_s):
        return "max_latency_s"
    return None


def _above(values: NDArray[np.float64] | None, j: int, limit: float) -> bool:
    # What cannot be predicted cannot be promised: an unknown cost breaks a cost ceiling.
    return values is None or bool(values[0, j] > limit)


def _positions(models: Sequence[str], candidates: Sequence[str]) -> set[int]:
    if isinstance(candidates, str):
        raise InputError(f"`candidates` == {candidates!r} is one string, give a list of names: [{candidates!r}]")
    unknown = sorted(set(candidates) - set(models))
    if unknown:
        raise UnknownModelError(f"no candidate {unknown[0]!r}; the pool is {', '.join(models)}")
    return {models.index(name) for name in candidates}


def _nobody(constraints: Constraints, models: Sequence[str], quality: Floats, order: Sequence[int]) -> str:
    if not order:
        return "`candidates` is empty: name at least one model of the pool, or leave it out"
    asked = ", ".join(
        f"{name} {getattr(constraints, name):g}"
        for name in ("min_quality", "max_cost_usd", "max_latency_s")
        if getattr(constraints, name) is not None
    )
    best = max(order, key=lambda j: float(quality[j]))
    return (
        f"no candidate meets {asked}; the best predicted quality is {quality[best]:.3f} ({models[best]}): "
        "relax a constraint, or widen `candidates`"
    )


def _tighter(choose: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return choose(a, b)
