"""Which models can be called now, and where: breakers, probes, balance, and the budget of retries."""

from __future__ import annotations

from beast_ml.operations.health.breaker import Breaker, BreakerSettings, BreakerState
from beast_ml.operations.health.fit import fits
from beast_ml.operations.health.fleet import EndpointHealth, FleetHealth
from beast_ml.operations.health.hints import BreakerHints
from beast_ml.operations.health.nearness import RegionDistances
from beast_ml.operations.health.prober import Prober
from beast_ml.operations.health.retry_budget import RetryBudget

__all__ = [
    "Breaker",
    "BreakerHints",
    "BreakerSettings",
    "BreakerState",
    "EndpointHealth",
    "FleetHealth",
    "Prober",
    "RegionDistances",
    "RetryBudget",
    "fits",
]
