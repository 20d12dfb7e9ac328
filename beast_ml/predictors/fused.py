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
class _Exponentials:
    """What follows the heads whose outputs are exponents: each kept in a range, and its exponential.

    The first ones may be those of quality: where Platt's curve calibrates it, quality is 1 / (1 + exp(-curve)), for the
    logit of a sigmoid is what went into it. The others are amounts. Whatever is multiplied with is in the bias.

    Parameters
    ----------
    bias, low, high
        (1, k), as against a single row numpy then takes its short way.
    """

    bias: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls, curve: PlattScaling | None, quality: DenseHead, amounts: Sequence[AmountPredictor], units: Sequence[Floats]
    ) -> _Exponentials:
        """Return what follows the heads that `_scaled` returns.

        Parameters
        ----------
        curve, quality
            Of quality, and the head before it; no curve: it is computed elsewhere.
        amounts, units
            Predictors of amounts, with the (m,) units wanted per unit of each.
        """
        bias, low, high = [], [], []
        if curve is not None:
            ends = np.outer((-1.0, 1.0), -curve.slope * logit(np.ones(1))) - curve.offset
            bias.append(-curve.slope * quality.biases[-1] - curve.offset)
            low.append(ends.min(axis=0))
            high.append(ends.max(axis=0))
        for predictor, unit in zip(amounts, units, strict=True):
            with np.errstate(divide="ignore"):  # a model that is free: its exponent is minus infinity
                log_factor = np.log(predictor.smearing * unit)
            bias.append(predictor.center + predictor.scale * predictor.head.biases[-1] + log_factor)
            with np.errstate(divide="ignore"):
                least = np.log((predictor.shift + predictor.floor) * unit) if predictor.shift else -np.inf
            low.append(np.maximum(log_factor - _LOG_RANGE, least))
            high.append(log_factor + _LOG_RANGE)
        return cls(*(np.concatenate([np.empty(0), *parts])[None] for parts in (bias, low, high)))

    def predict(self, products: Rows) -> Floats:
        """Return (n, k) exponentials."""
        out: Floats = products.astype(np.float64)  # adding what is wider takes longer than both
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
        Their heads: quality where an exponential follows, the parts of cost, latency, then those that are read as
        they are: quality where no exponential follows, reliability where there is one.
    exponentials
        What follows the former.
    fixed
        (1, m) USD to add to the exponentials of cost: what any request costs, less what they are too large by; None
        where there is neither.
    per_second
        (1, m) USD a second of latency; None where no machine is paid by the hour.
    bias
        (1, k) of the last layers of the latter.
    quality, reliability
        Read what their heads have computed; None where an exponential follows, and where there is no reliability.
    """

    pool: PoolPredictors
    heads: FusedHeads
    exponentials: _Exponentials
    fixed: Floats | None
    per_second: Floats | None
    bias: Rows
    quality: QualityPredictor | None
    reliability: ReliabilityPredictor | None

    def predict(self, rows: Rows) -> Expected:
        """Return expectations for (n, d) features."""
        products = self.heads.products(rows)
        pool, m, n_read = self.pool, len(self.pool.models), self.bias.shape[1]
        cost = latency = failure = None
        if n_read:
            read = products[:, -n_read:] + self.bias
            products = products[:, :-n_read]
            if self.reliability is not None:
                failure = self.reliability.predict(read[:, -m:])
        amounts = self.exponentials.predict(products)
        if self.quality is None:
            quality = amounts[:, :m] + 1.0
            np.reciprocal(quality, out=quality)
            amounts = amounts[:, m:]
        else:
            quality = self.quality.predict(read[:, :m])
        if pool.cost is not None:
            cost = amounts[:, :m]
            if isinstance(pool.cost, TokenCostPredictor):
                cost = cost + amounts[:, m : 2 * m]
            if self.fixed is not None:
                cost = cost + self.fixed
        if pool.latency is not None:
            latency = amounts[:, -m:]
            if cost is not None and self.per_second is not None:
                cost = cost + latency * self.per_second
        caution = None if pool.pessimism is None else pool.pessimism.predict(rows)
        return Expected(quality, cost, latency, failure, caution)


def fuse(predictors: PoolPredictors) -> FusedPredictors | PoolPredictors:
    """Return the predictors put together, or as they are where they cannot be.

    Whatever comes of it is compared with the predictors on some rows first: a predictor that has learnt to do more
    than this file knows of is never served without it.
    """
    quality, reliability, curves = predictors.quality, predictors.reliability, predictors.quality.calibrated
    amounts, per_unit = _amounts(predictors)
    read = [] if reliability is None else [reliability.head]
    heads = [quality.head, *(amount.head for amount in amounts), *read]
    if not all(type(head) is DenseHead for head in heads):
        return predictors
    curve = curves.platt if curves.knots is None else None
    exponents = [_scaled(amount.head, amount.scale) for amount in amounts]
    if curve is None:
        read.insert(0, quality.head)
    else:
        exponents.insert(0, _scaled(quality.head, -curve.slope))
    fused = FusedPredictors(
        pool=predictors,
        heads=FusedHeads.of([*exponents, *read]),
        exponentials=_Exponentials.of(curve, quality.head, amounts, per_unit),
        fixed=_fixed(predictors.cost, amounts, per_unit),
        per_second=_per_second(predictors.cost),
        bias=np.concatenate([np.empty(0, dtype=np.float32), *(head.biases[-1] for head in read)])[None],
        quality=None if curve is not None else _given_outputs(quality),
        reliability=None if reliability is None else _given_outputs(reliability),
    )
    return fused if _agree(fused, predictors) else predictors


def _given_outputs(predictor: P) -> P:
    return replace(predictor, head=_Computed(**vars(predictor.head)))


def _scaled(head: DenseHead, factor: Floats) -> DenseHead:
    """Return a head with its outputs multiplied in its last weight."""
    return replace(head, weights=(*head.weights[:-1], head.weights[-1] * factor.astype(np.float32)))


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


def _fixed(
    cost: AmountPredictor | TokenCostPredictor | None, amounts: Sequence[AmountPredictor], per_unit: Sequence[Floats]
) -> Floats | None:
    per_request = [price.usd_per_request for price in cost.prices] if isinstance(cost, TokenCostPredictor) else 0.0
    shifted = sum(amount.shift * unit for amount, unit in zip(amounts, per_unit, strict=True))
    total = np.asarray(np.subtract(per_request, shifted))
    return total[None] if total.any() else None


def _per_second(cost: AmountPredictor | TokenCostPredictor | None) -> Floats | None:
    if not isinstance(cost, TokenCostPredictor) or not any(price.usd_per_s for price in cost.prices):
        return None
    return np.array([[price.usd_per_s for price in cost.prices]])


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
