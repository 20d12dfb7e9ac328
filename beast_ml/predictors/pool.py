"""The predictors of one candidate pool, fitted together and served together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from msgspec.structs import replace as replace_fields

from beast_ml.domain import Price
from beast_ml.predictors.amounts import AMOUNT_FAMILIES, AmountPredictor, FittedAmounts, fit_amounts
from beast_ml.predictors.contract import Fitted, Floats, Predictor, Progress, Rows, TrainingSet
from beast_ml.predictors.cost import OUTPUT_SHIFT, TokenCostPredictor, fit_token_cost, recover_prices
from beast_ml.predictors.families.selection import FamiliesConfig, FamilyName
from beast_ml.predictors.pessimism import Pessimism
from beast_ml.predictors.quality import QUALITY_FAMILIES, QualityPredictor, fit_quality
from beast_ml.predictors.reliability import ReliabilityPredictor, fit_reliability
from beast_ml.predictors.request_kind import RequestKindPredictor, fit_request_kind

__all__ = ["POOL_FAMILIES", "Expected", "FittedPool", "PoolFamilies", "PoolPredictors", "fit_pool"]


@dataclass(frozen=True)
class Expected:
    """What is expected of every candidate: (n, m) arrays, None for what the training data did not tell.

    ``caution`` is what to take off the quality before acting on it, for a router that learnt from a log.

    Parameters
    ----------
    cost_usd, latency_s
        Of a call.
    failure
        Probability of one (0..1).
    """

    quality: Floats
    cost_usd: Floats | None = None
    latency_s: Floats | None = None
    failure: Floats | None = None
    caution: Floats | None = None


@dataclass(frozen=True)
class PoolPredictors:
    """One predictor a target, all for the same candidates in the same order.

    Parameters
    ----------
    models
        The m candidates, sorted.
    quality
        Always there.
    cost, latency, reliability
        None where the training data did not tell.
    ttft
        Of the seconds to the first token; None where unknown. No decision weighs it, so `predict` leaves it out.
    kind
        Of the request, for all candidates alike; None where fewer than two kinds could be claimed.
    pessimism
        What a log tried too rarely; None where every candidate's outcome was known.
    """

    models: tuple[str, ...]
    quality: QualityPredictor
    cost: AmountPredictor | TokenCostPredictor | None = None
    latency: AmountPredictor | None = None
    ttft: AmountPredictor | None = None
    reliability: ReliabilityPredictor | None = None
    kind: RequestKindPredictor | None = None
    pessimism: Pessimism | None = None

    def predict(self, rows: Rows) -> Expected:
        """Return expectations for (n, d) features."""
        return Expected(
            quality=self.quality.predict(rows),
            cost_usd=self.cost.predict(rows) if self.cost else None,
            latency_s=self.latency.predict(rows) if self.latency else None,
            failure=self.reliability.predict(rows) if self.reliability else None,
            caution=self.pessimism.predict(rows) if self.pessimism else None,
        )


@dataclass(frozen=True)
class PoolFamilies:
    """Which families compete for quality, and which for amounts (tokens, cost, latency)."""

    quality: FamiliesConfig = QUALITY_FAMILIES
    amounts: FamiliesConfig = AMOUNT_FAMILIES

    @classmethod
    def of_names(cls, names: Sequence[FamilyName]) -> PoolFamilies:
        """Return the same families for every target; the network's settings stay those of each target."""
        members = tuple(names)
        return cls(replace(QUALITY_FAMILIES, members=members), replace(AMOUNT_FAMILIES, members=members))


POOL_FAMILIES: Final = PoolFamilies()
"""What competes by default."""


