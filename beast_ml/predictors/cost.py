"""Cost of every candidate: price x predicted tokens (and seconds, for machines paid by the hour)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.errors import InputError, NotEnoughDataError, UnknownModelError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.predictors.amounts import AmountPredictor, FittedAmounts, coverage_report, log_accuracy
from beast_ml.predictors.contract import Floats, Rows, TrainingSet
from beast_ml.predictors.intervals import COVERAGE, ConformalOffsets, cross_coverage

__all__ = ["OUTPUT_SHIFT", "TokenCostPredictor", "fit_token_cost", "recover_prices"]

OUTPUT_SHIFT: Final = 10.0
"""Output tokens that need not be told apart from none: the prompt costs more."""

_PRICE_FIT_ERROR: Final = 0.01
_PRICE_FIT_SHARE: Final = 0.99
_MIN_CALLS: Final = 10
_MIN_SCALE: Final = 1e-3
_PARTS: Final = ("input", "output", "latency")


@dataclass(frozen=True)
class TokenCostPredictor:
    """Cost = price x tokens (+ price x seconds): a price change is a change of a few numbers, not a retraining.

    The interval is that of the cost itself, not of its parts. Its scale follows from the parts' errors by the delta
    method, at the prices of the day, so that it stays right when prices change.

    Parameters
    ----------
    input_tokens, output_tokens
        Predictors of what each candidate's own tokenizer and verbosity make of a request.
    prices
        One a candidate, in the order of the models.
    spread
        Quantiles of the residuals of log cost, in units of that scale.
    latency
        Predictor of seconds; needed just when a candidate is paid by the second.
    """

    input_tokens: AmountPredictor
    output_tokens: AmountPredictor
    prices: tuple[Price, ...]
    spread: ConformalOffsets
    latency: AmountPredictor | None = None

    def __post_init__(self) -> None:
        by_the_hour = [name for name, price in zip(self.models, self.prices, strict=True) if price.usd_per_s]
        if by_the_hour and self.latency is None:
            raise InputError(
                f"{by_the_hour[0]!r} is paid by the hour, but there is no prediction of its latency: train on outcomes "
                "with `latency_s`, or price it by throughput (`output_tokens_per_s`)"
            )

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates."""
        return self.output_tokens.models

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected cost, USD."""
        return np.asarray(_priced([part.predict(rows) for part in self._parts], self.prices).sum(axis=0))

    def typical(self, rows: Rows) -> Floats:
        """Return (n, m) costs of what a request typically takes, USD: near the median; see `AmountPredictor`."""
        return np.asarray(_priced([part.typical(rows) for part in self._parts], self.prices).sum(axis=0))

    def quantile(self, rows: Rows, q: float) -> Floats:
        """Return (n, m) costs that realised ones stay below with probability ``q``, USD; see `AmountPredictor`."""
        shifted, scale, shift = self._shifted_and_scale(rows)
        return self._without(shift, shifted * np.exp(self.spread.at(q) * scale))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the ends, (n, m) each, of intervals that hold 90% of the realised costs."""
        tail = (1.0 - COVERAGE) / 2.0
        shifted, scale, shift = self._shifted_and_scale(rows)
        low, high = (shifted * np.exp(self.spread.at(level) * scale) for level in (tail, 1.0 - tail))
        return self._without(shift, low), self._without(shift, high)

    @property
    def _parts(self) -> tuple[AmountPredictor, ...]:
        parts = (self.input_tokens, self.output_tokens)
        return parts if self.latency is None else (*parts, self.latency)

    def of_tokens(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Return (n, m) costs of (n, m) token counts, USD; without what is paid by the second."""
        return np.asarray(_priced([input_tokens, output_tokens], self.prices).sum(axis=0))

    def _shifted_and_scale(self, rows: Rows) -> tuple[Floats, Floats, Floats]:
        """Return (n, m) typical costs with the (m,) cost of the parts' shifts, the scale of their logs, that cost."""
        shift = _priced_shift([part.shift for part in self._parts], self.prices)
        shifted = self.typical(rows) + shift
        return shifted, _pooled_scale(shifted, [part.error(rows) for part in self._parts], self.prices), shift

    @staticmethod
    def _without(shift: Floats, shifted: Floats) -> Floats:
        return np.maximum(shifted - shift, 0.0)

    def with_prices(self, prices: Mapping[str, Price]) -> TokenCostPredictor:
        """Return the same predictor under new prices of some candidates.

        Raises
        ------
        UnknownModelError
            If a price is for a model that is not in the pool.
        InputError
            If a price is by the hour and latency is not predicted.
        """
        unknown = sorted(set(prices) - set(self.models))
        if unknown:
            raise UnknownModelError(f"no candidate {unknown[0]!r}; the pool is {', '.join(self.models)}")
        changed = tuple(prices.get(name, old) for name, old in zip(self.models, self.prices, strict=True))
        return replace(self, prices=changed)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return {
            f"{name}/{key}": array
            for name, part in zip(_PARTS, self._parts, strict=False)
            for key, array in part.arrays().items()
        }

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle; the prices are in its candidate pool."""
        parts = {name: part.calibration() for name, part in zip(_PARTS, self._parts, strict=False)}
        return {**parts, "spread": self.spread.to_dict()}

    @classmethod
    def restore(
        cls,
        models: tuple[str, ...],
        prices: tuple[Price, ...],
        arrays: Mapping[str, NDArray[Any]],
        calibration: Mapping[str, Any],
    ) -> TokenCostPredictor:
        """Rebuild from what `arrays` and `calibration` returned, and the pool's prices."""

        def part(name: str) -> AmountPredictor:
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            return AmountPredictor.restore(models, own, calibration[name])

        latency = part("latency") if "latency" in calibration else None
        spread = ConformalOffsets.from_dict(calibration["spread"])
        return cls(part("input"), part("output"), prices, spread, latency)


def fit_token_cost(
    data: TrainingSet,
    input_tokens: FittedAmounts[AmountPredictor],
    output_tokens: FittedAmounts[AmountPredictor],
    prices: tuple[Price, ...],
    latency: FittedAmounts[AmountPredictor] | None = None,
) -> FittedAmounts[TokenCostPredictor]:
    """Put fitted tokens and prices together, and calibrate the cost's own interval on out-of-fold costs.

    The latency is kept with it only where a price is by the hour.

    Raises
    ------
    InputError
        If a price is by the hour and there is no latency.
    NotEnoughDataError
        If all parts of the cost of a model are nowhere known together.
    """
    outcomes = data.outcomes
    timed = latency if any(price.usd_per_s for price in prices) else None
    fits = (input_tokens, output_tokens) if timed is None else (input_tokens, output_tokens, timed)
    amounts = [outcomes.input_tokens, outcomes.output_tokens, outcomes.latency_s][: len(fits)]
    expected = _priced([fit.out_of_fold for fit in fits], prices).sum(axis=0)
    typical = _priced([fit.out_of_fold_typical for fit in fits], prices).sum(axis=0)
    realised = _priced(amounts, prices).sum(axis=0)
    shift = _priced_shift([fit.predictor.shift for fit in fits], prices)
    scale = _pooled_scale(typical + shift, [fit.out_of_fold_error for fit in fits], prices)
    # What is free needs no interval: any offset times its zero cost is zero.
    free = typical + shift <= 0
    scores = np.where(free, 0.0 * realised, (_log(realised + shift) - _log(typical + shift)) / scale)
    for name, column in zip(outcomes.models, scores.T, strict=True):
        if np.isnan(column).all():
            raise NotEnoughDataError(f"no answer of model {name!r} has all that its cost is made of: log its tokens")
    inside = cross_coverage(scores, data.folds)
    predictor = TokenCostPredictor(
        input_tokens.predictor,
        output_tokens.predictor,
        prices,
        ConformalOffsets.fit(scores),
        timed.predictor if timed else None,
    )
    report = {**log_accuracy(_log(typical), _log(realised)), **coverage_report(inside, data)}
    return FittedAmounts(
        predictor,
        expected,
        report,
        out_of_fold_typical=typical,
        out_of_fold_error=(typical + shift) * scale,
        out_of_fold_inside=inside,
    )


def _priced(amounts: Sequence[Floats], prices: tuple[Price, ...]) -> Floats:
    """Return (parts + 1, n, m): what input tokens, output tokens (and seconds) cost, and what any request costs."""
    per_unit = np.array([[p.input_usd_per_mtok / 1e6, p.output_usd_per_mtok / 1e6, p.usd_per_s] for p in prices])
    fixed = np.broadcast_to([price.usd_per_request for price in prices], amounts[0].shape)
    # What has no price costs nothing even where it is not known how much of it there was.
    paid = [np.where(per_unit[:, i] > 0, part * per_unit[:, i], 0.0) for i, part in enumerate(amounts)]
    return np.stack([*paid, fixed])


def _priced_shift(shifts: Sequence[float], prices: tuple[Price, ...]) -> Floats:
    """Return (m,) what the shifts of the parts cost."""
    return np.asarray(_priced([np.full((1, len(prices)), shift) for shift in shifts], prices)[:-1].sum(axis=0)[0])


def _pooled_scale(shifted: Floats, errors: Sequence[Floats], prices: tuple[Price, ...]) -> Floats:
    """Return (n, m): by how much the log of a cost is off when its parts are off independently (delta method)."""
    off = np.sqrt((_priced(errors, prices)[:-1] ** 2).sum(axis=0))
    return np.asarray(np.maximum(off / np.maximum(shifted, 1e-300), _MIN_SCALE))


def _log(amounts: Floats) -> Floats:
    """Return logarithms; NaN of what has none."""
    return np.where(amounts > 0, np.log(np.where(amounts > 0, amounts, 1.0)), np.nan)


def recover_prices(outcomes: OutcomeMatrix) -> dict[str, Price]:
    """Return the token prices that explain the recorded costs, for every model where they do.

    Non-negative least squares of cost on input and output tokens; accepted where 99% of the calls are explained
    within 1%. A model whose every cost is zero is free. Models whose costs are not explained by their recorded tokens
    are absent from the answer.
    """
    from scipy.optimize import nnls

    prices = {}
    for j, name in enumerate(outcomes.models):
        cost = outcomes.cost_usd[:, j]
        tokens = np.stack([outcomes.input_tokens[:, j], outcomes.output_tokens[:, j]], axis=1)
        known = ~np.isnan(cost) & ~np.isnan(tokens).any(axis=1)
        if known.sum() >= _MIN_CALLS and not cost[known].any():
            prices[name] = Price(0.0, 0.0)
            continue
        known &= cost > 0
        if known.sum() < _MIN_CALLS:
            continue
        # Relative errors count: a row is weighted by one over its cost.
        weights = 1.0 / cost[known]
        (per_input, per_output), _ = nnls(tokens[known] * weights[:, None], np.ones(int(known.sum())))
        explained = np.abs(tokens[known] @ [per_input, per_output] * weights - 1.0) <= _PRICE_FIT_ERROR
        if explained.mean() >= _PRICE_FIT_SHARE:
            prices[name] = Price(
                input_usd_per_mtok=round(float(per_input) * 1e6, 6),
                output_usd_per_mtok=round(float(per_output) * 1e6, 6),
            )
    return prices
