"""Cost of every candidate: price x predicted tokens where both are known, else predicted in dollars directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.errors import UnknownModelError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Floats, Rows

__all__ = ["TokenCostPredictor", "recover_prices"]

_PRICE_FIT_ERROR: Final = 0.01
_PRICE_FIT_SHARE: Final = 0.99
_MIN_CALLS: Final = 10


@dataclass(frozen=True)
class TokenCostPredictor:
    """Cost = price x tokens: a price change is a change of two numbers, not a retraining.

    Parameters
    ----------
    input_tokens, output_tokens
        Predictors of what each candidate's own tokenizer and verbosity make of a request.
    prices
        One a candidate, in the order of the models.
    """

    input_tokens: AmountPredictor
    output_tokens: AmountPredictor
    prices: tuple[Price, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates."""
        return self.output_tokens.models

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected cost, USD."""
        return self._cost(self.input_tokens.predict(rows), self.output_tokens.predict(rows))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the ends, (n, m) each, of intervals that hold at least 90% of the realised costs.

        The ends of input and output tokens are put together, so they are a little wide.
        """
        low_in, high_in = self.input_tokens.interval(rows)
        low_out, high_out = self.output_tokens.interval(rows)
        return self._cost(low_in, low_out), self._cost(high_in, high_out)

    def of_tokens(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Return (n, m) costs of (n, m) token counts, USD."""
        return self._cost(input_tokens, output_tokens)

    def with_prices(self, prices: Mapping[str, Price]) -> TokenCostPredictor:
        """Return the same predictor under new prices of some candidates.

        Raises
        ------
        UnknownModelError
            If a price is for a model that is not in the pool.
        """
        unknown = sorted(set(prices) - set(self.models))
        if unknown:
            raise UnknownModelError(f"no candidate {unknown[0]!r}; the pool is {', '.join(self.models)}")
        changed = tuple(prices.get(name, old) for name, old in zip(self.models, self.prices, strict=True))
        return replace(self, prices=changed)

    def _cost(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        per_input = np.array([price.input_usd_per_mtok for price in self.prices])
        per_output = np.array([price.output_usd_per_mtok for price in self.prices])
        return np.asarray((input_tokens * per_input + output_tokens * per_output) / 1e6)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return {
            **{f"input/{name}": array for name, array in self.input_tokens.arrays().items()},
            **{f"output/{name}": array for name, array in self.output_tokens.arrays().items()},
        }

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle; the prices are in its candidate pool."""
        return {"input": self.input_tokens.calibration(), "output": self.output_tokens.calibration()}

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

        return cls(part("input"), part("output"), prices)


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
