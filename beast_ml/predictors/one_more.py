"""One more column for every predictor of a pool: all that is known is left as it is, to the bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from beast_ml.domain import Price
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.calibration import PlattScaling
from beast_ml.predictors.calibration_choice import Calibration
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.intervals import ConformalOffsets
from beast_ml.predictors.new_model import LogitCombination
from beast_ml.predictors.pessimism import Pessimism
from beast_ml.predictors.quality import QualityPredictor
from beast_ml.predictors.reliability import ReliabilityPredictor

__all__ = ["AmountOffset", "add_amount", "add_pessimism", "add_quality", "add_reliability", "add_token_cost"]

_LEAST_SPREAD: Final = 0.4
_Z80: Final = 2.563


@dataclass(frozen=True)
class AmountOffset:
    """By how much a new model's log amount is above the pool's mean log amount.

    Parameters
    ----------
    value
        The offset; 0 is the pool's mean.
    sd
        How uncertain it is; None: as much as the known candidates differ.
    """

    value: float = 0.0
    sd: float | None = None

    @classmethod
    def learn(cls, known: AmountPredictor, rows: Rows, amounts: Floats, guess: float = 0.0) -> AmountOffset:
        """Return the offset after (k,) amounts were observed on (k, d) feature rows; NaN amounts are left out.

        The mean residual, shrunk to the guess by how much the candidates differ and how much requests scatter.
        """
        shifted = amounts + known.shift
        seen = np.isfinite(shifted) & (shifted > 0)
        between = _between(known)
        if not seen.any():
            return cls(guess, between)
        weights = _weights(known)
        logs = known.head.forward(rows[seen]).astype(np.float64) * known.scale + known.center
        residual = np.log(shifted[seen]) - logs @ weights
        within = max(float(residual.std()), _scatter(known))
        share = between**2 / (between**2 + within**2 / len(residual))
        value = guess + share * (float(residual.mean()) - guess)
        return cls(value, between * float(np.sqrt(1.0 - share)))


def add_quality(known: QualityPredictor, name: str, learnt: LogitCombination) -> QualityPredictor:
    """Return the predictor with a new model's column: its combination is folded into the last layer.

    Its Platt scaling is the identity, whose covariance is the uncertainty of the combination.
    """
    at = _place(known.models, name)
    platt = known.calibrated.platt
    head = _with_column(
        known.head, at, learnt.weights * platt.slope, float(learnt.weights @ platt.offset) + learnt.offset
    )
    misfit = float(platt.misfit.mean()) + learnt.scatter
    scaling = PlattScaling(
        np.insert(platt.slope, at, 1.0),
        np.insert(platt.offset, at, 0.0),
        np.insert(platt.covariance, at, learnt.line_covariance, axis=0),
        np.insert(platt.misfit, at, misfit),
    )
    knots = known.calibrated.knots
    if knots is not None:
        knots = np.insert(knots, at, Calibration.identity_knots(), axis=0)
    return QualityPredictor(_named(known.models, at, name), head, Calibration(known.calibrated.kind, scaling, knots))


def add_amount(known: AmountPredictor, name: str, offset: AmountOffset) -> AmountPredictor:
    """Return the predictor with a new model's column: the pool's mean log amount and an offset.

    Its intervals are the pool's, wider by what is uncertain of the offset.
    """
    at, weights = _place(known.models, name), _weights(known)
    sd = _between(known) if offset.sd is None else offset.sd
    used = weights > 0
    widening = np.sqrt(1.0 + (sd / _scatter(known)) ** 2)
    return AmountPredictor(
        models=_named(known.models, at, name),
        head=_with_column(known.head, at, weights * known.scale, 0.0),
        center=np.insert(known.center, at, weights @ known.center + offset.value),
        scale=np.insert(known.scale, at, 1.0),
        smearing=np.insert(known.smearing, at, known.smearing[used].mean()),
        scale_head=_with_column(known.scale_head, at, weights, 0.0),
        scale_center=np.insert(known.scale_center, at, weights @ known.scale_center * widening),
        spread=_wider(known.spread, at, weights),
        shift=known.shift,
        floor=known.floor,
    )


def add_token_cost(
    known: TokenCostPredictor, name: str, price: Price, input_offset: AmountOffset, output_offset: AmountOffset,
    latency_offset: AmountOffset,
) -> TokenCostPredictor:  # fmt: skip
    """Return price x tokens with a new model's column."""
    at = _place(known.models, name)
    m = len(known.models)
    return TokenCostPredictor(
        add_amount(known.input_tokens, name, input_offset),
        add_amount(known.output_tokens, name, output_offset),
        (*known.prices[:at], price, *known.prices[at:]),
        _wider(known.spread, at, np.full(m, 1.0 / m)),
        None if known.latency is None else add_amount(known.latency, name, latency_offset),
    )


