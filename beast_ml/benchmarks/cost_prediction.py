"""How well cost, tokens and latency of a set are predicted before the request, cross-validated by question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.cost_accuracy import CostAccuracy, assess_cost
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.amounts import AMOUNT_FAMILIES, FittedAmounts, fit_amounts
from beast_ml.predictors.contract import Floats, Progress, TrainingSet
from beast_ml.predictors.cost import fit_token_cost, recover_prices
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
        task of at least 100 queries.
    """

    accuracy: dict[str, CostAccuracy]
    coverage: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, object]:
        """Return the values for a report."""
        return {
            target: {**accuracy.to_dict(), "coverage": self.coverage[target]}
            for target, accuracy in self.accuracy.items()
        }


def measure_amounts(
    outcomes: OutcomeMatrix,
    encoder: Encoder,
    seed: int = 0,
    families: FamiliesConfig = AMOUNT_FAMILIES,
    progress: Progress | None = None,
) -> AmountBenchmark:
    """Measure every amount an outcome set has, out of fold; boilerplate lines alone are learnt across folds."""
    features = FeatureBuilder(FeatureSpec.learn(encoder, outcomes.prompts), encoder)
    data = TrainingSet(features.matrix(outcomes.prompts), outcomes, query_fold(outcomes.prompts, _N_FOLDS, seed))
    rng = np.random.default_rng(seed)
    bootstrap = QueryBootstrap.draw(rng, outcomes.n_queries, _RESAMPLES)
    fits: dict[str, FittedAmounts] = {}
    accuracy: dict[str, CostAccuracy] = {}
    coverage: dict[str, dict[str, float]] = {}

    def record(target: str, predicted: Floats, realised: Floats, report: dict[str, float]) -> None:
        accuracy[target] = assess_cost(outcomes.models, predicted, realised, bootstrap)
        coverage[target] = {name: value for name, value in report.items() if name.startswith("coverage")}

    for target in ("input_tokens", "output_tokens", "latency_s"):
        amounts: Floats = getattr(outcomes, target)
        if (~np.isnan(amounts)).any(axis=0).all():
            fit = fits[target] = fit_amounts(data, amounts, target.replace("_", " "), rng, families, progress)
            record(target, fit.out_of_fold, amounts, dict(fit.report))
    prices = recover_prices(outcomes)
    if {"input_tokens", "output_tokens"} <= set(fits) and all(name in prices for name in outcomes.models):
        in_order = tuple(prices[name] for name in outcomes.models)
        priced = fit_token_cost(data, fits["input_tokens"], fits["output_tokens"], in_order)
        record("cost_usd", priced.out_of_fold, outcomes.cost_usd, dict(priced.report))
    elif (~np.isnan(outcomes.cost_usd)).any(axis=0).all():
        dollars = fit_amounts(data, outcomes.cost_usd, "cost", rng, families, progress)
        record("cost_usd", dollars.out_of_fold, outcomes.cost_usd, dict(dollars.report))
    return AmountBenchmark(accuracy, coverage)
