"""How well cost, tokens and latency of a set are predicted before the request, cross-validated by question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.cost_accuracy import CostAccuracy, assess_cost
from beast_ml.features.encoder import Encoder
from beast_ml.features.kinds import KIND_TABLE
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.amounts import AMOUNT_FAMILIES, AmountPredictor, FittedAmounts, fit_amounts
from beast_ml.predictors.contract import Floats, Progress, TrainingSet
from beast_ml.predictors.cost import OUTPUT_SHIFT, fit_token_cost, recover_prices
from beast_ml.predictors.families.selection import FamiliesConfig

__all__ = ["AmountBenchmark", "measure_amounts"]

_N_FOLDS: Final = 5
_RESAMPLES: Final = 500


@dataclass(frozen=True)
class AmountBenchmark:
    """What was measured of one set.

    Parameters
    ----------
    accuracy
        Target -> accuracy of out-of-fold predictions: "cost_usd" (as it is served: price x tokens where prices
        explain the costs), "input_tokens", "output_tokens", "latency_s"; those the set has.
    coverage
        Target -> shares of realised amounts inside their 90% intervals: of all, of the worst model, of the worst
        task and the worst kind of at least 100 queries.
    """

    accuracy: dict[str, CostAccuracy]
    coverage: dict[str, dict[str, float]]


def measure_amounts(
    outcomes: OutcomeMatrix,
    encoder: Encoder,
    seed: int = 0,
    families: FamiliesConfig = AMOUNT_FAMILIES,
    progress: Progress | None = None,
) -> AmountBenchmark:
    """Measure every amount an outcome set has, out of fold; boilerplate lines alone are learnt across folds."""
    features = FeatureBuilder(FeatureSpec.learn(encoder, outcomes.prompts), encoder)
    data = TrainingSet(
        features.matrix(outcomes.prompts),
        outcomes,
        query_fold(outcomes.prompts, _N_FOLDS, seed),
        kinds=KIND_TABLE.labels(outcomes.tasks),
    )
    rng = np.random.default_rng(seed)
    bootstrap = QueryBootstrap.draw(rng, outcomes.n_queries, _RESAMPLES)
    fits: dict[str, FittedAmounts[AmountPredictor]] = {}
    accuracy: dict[str, CostAccuracy] = {}
    coverage: dict[str, dict[str, float]] = {}

    def record(target: str, fit: FittedAmounts[Any], realised: Floats) -> None:
        accuracy[target] = assess_cost(
            outcomes.models, fit.out_of_fold, realised, bootstrap, fit.out_of_fold_typical, fit.out_of_fold_inside
        )
        coverage[target] = {name: value for name, value in fit.report.items() if name.startswith("coverage")}

    for target in ("input_tokens", "output_tokens", "latency_s"):
        amounts: Floats = getattr(outcomes, target)
        if (~np.isnan(amounts)).any(axis=0).all():
            shift = OUTPUT_SHIFT if target == "output_tokens" else 0.0
            fit = fits[target] = fit_amounts(data, amounts, target.replace("_", " "), rng, families, progress, shift)
            record(target, fit, amounts)
    prices = recover_prices(outcomes)
    if {"input_tokens", "output_tokens"} <= set(fits) and all(name in prices for name in outcomes.models):
        in_order = tuple(prices[name] for name in outcomes.models)
        priced = fit_token_cost(data, fits["input_tokens"], fits["output_tokens"], in_order)
        record("cost_usd", priced, outcomes.cost_usd)
    elif (~np.isnan(outcomes.cost_usd)).any(axis=0).all():
        dollars = fit_amounts(data, outcomes.cost_usd, "cost", rng, families, progress)
        record("cost_usd", dollars, outcomes.cost_usd)
    return AmountBenchmark(accuracy, coverage)
