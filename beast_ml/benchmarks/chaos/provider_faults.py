"""Providers that are slow, refuse, or fail: one of them, or all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.fault import Fault, Rate

__all__ = ["PROVIDER_FAULTS"]

_SLOW_S: Final = 2.0


def _all_fail(fault: str, **more: Any) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: deployment.provider_fails(fault, **more)


def _one_fails(fault: str, **more: Any) -> Callable[[Deployment, np.random.Generator], None]:
    def inject(deployment: Deployment, rng: np.random.Generator) -> None:
        deployment.provider_fails(fault, model=str(rng.choice(deployment.models)), **more)

    return inject


PROVIDER_FAULTS: Final = (
    Fault(
        "one model fails",
        "provider",
        "calls of one model, drawn by chance, get 500",
        _one_fails("server_error"),
        Rate(50, 600.0, "shared"),
        mend=Deployment.provider_heals,
    ),
    Fault(
        "one model hangs",
        "provider",
        "calls of one model, drawn by chance, get no byte; endpoints have a time limit of 5 s",
        _one_fails("hang"),
        Rate(12, 600.0, "shared"),
        mend=Deployment.provider_heals,
        may=frozenset({504}),
    ),
    Fault(
        "provider slow",
        "provider",
        f"all calls take {_SLOW_S:g} s",
        _all_fail("none", latency_s=_SLOW_S),
        Rate(12, 600.0, "shared"),
        mend=Deployment.provider_heals,
    ),
    Fault(
        "provider limits",
        "provider",
        "all calls get 429",
        _all_fail("rate_limit"),
        Rate(4, 60.0, "shared"),
        mend=Deployment.provider_heals,
        may=frozenset({429, 503}),
    ),
    Fault(
        "provider fails",
        "provider",
        "all calls get 500",
        _all_fail("server_error"),
        Rate(2, 300.0, "shared"),
        mend=Deployment.provider_heals,
        may=frozenset({502, 503}),
    ),
)
"""In the order of the report. Where all models fail there is nothing left to answer with but the cache."""
