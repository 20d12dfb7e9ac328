"""Choose for requests: constraints first, then utility, then a little exploration with exact propensities.

Whom chance may choose, and how probably, is part of the ranking: so the propensity of a choice is the probability that
it was drawn with, whichever way the policy explores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final

import msgspec
import numpy as np

from beast_ml.domain import Objective
from beast_ml.errors import InputError, NoCandidateError, UnknownModelError
from beast_ml.policy.exploration import Exploration, explore
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.pessimism import PESSIMISM_Z
from beast_ml.predictors.pool import Expected

__all__ = [
    "Choice",
    "Constraints",
    "Ranking",
    "choice_among",
    "decide",
    "decide_batch",
    "only",
    "quality_acted_on",
    "rank_batch",
    "utilities",
    "worth_of_quality",
]

_CONSTRAINTS: Final = ("min_quality", "max_cost_usd", "max_latency_s")


@dataclass(frozen=True)
class Constraints:
    """The tightest of what a policy and a request ask for; None asks for nothing.

    Parameters
    ----------
    min_quality, max_cost_usd, max_latency_s
        On what is predicted; None: no such constraint.

    Raises
    ------
    InputError
        If one is NaN: every comparison with it is false, so it would be ignored in silence.
    """

    min_quality: float | None = None
    max_cost_usd: float | None = None
    max_latency_s: float | None = None

    def __post_init__(self) -> None:
        for name in _CONSTRAINTS:
            value = getattr(self, name)
            if value is not None and isnan(value):
                raise InputError(f"`{name}` is NaN, must be a number, or None for no such constraint")

    @classmethod
    def of(cls, objective: Objective) -> Constraints:
        """Return the standing ones of an objective."""
        return cls(*(getattr(objective, name) for name in _CONSTRAINTS))

    def tightened(self, other: Constraints) -> Constraints:
        """Return the tighter of both, field by field."""
        return Constraints(
            _tighter(max, self.min_quality, other.min_quality),
            _tighter(min, self.max_cost_usd, other.max_cost_usd),
            _tighter(min, self.max_latency_s, other.max_latency_s),
        )


class Choice(msgspec.Struct, frozen=True):
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


class Ranking(msgspec.Struct, frozen=True):
    """Who may be chosen for one request, before chance has its say.

    Parameters
    ----------
    allowed
        Indices of the allowed candidates, best first; at least one.
    binding_constraint
        As of a `Choice`.
    tried
        Which others may be chosen instead of the first, and how probably.
    propensity
        How probably the first is chosen.
    """

    allowed: tuple[int, ...]
    binding_constraint: str | None = None
    tried: tuple[tuple[int, float], ...] = ()
    propensity: float = 1.0

    def trying(self, tried: tuple[tuple[int, float], ...]) -> Ranking:
        """Return the ranking with candidates to be tried instead of the first."""
        rest = 1.0 - sum([propensity for _, propensity in tried])
        return Ranking(self.allowed, self.binding_constraint, tried, rest)


def quality_acted_on(expected: Expected) -> Floats:
    """Return the (n, m) quality that choices go by: times P(answers), less the caution where a router has one.

    The same for a request that is served and for the log that a router is judged on.
    """
    quality = expected.quality
    if expected.failure is not None:
        quality = quality * (1.0 - expected.failure)
    if expected.caution is not None:  # last: a lower bound below zero must not gain from failures
        quality = quality - expected.caution
    return quality


def utilities(policy: PolicySpec, expected: Expected) -> Floats:
    """Return (n, m) utilities: willingness x `quality_acted_on` - cost - latency x its price.

    In the unit of cost of the policy; without costs, the quality itself.
    """
    quality = quality_acted_on(expected)
    cost = _cost(policy, expected)
    if cost is None:
        return quality
    utility = policy.objective.willingness_to_pay * quality - cost
    if policy.objective.latency_usd_per_s and policy.cost == "cost_usd" and expected.latency_s is not None:
        utility = utility - policy.objective.latency_usd_per_s * expected.latency_s
    return np.asarray(utility)


def worth_of_quality(policy: PolicySpec, expected: Expected) -> float:
    """Return the utility of one unit of quality; see `utilities`."""
    return 1.0 if _cost(policy, expected) is None else policy.objective.willingness_to_pay


def decide(
    policy: PolicySpec,
    models: Sequence[str],
    expected: Expected,
    row: int,
    constraints: Constraints,
    candidates: Sequence[str] | None,
    uniform: float = 0.0,
) -> Choice:
    """Choose for one row of expectations.

    Parameters
    ----------
    policy, models, expected, row
        What to choose by, among whom, on what predictions, and for which row of them.
    constraints, candidates
        What the request allows.
    uniform
        A draw from [0, 1), for whether to explore and whom; 0 never does.

    Raises
    ------
    NoCandidateError
        If the constraints leave nobody.
    UnknownModelError
        If a candidate is not in the pool.
    InputError
        If ``candidates`` is a string.
    """
    return decide_batch(policy, models, only(expected, row), constraints, [uniform], candidates)[0]


def decide_batch(
    policy: PolicySpec,
    models: Sequence[str],
    expected: Expected,
    constraints: Constraints,
    draws: Sequence[float] | None = None,
    candidates: Sequence[str] | None = None,
) -> list[Choice]:
    """Choose for every row of expectations; see `decide`.

    Parameters
    ----------
    policy, models, expected
        What to choose by, among whom, and on what predictions.
    constraints, candidates
        What all the requests allow.
    draws
        A draw from [0, 1) a row, for whether to explore and whom; None explores nowhere.
    """
    rankings = rank_batch(policy, models, expected, constraints, candidates)
    if draws is None:
        return [choice_among(ranking) for ranking in rankings]
    return list(map(choice_among, rankings, draws))


def rank_batch(
    policy: PolicySpec,
    models: Sequence[str],
    expected: Expected,
    constraints: Constraints,
    candidates: Sequence[str] | None = None,
) -> list[Ranking]:
    """Rank the candidates for every row of expectations; see `decide`."""
    utility = utilities(policy, expected)
    ties = () if expected.cost_usd is None else (expected.cost_usd,)
    orders: list[list[int]] = np.lexsort((*ties, -utility)).tolist()  # ties go to the cheaper, then to the first
    if policy.kind == "single" and policy.model in models:
        single = models.index(policy.model)
        for order in orders:
            order.remove(single)
            order.insert(0, single)
    if candidates is not None:
        wanted = _positions(models, candidates)
        orders = [[j for j in order if j in wanted] for order in orders]
    broken = _broken(constraints, expected)
    rankings = []
    for row, order in enumerate(orders):
        allowed, binding = (order, None) if broken is None else _allowed(order, broken[row])
        if not allowed:
            raise NoCandidateError(_nobody(constraints, models, expected.quality[row], order))
        rankings.append(Ranking(tuple(allowed), binding))
    if policy.exploration_rate:
        return [_uniformly(ranking, policy.exploration_rate) for ranking in rankings]
    if policy.exploration is not None and expected.caution is not None:
        return _by_evidence(policy, policy.exploration, expected, utility, rankings)
    return rankings


def choice_among(ranking: Ranking, uniform: float = 0.0) -> Choice:
    """Choose the first of a ranking or, as chance has it, one that is tried instead; the draw is as in `decide`."""
    allowed, binding = ranking.allowed, ranking.binding_constraint
    if uniform >= ranking.propensity:
        left = uniform - ranking.propensity
        for tried, propensity in ranking.tried:
            if left < propensity:
                return Choice(tried, propensity, allowed, binding)
            left -= propensity
    return Choice(allowed[0], ranking.propensity, allowed, binding)


def _uniformly(ranking: Ranking, rate: float) -> Ranking:
    """Return a ranking of which, with probability ``rate``, anyone is taken."""
    each = rate / len(ranking.allowed)
    return ranking.trying(tuple([(j, each) for j in ranking.allowed[1:]]))


def _by_evidence(
    policy: PolicySpec, how: Exploration, expected: Expected, utility: Floats, rankings: list[Ranking]
) -> list[Ranking]:
    """Return rankings that try whoever may well be better than the first; ``utility`` is what they are ranked by."""
    assert expected.caution is not None  # noqa: S101  the caller has seen it
    worth = worth_of_quality(policy, expected)
    width = worth * expected.caution
    allowed = None
    if any(len(ranking.allowed) < utility.shape[1] for ranking in rankings):
        allowed = np.zeros(utility.shape, dtype=bool)
        for row, ranking in enumerate(rankings):
            allowed[row, list(ranking.allowed)] = True
    first = np.array([ranking.allowed[0] for ranking in rankings])
    tried = explore(how, utility + width, width / PESSIMISM_Z, first, allowed, expected.cost_usd, worth)
    return [ranking.trying(each) if each else ranking for ranking, each in zip(rankings, tried, strict=True)]


def _cost(policy: PolicySpec, expected: Expected) -> Floats | None:
    """Return (n, m) what plays the part of cost; None where nothing does."""
    return {"cost_usd": expected.cost_usd, "latency_s": expected.latency_s, "none": None}[policy.cost]


def only(expected: Expected, row: int) -> Expected:
    """Return one row of expectations: what is said of a batch must not cost every one of its rows."""
    if len(expected.quality) == 1:
        return expected
    one = slice(row, row + 1)
    return Expected(
        expected.quality[one],
        None if expected.cost_usd is None else expected.cost_usd[one],
        None if expected.latency_s is None else expected.latency_s[one],
        None if expected.failure is None else expected.failure[one],
        None if expected.caution is None else expected.caution[one],
    )


def _broken(constraints: Constraints, expected: Expected) -> list[list[str | None]] | None:
    """Return, per row and candidate, the name of the first constraint it breaks; None where there is no constraint."""
    floor, max_cost, max_latency = constraints.min_quality, constraints.max_cost_usd, constraints.max_latency_s
    if floor is None and max_cost is None and max_latency is None:
        return None
    names = np.full(expected.quality.shape, None, dtype=object)
    ceilings = (("max_latency_s", expected.latency_s, max_latency), ("max_cost_usd", expected.cost_usd, max_cost))
    for name, amounts, limit in ceilings:  # the first constraint is written last
        if limit is not None:
            # What cannot be predicted cannot be promised: an unknown cost breaks a cost ceiling.
            names[... if amounts is None else amounts > limit] = name
    if floor is not None:
        names[expected.quality < floor] = "min_quality"
    rows: list[list[str | None]] = names.tolist()
    return rows


def _allowed(order: Sequence[int], broken: Sequence[str | None]) -> tuple[list[int], str | None]:
    """Return who breaks nothing, best first, and what the best of all breaks."""
    return [j for j in order if broken[j] is None], broken[order[0]] if order else None


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
        f"{name} {getattr(constraints, name):g}" for name in _CONSTRAINTS if getattr(constraints, name) is not None
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
