"""All predictors of a pool put together for serving: one standardised row, one first layer, few numpy calls.

Predictors of a pool read the same features. Where their heads are dense and standardise alike, a row is standardised
once and their first layers are one matrix; what follows the heads (shrinkage, calibration, prices) is folded into as
few operations as there can be, for on one row each costs more than its arithmetic. The numbers are those of the
predictors within the rounding of float32; what this file cannot put together is served as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

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
_LOGIT_RANGE: Final = 700.0  # whose exponential, and the sum of some hundreds of them, is a float64
_N_PROBES: Final = 16
_TOLERANCE: Final = 1e-4

# Constants have shape (1, k) throughout: against a single row, numpy then takes its short way.


@dataclass(frozen=True)
class _Exponents:
    """The outputs of all heads as exponents: what every target begins with.

    Parameters
    ----------
    heads
        Quality first, with the candidates' logits negated; then amounts, on the log scale.
    bias, low, high
        (1, k): of the last layers, and the range that the exponents are kept in.
    """

    heads: FusedHeads
    bias: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls, quality: QualityPredictor, amounts: Sequence[AmountPredictor], per_unit: Sequence[Floats]
    ) -> _Exponents | None:
        """Return exponents of a pool, or None where its heads do not standardise alike."""
        heads, biases = [_quality_head(quality)], []
        biases.append(heads[0].biases[-1].astype(np.float64))
        ranges = [np.full((2, len(biases[0])), [[-_LOGIT_RANGE], [_LOGIT_RANGE]])]
        for amount, unit in zip(amounts, per_unit, strict=True):
            head, scale = amount.head, amount.scale.astype(np.float32)
            heads.append(replace(head, weights=(*head.weights[:-1], head.weights[-1] * scale)))
            with np.errstate(divide="ignore"):  # a model that is free: its exponent is minus infinity
                log_factor = np.log(amount.smearing * unit)
            biases.append(amount.center + amount.scale * head.biases[-1] + log_factor)
            ranges.append(np.stack([log_factor - _LOG_RANGE, log_factor + _LOG_RANGE]))
        fused = FusedHeads.of(heads)
        low, high = np.hstack(ranges)
        return None if fused is None else cls(fused, np.concatenate(biases)[None], low[None], high[None])

    def exponentials(self, rows: Rows) -> Floats:
        """Return (n, k) for (n, d) features."""
        out: Floats = self.heads.products(rows).astype(np.float64)
        out += self.bias
        np.maximum(out, self.low, out=out)
        np.minimum(out, self.high, out=out)
        return np.exp(out, out=out)


@dataclass(frozen=True)
class _Quality:
    """What follows the quality head: mixture, then Platt scaling, with the constants of both multiplied out.

    Parameters
    ----------
    share, base
        (1, m): share of the network, and what does not depend on the request.
    means
        (tasks, m + 1): task means times their share, and a column of ones whose product is the normaliser of the
        softmax; None where tasks play no part.
    low, high, half, one
        (1, m): the limits of the logit, halves and ones.
    slope, offset
        (1, m), halved, for the sigmoid is computed as a tanh.
    """

    share: Floats
    base: Floats
    means: Floats | None
    low: Floats
    high: Floats
    half: Floats
    one: Floats
    slope: Floats
    offset: Floats

    @classmethod
    def of(cls, predictor: QualityPredictor) -> _Quality:
        network, by_task, by_model = predictor.mixture
        one = np.ones((1, len(predictor.models)))
        base, means = by_model * predictor.means[-1:], None
        if len(predictor.tasks) == 1:
            base = base + by_task * predictor.means[:1]
        elif by_task:
            means = np.hstack([by_task * predictor.means[:-1], np.ones((len(predictor.tasks), 1))])
        platt = predictor.platt
        return cls(
            share=network * one,
            base=base,
            means=means,
            low=_EDGE * one,
            high=(1.0 - _EDGE) * one,
            half=0.5 * one,
            one=one,
            slope=0.5 * platt.slope[None],
            offset=0.5 * platt.offset[None],
        )

    def predict(self, exponentials: Floats) -> Floats:
        """Return (n, m) expected quality for (n, m + tasks) exponentials of negated logits, and of tasks' logits."""
        m = self.one.shape[1]
        p = exponentials[:, :m] + self.one
        np.divide(self.share, p, out=p)
        p += self.base
        if self.means is not None:
            summed = exponentials[:, m : m + len(self.means)].dot(self.means)
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
class FusedPredictors:
    """Predicts what the pool's predictors do, within the rounding of float32, in half of their time.

    Parameters
    ----------
    pool
        The predictors; reliability is asked as it is.
    exponents
        Of quality, then of the parts of cost, then of latency.
    quality
        What follows the quality head.
    """

    pool: PoolPredictors
    exponents: _Exponents
    quality: _Quality

    def predict(self, rows: Rows) -> Expected:
        """Return expectations for (n, d) features."""
        values = self.exponents.exponentials(rows)
        pool, m = self.pool, len(self.pool.models)
        cost = latency = None
        end = values.shape[1]
        if pool.latency is not None:
            latency = values[:, end - m :]
            end -= m
        if pool.cost is not None:
            cost = values[:, end - m : end]
            if isinstance(pool.cost, TokenCostPredictor):
                cost = cost + values[:, end - 2 * m : end - m]
        failure = None if pool.reliability is None else pool.reliability.predict(rows)
        return Expected(self.quality.predict(values), cost, latency, failure)


def fuse(predictors: PoolPredictors) -> FusedPredictors | PoolPredictors:
    """Return the predictors put together, or as they are where they cannot be.

    Whatever comes of it is compared with the predictors on some rows first: a predictor that has learnt to do more
    than this file knows of is never served without it.
    """
    amounts, per_unit = _amounts(predictors)
    heads = [predictors.quality.head, *(amount.head for amount in amounts)]
    if not all(type(head) is DenseHead for head in heads):
        return predictors
    exponents = _Exponents.of(predictors.quality, amounts, per_unit)
    if exponents is None:
        return predictors
    fused = FusedPredictors(predictors, exponents, _Quality.of(predictors.quality))
    return fused if _agree(fused, predictors) else predictors


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


def _quality_head(predictor: QualityPredictor) -> DenseHead:
    """Return the head with the candidates' logits negated, and without the tasks' where they play no part."""
    head, m = predictor.head, len(predictor.models)
    used = head.weights[-1].shape[1] if predictor.mixture[1] else m
    sign = np.where(np.arange(used) < m, np.float32(-1.0), np.float32(1.0))
    return replace(
        head,
        weights=(*head.weights[:-1], head.weights[-1][:, :used] * sign),
        biases=(*head.biases[:-1], head.biases[-1][:used] * sign),
    )


def _agree(fused: FusedPredictors, predictors: PoolPredictors) -> bool:
    head = predictors.quality.head
    # Fixed rows, about as far from the mean as the training data were; loading a router is no draw of chance.
    standardised = np.random.default_rng(0).standard_normal((_N_PROBES, len(head.center)), dtype=np.float32)
    rows: Rows = head.center + standardised / head.scale
    pairs = zip(vars(fused.predict(rows)).values(), vars(predictors.predict(rows)).values(), strict=True)
    return all(_close(one, other) for one, other in pairs)


def _close(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_TOLERANCE, atol=0.0))
