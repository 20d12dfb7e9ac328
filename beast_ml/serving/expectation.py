"""What a router sees in a request before it chooses, and how it says so to people."""

from __future__ import annotations

from dataclasses import dataclass

from beast_ml.bundle.read import RouterBundle
from beast_ml.domain import Explanation, Forecast, ModelForecast
from beast_ml.policy.decide import Choice, Ranking
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.pool import Expected

__all__ = ["Expectation", "explanation_of", "forecasts_of"]


@dataclass(slots=True)
class Expectation:
    """What a router sees in one request before it chooses.

    Parameters
    ----------
    rows
        (1, d) features.
    expected
        Of every candidate, (1, m) arrays.
    kind
        The most probable kind of the request; None where the router knows no kinds.
    upper_cost_usd
        (m,) costs that hold with 95% probability; None until `Router.upper_cost_usd` was asked.
    standing
        How the router ranks the whole pool by its own policy and constraints; None until `Router.choose` was asked.
    """

    rows: Rows
    expected: Expected
    kind: str | None
    upper_cost_usd: Floats | None = None
    standing: Ranking | None = None


def forecasts_of(bundle: RouterBundle, seen: Expectation) -> tuple[ModelForecast, ...]:
    """Return what is expected of every candidate, with intervals, in the order of the pool."""
    predictors, rows, expected = bundle.predictors, seen.rows, seen.expected
    quality = _Ends(expected.quality, predictors.quality.interval(rows))
    cost = _Ends(expected.cost_usd, predictors.cost.interval(rows) if predictors.cost else None)
    latency = _Ends(expected.latency_s, predictors.latency.interval(rows) if predictors.latency else None)
    ttft = _amount_ends(predictors.ttft, rows)
    priced = predictors.cost if isinstance(predictors.cost, TokenCostPredictor) else None
    tokens = _amount_ends(priced.output_tokens if priced else None, rows)
    return tuple(
        ModelForecast(
            model=name,
            quality=quality.forecast(j) or Forecast(0.0, 0.0, 1.0),
            cost_usd=cost.forecast(j),
            latency_s=latency.forecast(j),
            ttft_s=ttft.forecast(j),
            output_tokens=tokens.forecast(j),
            failure_probability=None if expected.failure is None else float(expected.failure[0, j]),
            price=priced.prices[j] if priced else None,
        )
        for j, name in enumerate(predictors.models)
    )


def explanation_of(bundle: RouterBundle, seen: Expectation, choice: Choice) -> Explanation:
    """Return why a candidate was chosen."""
    expected, models, chosen = seen.expected, bundle.predictors.models, choice.chosen
    others = [j for j in choice.ranking if j != chosen]
    runner_up = others[0] if others else None
    quality = expected.quality[0]
    extra_cost = extra_quality = None
    if runner_up is not None:
        extra_quality = float(quality[runner_up] - quality[chosen])
        if expected.cost_usd is not None:
            extra_cost = float(expected.cost_usd[0, runner_up] - expected.cost_usd[0, chosen])
    return Explanation(
        reason=_reason(bundle, seen, choice),
        binding_constraint=choice.binding_constraint,
        runner_up=None if runner_up is None else models[runner_up],
        runner_up_extra_cost_usd=extra_cost,
        runner_up_extra_quality=extra_quality,
    )


class _Ends:
    """Values and interval ends of one request, or nothing."""

    def __init__(self, values: Floats | None, ends: tuple[Floats, Floats] | None) -> None:
        self._values, self._ends = values, ends

    def forecast(self, j: int) -> Forecast | None:
        if self._values is None or self._ends is None:
            return None
        low, high = self._ends
        return Forecast(float(self._values[0, j]), float(low[0, j]), float(high[0, j]))


def _amount_ends(predictor: AmountPredictor | None, rows: Rows) -> _Ends:
    return _Ends(None, None) if predictor is None else _Ends(predictor.predict(rows), predictor.interval(rows))


def _reason(bundle: RouterBundle, seen: Expectation, choice: Choice) -> str:
    models, policy = bundle.predictors.models, bundle.policy
    name = models[choice.chosen]
    if choice.chosen != choice.ranking[0]:
        return f"explored: {name} was drawn{_why_drawn(bundle, seen, choice)}"
    if choice.binding_constraint:
        return f"{name} has the highest utility of those that meet {choice.binding_constraint}"
    if policy.kind == "single" and name == policy.model:
        return f"routing does not pay on the training data, so {name} always answers"
    return f"{name} has the highest utility: willingness to pay x quality - cost"


def _why_drawn(bundle: RouterBundle, seen: Expectation, choice: Choice) -> str:
    models, caution = bundle.predictors.models, seen.expected.caution
    name, first = models[choice.chosen], models[choice.ranking[0]]
    if bundle.policy.exploration is None or caution is None:
        return f" at random; {first} has the highest utility"
    return (
        f" with probability {choice.propensity:.3f}, for it may be better than {first}, the choice by what is known: "
        f"the log tells the quality of {name} on such requests within {caution[0, choice.chosen]:.2f} only"
    )
