"""All predictors of a pool put together for serving: one standardised row, one first layer, few numpy calls.

Predictors of a pool read the same features. Where their heads are dense and standardise alike, a row is standardised
once and their first layers are one matrix; what follows the heads (shrinkage, calibration, prices) is folded into as
few operations as there can be, for on one row each costs more than its arithmetic. The numbers are those of the
predictors within the rounding of float32; what this file cannot put together is served as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.fused_heads import FusedHeads
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.pool import Expected, PoolPredictors
from beast_ml.predictors.quality import QualityPredictor

__all__ = ["FusedPredictors", "fuse"]

_EDGE: Final = 5e-3
_LOG_RANGE: Final = 30.0
_N_PROBES: Final = 16
_TOLERANCE: Final = 1e-4

# Constants have shape (1, k) throughout: against a single row, numpy then takes its short way.


@dataclass(frozen=True)
class _QualityTail:
    """What follows the quality head: mixture, then Platt scaling, with the constants of both multiplied out.

    Parameters
    ----------
    half, share, base
        (1, m): network share x sigmoid(x) + model means = share x tanh(half x) + base.
    means
        (tasks, m + 1): task means times their share, and a column of ones whose product is the normaliser of the
        softmax; None where tasks play no part.
    low, high, one
        (1, m): the limits of the logit, and ones.
    slope, offset
        (1, m), halved, for the sigmoid is computed as a tanh.
    """

    half: Floats
    share: Floats
    base: Floats
    means: Floats | None
    low: Floats
    high: Floats
    one: Floats
    slope: Floats
    offset: Floats

    @classmethod
    def of(cls, predictor: QualityPredictor) -> _QualityTail:
        network, by_task, by_model = predictor.mixture
        ones = np.ones((1, len(predictor.models)))
        base = 0.5 * network * ones + by_model * predictor.means[-1]
        means = None
        if len(predictor.tasks) == 1:
            base += by_task * predictor.means[0]
        elif by_task:
            means = np.hstack([by_task * predictor.means[:-1], np.ones((len(predictor.tasks), 1))])
        platt = predictor.platt
        return cls(
            half=0.5 * ones,
            share=0.5 * network * ones,
            base=base,
            means=means,
            low=_EDGE * ones,
            high=(1.0 - _EDGE) * ones,
            one=ones,
            slope=0.5 * platt.slope[None],
            offset=0.5 * platt.offset[None],
        )

    def predict(self, outputs: Floats) -> Floats:
        m = self.half.shape[1]
        p = outputs[:, :m] * self.half
        np.tanh(p, out=p)
        p *= self.share
        p += self.base
        if self.means is not None:
            logits = outputs[:, m:]
            summed = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True)).dot(self.means)
            p += summed[:, :m] / summed[:, m:]
        np.maximum(p, self.low, out=p)
        np.minimum(p, self.high, out=p)
        p /= self.one - p
        np.log(p, out=p)
        p *= self.slope
        p += self.offset
        np.tanh(p, out=p)
        p += self.one
        p *= self.half
        return p


@dataclass(frozen=True)
class _AmountsTail:
    """What follows the heads of amounts, side by side: logs, their exponentials, times a factor.

    Parameters
    ----------
    scale, center, low, high, factor
        (1, k).
    """

    scale: Floats
    center: Floats
    low: Floats
    high: Floats
    factor: Floats

    @classmethod
    def of(cls, predictors: Sequence[AmountPredictor], per_unit: Sequence[Floats]) -> _AmountsTail:
        """Return the tail of some predictors, each with (m,) units of what is wanted per unit of its amounts."""
        center = np.concatenate([predictor.center for predictor in predictors])[None]
        return cls(
            scale=np.concatenate([predictor.scale for predictor in predictors])[None],
            center=center,
            low=np.full_like(center, -_LOG_RANGE),
            high=np.full_like(center, _LOG_RANGE),
            factor=np.concatenate([p.smearing * unit for p, unit in zip(predictors, per_unit, strict=True)])[None],
        )

    def predict(self, outputs: Floats) -> Floats:
        logs = outputs * self.scale
        logs += self.center
        np.maximum(logs, self.low, out=logs)
        np.minimum(logs, self.high, out=logs)
        np.exp(logs, out=logs)
        logs *= self.factor
        return logs


@dataclass(frozen=True)
class FusedPredictors:
    """Predicts what the pool's predictors do, within the rounding of float32, in less than half of their time.

    Parameters
    ----------
    pool
        The predictors; reliability is asked as it is.
    heads
        Their heads: quality first, then the parts of cost, then latency.
    quality, amounts
        What follows the heads.
    """

    pool: PoolPredictors
    heads: FusedHeads
    quality: _QualityTail
    amounts: _AmountsTail | None

    def predict(self, rows: Rows) -> Expected:
        """Return expectations for (n, d) features."""
        outputs = self.heads.forward(rows).astype(np.float64)
        pool, m = self.pool, len(self.pool.models)
        cost = latency = None
        width = len(pool.quality.head.biases[-1])
        if self.amounts is not None:
            amounts = self.amounts.predict(outputs[:, width:])
            if pool.cost is not None:
                cost = amounts[:, :m]
                if isinstance(pool.cost, TokenCostPredictor):
                    cost = cost + amounts[:, m : 2 * m]
            if pool.latency is not None:
                latency = amounts[:, -m:]
        failure = pool.reliability.predict(rows) if pool.reliability is not None else None
        return Expected(self.quality.predict(outputs[:, :width]), cost, latency, failure)


def fuse(predictors: PoolPredictors) -> FusedPredictors | PoolPredictors:
    """Return the predictors put together, or as they are where they cannot be.

    Whatever comes of it is compared with the predictors on some rows first: a predictor that has learnt to do more
    than this file knows of is never served without it.
    """
    amounts, per_unit = _amounts_of(predictors)
    heads = [predictors.quality.head, *(amount.head for amount in amounts)]
    if not all(type(head) is DenseHead for head in heads):
        return predictors
    together = FusedHeads.of(heads)
    if together is None:
        return predictors
    tail = _AmountsTail.of(amounts, per_unit) if amounts else None
    fused = FusedPredictors(predictors, together, _QualityTail.of(predictors.quality), tail)
    return fused if _agree(fused, predictors) else predictors


def _amounts_of(predictors: PoolPredictors) -> tuple[list[AmountPredictor], list[Floats]]:
    """Return the predictors of amounts, and what a unit of each is worth per candidate (USD, or one second)."""
    cost, ones = predictors.cost, np.ones(len(predictors.models))
    amounts: list[AmountPredictor] = []
    per_unit: list[Floats] = []
    if isinstance(cost, TokenCostPredictor):
        amounts = [cost.input_tokens, cost.output_tokens]
        per_unit = [
            np.array([price.input_usd_per_mtok for price in cost.prices]) / 1e6,
            np.array([price.output_usd_per_mtok for price in cost.prices]) / 1e6,
        ]
    elif cost is not None:
        amounts, per_unit = [cost], [ones]
    if predictors.latency is not None:
        amounts, per_unit = [*amounts, predictors.latency], [*per_unit, ones]
    return amounts, per_unit


def _agree(fused: FusedPredictors, predictors: PoolPredictors) -> bool:
    head = predictors.quality.head
    # Fixed rows, about as far from the mean as the training data were; loading a router is no draw of chance.
    standardised = np.random.default_rng(0).standard_normal((_N_PROBES, len(head.center)), dtype=np.float32)
    rows: Rows = head.center + standardised / head.scale
    pairs = zip(vars(fused.predict(rows)).values(), vars(predictors.predict(rows)).values(), strict=True)
    return all(_close(one, other) for one, other in pairs)


def _close(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_TOLERANCE, atol=0.0))
