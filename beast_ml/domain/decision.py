"""What the router answers."""

from __future__ import annotations

import msgspec

from beast_ml.domain.candidate import Price

__all__ = ["Explanation", "Forecast", "ModelForecast", "RoutingDecision"]


class Forecast(msgspec.Struct, frozen=True):
    """An expected value with its 90% interval.

    For cost, latency and tokens the interval holds the realised amount; for quality it holds the mean quality over
    requests that are predicted alike.

    Parameters
    ----------
    value
        Expected.
    low, high
        Ends of the interval.
    """

    value: float
    low: float
    high: float


class ModelForecast(msgspec.Struct, frozen=True):
    """What is expected of one candidate on one request; None where the training data did not tell.

    ``price`` is what its cost was computed with, where that is price x predicted tokens.

    Parameters
    ----------
    model
        The candidate.
    quality, cost_usd, latency_s, ttft_s, output_tokens
        Of its answer; ``ttft_s`` is the time to the first token.
    failure_probability
        That its call fails or times out (0..1).
    price
        With which its cost was computed, where that is price x predicted tokens.
    """

    model: str
    quality: Forecast
    cost_usd: Forecast | None = None
    latency_s: Forecast | None = None
    ttft_s: Forecast | None = None
    output_tokens: Forecast | None = None
    failure_probability: float | None = None
    price: Price | None = None


class Explanation(msgspec.Struct, frozen=True):
    """Why a model was chosen.

    Parameters
    ----------
    reason
        One sentence for people.
    binding_constraint
        The constraint that ruled out a candidate of higher utility, or None.
    runner_up
        The next best candidate that was allowed, or None when there was only one.
    runner_up_extra_cost_usd
        What the runner-up would have cost beyond the chosen model (negative: it was cheaper).
    runner_up_extra_quality
        The quality it was predicted to add (negative: it was worse).
    """

    reason: str
    binding_constraint: str | None = None
    runner_up: str | None = None
    runner_up_extra_cost_usd: float | None = None
    runner_up_extra_quality: float | None = None


class RoutingDecision(msgspec.Struct, frozen=True):
    """Which model answers, with what probability it was chosen, and who steps in if it fails.

    Parameters
    ----------
    model
        The chosen candidate.
    propensity
        The probability with which the policy chose it for this request, in (0, 1].
    fallbacks
        The other allowed candidates, best first.
    policy_version
        Digest of the bundle that decided.
    tenant
        Whose request it was.
    request_kind
        The most probable kind of the request; None where the router knows no kinds.
    forecasts, explanation
        What was expected of every candidate, and why this one was chosen; filled on demand.
    """

    model: str
    propensity: float
    fallbacks: tuple[str, ...]
    policy_version: str
    tenant: str = "default"
    forecasts: tuple[ModelForecast, ...] = ()
    explanation: Explanation | None = None
    request_kind: str | None = None
