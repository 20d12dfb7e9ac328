"""One column less for every predictor of a pool: what is known of the others is left as it is, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from beast_ml.errors import InputError, UnknownModelError
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.calibration import PlattScaling
from beast_ml.predictors.calibration_choice import Calibration
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.intervals import ConformalOffsets
from beast_ml.predictors.pool import PoolPredictors
from beast_ml.predictors.quality import QualityPredictor
from beast_ml.predictors.reliability import ReliabilityPredictor

__all__ = ["remove_from_pool"]


def remove_from_pool(known: PoolPredictors, name: str) -> PoolPredictors:
    """Return the pool without one candidate.

    Raises
    ------
    UnknownModelError
        If it is not in the pool.
    InputError
        If nobody else is.
    """
    if name not in known.models:
        raise UnknownModelError(f"no candidate {name!r}; the pool is {', '.join(known.models)}")
    if len(known.models) == 1:
        raise InputError(f"{name!r} is the only candidate: add another one first (beast models add)")
    at = known.models.index(name)
    models = (*known.models[:at], *known.models[at + 1 :])
    pessimism = known.pessimism
    return PoolPredictors(
        models,
        _quality(known.quality, models, at),
        _cost(known.cost, models, at),
        None if known.latency is None else _amount(known.latency, models, at),
        None if known.ttft is None else _amount(known.ttft, models, at),
        None if known.reliability is None else _reliability(known.reliability, models, at),
        known.kind,
        None if pessimism is None else replace(pessimism, penalties=np.delete(pessimism.penalties, at, axis=1)),
    )


def _quality(known: QualityPredictor, models: tuple[str, ...], at: int) -> QualityPredictor:
    calibrated = known.calibrated
    knots = None if calibrated.knots is None else np.delete(calibrated.knots, at, axis=0)
    curves = Calibration(calibrated.kind, _platt(calibrated.platt, at), knots)
    return QualityPredictor(models, _head(known.head, at), curves)


def _cost(
    known: AmountPredictor | TokenCostPredictor | None, models: tuple[str, ...], at: int
) -> AmountPredictor | TokenCostPredictor | None:
    if not isinstance(known, TokenCostPredictor):
        return None if known is None else _amount(known, models, at)
    prices = (*known.prices[:at], *known.prices[at + 1 :])
    return TokenCostPredictor(
        _amount(known.input_tokens, models, at),
        _amount(known.output_tokens, models, at),
        prices,
        _spread(known.spread, at),
        # As when it was fitted: seconds are kept with a cost only where somebody is paid by them.
        _amount(known.latency, models, at) if known.latency and any(price.usd_per_s for price in prices) else None,
    )


def _amount(known: AmountPredictor, models: tuple[str, ...], at: int) -> AmountPredictor:
    return replace(
        known,
        models=models,
        head=_head(known.head, at),
        center=np.delete(known.center, at),
        scale=np.delete(known.scale, at),
        smearing=np.delete(known.smearing, at),
        scale_head=_head(known.scale_head, at),
        scale_center=np.delete(known.scale_center, at),
        spread=_spread(known.spread, at),
    )


def _reliability(known: ReliabilityPredictor, models: tuple[str, ...], at: int) -> ReliabilityPredictor:
    rates = np.delete(known.rates, at)
    return replace(known, models=models, head=_head(known.head, at), rates=rates, platt=_platt(known.platt, at))


def _head(head: DenseHead, at: int) -> DenseHead:
    weights = (*head.weights[:-1], np.ascontiguousarray(np.delete(head.weights[-1], at, axis=1)))
    return replace(head, weights=weights, biases=(*head.biases[:-1], np.delete(head.biases[-1], at)))


def _platt(platt: PlattScaling, at: int) -> PlattScaling:
    return PlattScaling(
        *(np.delete(each, at, axis=0) for each in (platt.slope, platt.offset, platt.covariance, platt.misfit))
    )


def _spread(spread: ConformalOffsets, at: int) -> ConformalOffsets:
    return ConformalOffsets(spread.levels, np.delete(spread.offsets, at, axis=0))
