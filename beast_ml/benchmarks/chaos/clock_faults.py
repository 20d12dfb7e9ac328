"""Clocks that jump."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.traffic import Reply
from beast_ml.operations.budgets.ledger import AHEAD_S
from beast_ml.operations.budgets.rules import window_start

__all__ = ["CLOCK_FAULTS"]

_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0


def _shifts(seconds: float) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: _set(deployment, seconds)


def _set(deployment: Deployment, seconds: float) -> None:
    aside = deployment.shift.with_suffix(".new")
    aside.write_text(f"{seconds}")
    aside.replace(deployment.shift)


def _back(deployment: Deployment) -> None:
    _set(deployment, 0.0)


def _no_new_budget(deployment: Deployment, _: Sequence[Reply]) -> list[str]:
    """Look whether a clock that is wrong opened a budget of a time to come."""
    ahead = time.time() + AHEAD_S
    return [
        f"{each.account} was opened for {each.window}"
        for each in deployment.accounts()
        if window_start(each.window).timestamp() > ahead
    ]


def _forbids(deployment: Deployment) -> str | None:
    return None if deployment.services.shifted_clock else "the server's clock is the machine's"


def _jump(name: str, seconds: float, may: frozenset[int] = frozenset()) -> Fault:
    return Fault(
        f"clock {name}",
        "clock",
        f"the clock of the server jumps by {name}, and back",
        _shifts(seconds),
        Rate(1, 300.0),
        mend=_back,
        may=may,
        forbids=_forbids,
        check=_no_new_budget,
    )


CLOCK_FAULTS: Final = (
    _jump("+1 h", _HOUR_S),
    _jump("-1 h", -_HOUR_S),
    _jump("+40 d", 40 * _DAY_S, frozenset({402, 503})),
)
"""In the order of the report."""
