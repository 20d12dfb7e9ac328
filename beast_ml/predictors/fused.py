"""All predictors of a pool put together for serving: one standardised row, one first layer, few numpy calls.

Predictors of a pool read the same features. Where their heads are dense and standardise alike, a row is standardised
once, and first layers are one matrix; what follows the heads (Platt's curve, scales, smearing, prices) is folded into
one exponential, for on one row each operation costs more than its arithmetic. The numbers are those of the predictors
within the rounding of float32; what this file cannot put together is served as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.calibration import PlattScaling, logit
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.fused_heads import FusedHeads
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.pool import Expected, PoolPredictors
from beast_ml.predictors.quality import QualityPredictor
from beast_ml.predictors.reliability import ReliabilityPredictor

__all__ = ["FusedPredictors", "fuse"]

P = TypeVar("P", QualityPredictor, ReliabilityPredictor)

_LOG_RANGE: Final = 30.0
_N_PROBES: Final = 16
_TOLERANCE: Final = 1e-4


class _Computed(DenseHead):
    """A head whose outputs are computed elsewhere: it is given them in the place of features."""

    def forward(self, rows: Rows) -> Rows:
        return rows


@dataclass(frozen=True)
class _Platt:
    """Quality from logits where Platt's curve calibrates it: the logit of a sigmoid is what went into it.

    Parameters
    ----------
    low, high, half, one
        (1, m): the limits of the logit, halves and ones.
    slope, offset
        (1, m), halved, for the sigmoid is computed as a tanh.
    """

    low: Floats
    high: Floats
    half: Floats
    one: Floats
    slope: Floats
    offset: Floats

    @classmethod
    def of(cls, curve: PlattScaling) -> _Platt:
        one = np.ones((1, len(curve.slope)))
        limit = logit(one)
        return cls(-limit, limit, 0.5 * one, one, 0.5 * curve.slope[None], 0.5 * curve.offset[None])

    def predict(self, logits: Rows) -> Floats:
        """Return (n, m) expected quality."""
        out: Floats = logits.astype(np.float64)
        np.maximum(out, self.low, out=out)
        np.minimum(out, self.high, out=out)
        out *= self.slope
        out += self.offset
        np.tanh(out, out=out)
        out += self.one
        out *= self.half
        return out


@dataclass(frozen=True)
class _Amounts:
    """What follows the heads of amounts: exponents, kept in a range, and their exponentials.

    Parameters
    ----------
    bias, low, high
        (1, k), as against a single row numpy then takes its short way. Whatever is multiplied with is in the bias.
    """

    bias: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, predictors: Sequence[AmountPredictor], per_unit: Sequence[Floats]) -> _Amounts:
        """Return what follows the heads that `_scaled` returns, with (m,) units wanted per unit of each amount."""
        biases, log_factors = [], []
        for predictor, unit in zip(predictors, per_unit, strict=True):
            with np.errstate(divide="ignore"):  # a model that is free: its exponent is minus infinity
                log_factors.append(np.log(predictor.smearing * unit))
            biases.append(predictor.center + predictor.scale * predictor.head.biases[-1] + log_factors[-1])
        log_factor = np.concatenate(log_factors)[None]
        return cls(np.concatenate(biases)[None], log_factor - _LOG_RANGE, log_factor + _LOG_RANGE)

    def predict(self, products: Rows) -> Floats:
        """Return (n, k) amounts in the units wanted."""
        out: Floats = products.astype(np.float64)
        out += self.bias
        np.maximum(out, self.low, out=out)
        np.minimum(out, self.high, out=out)
        return np.exp(out, out=out)


@dataclass(frozen=True)
class FusedPredictors:
    """Predicts what the pool's predictors do, within the rounding of float32, in half of their time.

    Parameters
    ----------
    pool
        The predictors.
    heads
        Their heads: quality, reliability where there is one, the parts of cost, latency.
    bias
        (1, k) of the last layers of quality and reliability.
    quality, reliability
        Read what their heads have computed.
    amounts
        What follows the other heads; None where there are none.
    """

    pool: PoolPredictors
    heads: FusedHeads
    bias: Rows
    quality: QualityPredictor | _Platt
    reliability: ReliabilityPredictor | None
    amounts: _Amounts | None

    def predict(self, rows: Rows) -> Expected:
        """Return expectations for (n, d) features."""
        products = self.heads.products(rows)
        pool, m = self.pool, len(self.pool.models)
        outputs = products[:, : self.bias.shape[1]] + self.bias
        cost = latency = failure = None
        if self.amounts is not None:
            amounts = self.amounts.predict(products[:, self.bias.shape[1] :])
            if pool.cost is not None:
                cost = amounts[:, :m]
                if isinstance(pool.cost, TokenCostPredictor):
                    cost = cost + amounts[:, m : 2 * m]
            if pool.latency is not None:
                latency = amounts[:, -m:]
        if self.reliability is not None:
            failure = self.reliability.predict(outputs[:, -m:])
            outputs = outputs[:, :-m]
        caution = None if pool.pessimism is None else pool.pessimism.predict(rows)
        return Expected(self.quality.predict(outputs), cost, latency, failure, caution)


def fuse(predictors: PoolPredictors) -> FusedPredictors | PoolPredictors:
    """Return the predictors put together, or as they are where they cannot be.

    Whatever comes of it is compared with the predictors on some rows first: a predictor that has learnt to do more
    than this file knows of is never served without it.
    """
    quality, reliability, curves = predictors.quality, predictors.reliability, predictors.quality.calibrated
    amounts, per_unit = _amounts(predictors)
    plain = [quality.head] if reliability is None else [quality.head, reliability.head]
    heads = [*plain, *(amount.head for amount in amounts)]
    if not all(type(head) is DenseHead for head in heads):
        return predictors
    fused = FusedPredictors(
        pool=predictors,
        heads=FusedHeads.of([*plain, *map(_scaled, amounts)]),
        bias=np.concatenate([head.biases[-1] for head in plain])[None],
        quality=_Platt.of(curves.platt) if curves.knots is None else _given_outputs(quality),
        reliability=None if reliability is None else _given_outputs(reliability),
        amounts=_Amounts.of(amounts, per_unit) if amounts else None,
    )
    return fused if _agree(fused, predictors) else predictors


def _given_outputs(predictor: P) -> P:
    return replace(predictor, head=_Computed(**vars(predictor.head)))


def _scaled(predictor: AmountPredictor) -> DenseHead:
    """Return the head of an amount with the scale of its logs in its last weight."""
    head = predictor.head
    return replace(head, weights=(*head.weights[:-1], head.weights[-1] * predictor.scale.astype(np.float32)))


def _amounts(predictors: PoolPredictors) -> tuple[list[AmountPredictor], list[Floats]]:
    """Return the predictors of amounts, and what a unit of each is worth per candidate (USD, or one second)."""
    cost, one = predictors.cost, np.ones(len(predictors.models))
    amounts: list[AmountPredictor] = []
    per_unit: list[Floats] = []
    if isinstance(cost, TokenCostPredictor):
        amounts += [cost.input_tokens, cost.output_tokens]
        per_unit.append(np.array([price.input_usd_per_mtok for price in cost.prices]) / 1e6)
        per_unit.append(np.array([price.output_usd_per_mtok for price in cost.prices]) / 1e6)
    elif cost is not None:
        amounts.append(cost)
        per_unit.append(one)
    if predictors.latency is not None:
        amounts.append(predictors.latency)
        per_unit.append(one)
    return amounts, per_unit


def _agree(fused: FusedPredictors, predictors: PoolPredictors) -> bool:
    head = predictors.quality.head
    # Fixed rows, about as far from the mean as the training data were; loading a router is no draw of chance.
    standardised = np.random.default_rng(0).standard_normal((_N_PROBES, len(head.center)), dtype=np.float32)
    rows: Rows = head.center + standardised / head.scale
    try:
        pairs = zip(vars(fused.predict(rows)).values(), vars(predictors.predict(rows)).values(), strict=True)
    except (ValueError, IndexError):  # a predictor reads more of the features than its head
        return False
    return all(_close(one, other) for one, other in pairs)


def _close(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_TOLERANCE, atol=0.0))