def add_reliability(known: ReliabilityPredictor, name: str) -> ReliabilityPredictor:
    """Return failure probabilities with a column that is the pool's mean: nothing is known of a new model's."""
    at, m = _place(known.models, name), len(known.models)
    platt = known.platt
    scaling = PlattScaling(
        *(np.insert(values, at, values.mean(axis=0), axis=0) for values in
          (platt.slope, platt.offset, platt.covariance, platt.misfit))
    )  # fmt: skip
    head = _with_column(known.head, at, np.full(m, 1.0 / m), 0.0)
    rates = np.insert(known.rates, at, known.rates.mean())
    return replace(known, models=_named(known.models, at, name), head=head, rates=rates, platt=scaling)


def add_pessimism(known: Pessimism, models: tuple[str, ...], name: str) -> Pessimism:
    """Return penalties with a column of the largest of every kind: no model was tried more rarely."""
    at = _place(models, name)
    return replace(known, penalties=np.insert(known.penalties, at, known.penalties.max(axis=1), axis=1))


def _place(models: tuple[str, ...], name: str) -> int:
    """Return where a name belongs among sorted names."""
    return sum(model < name for model in models)


def _named(models: tuple[str, ...], at: int, name: str) -> tuple[str, ...]:
    return (*models[:at], name, *models[at:])


def _with_column(head: DenseHead, at: int, weights: Floats, constant: float) -> DenseHead:
    """Return a head with one more output, a combination of those there are: no old number changes."""
    last, bias = head.weights[-1], head.biases[-1]
    column = (last.astype(np.float64) @ weights).astype(np.float32)
    value = np.float32(bias.astype(np.float64) @ weights + constant)
    return replace(
        head,
        weights=(*head.weights[:-1], np.ascontiguousarray(np.insert(last, at, column, axis=1))),
        biases=(*head.biases[:-1], np.insert(bias, at, value)),
    )


def _weights(known: AmountPredictor) -> Floats:
    """Return (m,) equal weights of the candidates that have amounts at all; of what is always zero there is no log."""
    used = known.smearing > 0
    used = used if used.any() else np.ones_like(used)
    return np.asarray(used / used.sum())


def _between(known: AmountPredictor) -> float:
    """Return by how much the logs of two candidates' amounts differ: the standard deviation of their means."""
    used = _weights(known) > 0
    return max(_LEAST_SPREAD, float(known.center[used].std(ddof=1)) if used.sum() > 1 else 0.0)


def _scatter(known: AmountPredictor) -> float:
    """Return how far a predicted log is typically off: the standard deviation that the 80% intervals speak of."""
    width = (known.spread.at(0.9) - known.spread.at(0.1)) / _Z80 * known.scale_center
    return max(0.05, float(_weights(known) @ width))


def _wider(known: ConformalOffsets, at: int, weights: Floats) -> ConformalOffsets:
    return ConformalOffsets(known.levels, np.insert(known.offsets, at, weights @ known.offsets, axis=0))
