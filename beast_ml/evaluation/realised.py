"""What a set of decisions was truly worth, where the outcome of every model is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beast_ml.errors import DataError, UnknownModelError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["RealisedValue", "realised_value"]


@dataclass(frozen=True)
class RealisedValue:
    """Means over the queries of which quality and cost of every model are known, with 95% bootstrap intervals.

    Parameters
    ----------
    n_queries
        How many these are.
    quality, cost_usd
        Of the chosen models: 0..1, USD per query.
    quality_gain
        Quality minus that of the reference model.
    saving
        Fraction of the reference model's cost that is saved.
    """

    n_queries: int
    quality: Estimate
    cost_usd: Estimate
    quality_gain: Estimate
    saving: Estimate


def realised_value(
    outcomes: OutcomeMatrix,
    chosen: Sequence[str],
    reference: str,
    rng: np.random.Generator,
    n_resamples: int = 1000,
) -> RealisedValue:
    """Return what the chosen models' answers were worth, beside one model that answers everything.

    Parameters
    ----------
    outcomes
        The n queries with their outcomes.
    chosen
        The model chosen for each of them.
    reference
        The model to compare with.
    rng
        Draws the resamples.
    n_resamples
        Bootstrap resamples behind each interval.

    Raises
    ------
    UnknownModelError
        If a chosen model, or the reference, is not in the outcomes.
    DataError
        If the decisions are not one a query, or no query is fully observed.
    """
    if len(chosen) != outcomes.n_queries:
        raise DataError(f"{len(chosen)} decisions for {outcomes.n_queries} queries, give one each")
    unknown = sorted({reference, *chosen} - set(outcomes.models))
    if unknown:
        raise UnknownModelError(f"no outcome of model {unknown[0]!r} in the data; it has {', '.join(outcomes.models)}")
    known = np.isfinite(outcomes.quality).all(axis=1) & np.isfinite(outcomes.cost_usd).all(axis=1)
    if not known.any():
        raise DataError("no query has the quality and the cost of every model: nothing can be compared")
    n = int(known.sum())
    board = Scoreboard(
        outcomes.quality[known],
        outcomes.cost_usd[known],
        reference=outcomes.models.index(reference),
        willingness=float("inf"),
        bootstrap=QueryBootstrap.draw(rng, n, n_resamples),
    )
    column = {model: j for j, model in enumerate(outcomes.models)}
    metrics = board.point_metrics(np.array([column[model] for model in chosen], dtype=np.int16)[known])
    quality, cost, gain, saving = (Estimate.of(metrics[name]) for name in ("quality", "cost", "quality_gain", "saving"))
    return RealisedValue(n, quality, cost, gain, saving)