@dataclass(frozen=True)
class FittedPool:
    """Fitted predictors, and what they said of the training queries without having seen their question.

    ``targets`` has what was fitted, one entry a target: "quality", "cost" or "input_tokens" and "output_tokens",
    "latency", "ttft", "reliability". ``kind`` is the classifier of kinds, where there is one.

    Parameters
    ----------
    out_of_fold
        What was said of the training queries.
    """

    predictors: PoolPredictors
    out_of_fold: Expected
    targets: Mapping[str, Fitted[Predictor]]
    kind: Fitted[RequestKindPredictor] | None = None

    def undistilled(self, rows: Rows) -> Expected:
        """Return what the families that won expect, before they were distilled into what is served."""

        def expect(target: str) -> Floats | None:
            fitted = self.targets.get(target)
            if fitted is None:
                return None
            return fitted.predictor.predict(rows) if fitted.undistilled is None else fitted.undistilled(rows)

        quality, cost, seconds = expect("quality"), expect("cost"), expect("latency")
        assert quality is not None  # noqa: S101  quality is always fitted
        if isinstance(self.predictors.cost, TokenCostPredictor):
            inputs, outputs = expect("input_tokens"), expect("output_tokens")
            assert inputs is not None and outputs is not None  # noqa: S101, PT018  what the predictor is made of
            cost = self.predictors.cost.of_tokens(inputs, outputs)
            if seconds is not None:
                cost = cost + seconds * np.array([price.usd_per_s for price in self.predictors.cost.prices])
        return Expected(quality, cost, seconds, expect("reliability"))


def fit_pool(
    data: TrainingSet,
    rng: np.random.Generator,
    prices: Mapping[str, Price] | None = None,
    progress: Progress | None = None,
    families: PoolFamilies = POOL_FAMILIES,
) -> FittedPool:
    """Fit every target the training set tells something of.

    Cost is price x predicted tokens when every candidate has token counts and a price (given, or recovered from
    recorded costs); else it is learnt in dollars. A target of which some candidate has no observation is absent.
    """
    outcomes = data.outcomes
    kind = None
    if data.kinds is not None:
        labels = data.kinds
        kind = data.memo.of(
            "kind", lambda: fit_request_kind(data.rows, labels, data.folds, rng, progress=progress), rng
        )
    quality = fit_quality(data, rng, families.quality, progress, kind)
    targets: dict[str, Fitted[Predictor]] = {"quality": quality}
    folds: dict[str, Floats | None] = dict.fromkeys(("cost", "latency", "reliability"))

    def fit(amounts: Floats, what: str, shift: float = 0.0) -> FittedAmounts[AmountPredictor]:
        make = lambda: fit_amounts(data, amounts, what, rng, families.amounts, progress, shift)  # noqa: E731
        return data.memo.of((what, families.amounts), make, rng)

    seconds: FittedAmounts[AmountPredictor] | None = None
    if _observed(outcomes.latency_s):
        seconds = fit(outcomes.latency_s, "latency")
        folds["latency"], targets["latency"] = seconds.out_of_fold, seconds

    cost: AmountPredictor | TokenCostPredictor | None = None
    recovered = {
        name: replace_fields(price, source="recovered from recorded costs")
        for name, price in recover_prices(outcomes).items()
    }
    known = recovered | dict(prices or {})
    has_tokens = _observed(outcomes.output_tokens) and _observed(outcomes.input_tokens)
    if has_tokens and all(name in known for name in outcomes.models):
        inputs = fit(outcomes.input_tokens, "input tokens")
        outputs = fit(outcomes.output_tokens, "output tokens", OUTPUT_SHIFT)
        pool_prices = tuple(known[name] for name in outcomes.models)
        priced = fit_token_cost(data, inputs, outputs, pool_prices, seconds)
        cost, folds["cost"] = priced.predictor, priced.out_of_fold
        targets |= {"input_tokens": inputs, "output_tokens": outputs, "cost": priced}
    elif _observed(outcomes.cost_usd):
        dollars = fit(outcomes.cost_usd, "cost")
        cost, folds["cost"], targets["cost"] = dollars.predictor, dollars.out_of_fold, dollars

    reliability: ReliabilityPredictor | None = None
    if data.failed is not None and np.nansum(data.failed) > 0:
        failures = fit_reliability(data, data.failed, rng, progress=progress)
        reliability, folds["reliability"] = failures.predictor, failures.out_of_fold
        targets["reliability"] = failures

    first: FittedAmounts[AmountPredictor] | None = None
    if _observed(outcomes.ttft_s):
        first = targets["ttft"] = fit(outcomes.ttft_s, "time to first token")

    return FittedPool(
        PoolPredictors(
            outcomes.models,
            quality.predictor,
            cost,
            seconds.predictor if seconds else None,
            first.predictor if first else None,
            reliability,
            kind.predictor if kind else None,
        ),
        Expected(quality.out_of_fold, folds["cost"], folds["latency"], folds["reliability"]),
        targets,
        kind,
    )


def _observed(amounts: Floats) -> bool:
    """Whether every candidate has at least one observation."""
    return bool((~np.isnan(amounts)).any(axis=0).all())
