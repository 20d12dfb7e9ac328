"""Which models compete, and what their cost is: decided on the training data alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.utility import CostKind

__all__ = ["Pool", "choose_pool", "outcomes_of_pool", "scored_queries", "why_nothing_is_scored"]

Floats = NDArray[np.float64]

_MIN_MODELS = 2


@dataclass(frozen=True)
class Pool:
    """The candidates of a run.

    Parameters
    ----------
    models
        Their names, sorted.
    cost
        The kind of cost of the run.
    left_out
        Model -> why it does not compete.
    """

    models: tuple[str, ...]
    cost: CostKind
    left_out: dict[str, str]


def choose_pool(train: OutcomeMatrix, names: Sequence[str] | None = None, cost: CostKind | None = None) -> Pool:
    """Return the pool: the named models, or all of the training data that can be compared on cost.

    Cost defaults to dollars unless no model of the pool has any, then to seconds, then to none.

    Raises
    ------
    UnknownModelError
        If a model is named that the training data do not know.
    DataError
        If a named model has no quality or no cost in the training data, or no model has the cost that was asked for.
    NotEnoughDataError
        If fewer than two models are left.
    """
    pooled = train.pool(names) if names is not None else train
    kind = cost if cost is not None else _default_cost(pooled)
    left_out = _without_observations(pooled, kind)
    if len(left_out) == len(pooled.models) and cost not in (None, "none"):
        raise DataError(f"no model of the training data has any {kind}: choose another cost, or none")
    if names is not None and left_out:
        model, why = next(iter(left_out.items()))
        raise DataError(f"model {model!r} of the pool has {why}: leave it out of the pool, or choose another cost")
    models = tuple(model for model in pooled.models if model not in left_out)
    if len(models) < _MIN_MODELS:
        what = f"only {models[0]!r}" if models else "no model"
        raise NotEnoughDataError(f"the pool holds {what}: routing needs at least two models to choose from")
    return Pool(models, kind, left_out)


def outcomes_of_pool(test: OutcomeMatrix, models: Sequence[str]) -> OutcomeMatrix:
    """Return the same queries with these models; of those that the data lack nothing was observed."""
    known = test.pool([model for model in models if model in test.models])
    names = tuple(sorted(set(models)))
    at = [names.index(model) for model in known.models]

    def spread(values: Floats) -> Floats:
        cells = np.full((test.n_queries, len(names)), np.nan)
        cells[:, at] = values
        return cells

    return known.with_measures(spread, models=names)


def scored_queries(test: OutcomeMatrix, cost: CostKind) -> NDArray[np.bool_]:
    """Return which queries have quality and cost of every model, so that routers can be compared on them."""
    scored: NDArray[np.bool_] = np.logical_and.reduce(_observed(test, cost), axis=1)
    return scored


def why_nothing_is_scored(test: OutcomeMatrix, cost: CostKind) -> str:
    """Say why no query has quality and cost of every model, and which smaller pool would do."""
    observed = _observed(test, cost)
    wanted = "quality" if cost == "none" else f"quality and {cost}"
    seen = np.logical_or.reduce(observed, axis=0)
    missing = [repr(model) for i, model in enumerate(test.models) if not seen[i]]
    if len(missing) == len(test.models):
        return f"the test data have no usable {wanted} of any model of the pool"
    what = (
        f"the test data have no usable {wanted} of {', '.join(missing)}"
        if missing
        else f"none of the {test.n_queries} test queries has {wanted} of all {len(test.models)} models of the pool"
    )
    return f"{what}: name a smaller pool; {_largest_common_pool(test.models, observed)}"


def _observed(outcomes: OutcomeMatrix, cost: CostKind) -> NDArray[np.bool_]:
    return np.isfinite(outcomes.quality) & np.isfinite(realised_cost(outcomes, cost))


def _largest_common_pool(models: tuple[str, ...], observed: NDArray[np.bool_]) -> str:
    """Say which models share queries, dropping the least observed one after another."""
    kept = np.arange(len(models))
    while len(kept) > _MIN_MODELS:
        rest = observed[:, kept]
        kept = np.delete(kept, int(rest.sum(axis=0).argmin()))
        common = int(np.logical_and.reduce(observed[:, kept], axis=1).sum())
        if common:
            return f"these {len(kept)} models share {common} queries: {','.join(models[i] for i in kept)}"
    return "no two models were observed on the same query"


def _default_cost(pooled: OutcomeMatrix) -> CostKind:
    if np.isfinite(pooled.cost_usd).any():
        return "cost_usd"
    return "latency_s" if np.isfinite(pooled.latency_s).any() else "none"


def _without_observations(pooled: OutcomeMatrix, kind: CostKind) -> dict[str, str]:
    has_quality = np.isfinite(pooled.quality).sum(axis=0) > 0
    has_cost = np.isfinite(realised_cost(pooled, kind)).sum(axis=0) > 0
    reasons = {}
    for i, model in enumerate(pooled.models):
        if not has_quality[i]:
            reasons[model] = "no quality in the training data"
        elif not has_cost[i]:
            reasons[model] = f"no {kind} in the training data"
    return reasons
