"""What a budget's soft limit would have made of a log: the day's spending lowers the willingness to pay as it burns."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.operations.budgets.rules import paced_pressure
from beast_ml.operations.savings.decider import Decider

__all__ = ["under_soft_limit"]

_LEVELS: Final = 21
_DAY_S: Final = 86_400.0


def under_soft_limit(
    decider: Decider, willingness_to_pay: float, received_s: Floats, limit_usd: float, soft_share: float
) -> tuple[NDArray[np.intp], float]:
    """Return (n,) decisions under a daily limit, and the share of requests that would find it spent.

    Spending is what the decisions are predicted to cost; pressure is that of the serving budgets, in steps of 5%.

    Parameters
    ----------
    received_s
        (n,) seconds since 1970; days are UTC.
    limit_usd
        A day.
    soft_share
        Of the limit, from which on the willingness to pay falls.
    """
    pressures = np.linspace(0.0, 1.0, _LEVELS)
    at_level = np.stack([decider.at(willingness_to_pay * pressure) for pressure in pressures])
    everyone = np.arange(len(received_s))
    costs = np.stack([decider.predictions.cost[everyone, decisions] for decisions in at_level])
    level, over = np.zeros(len(everyone), dtype=np.intp), 0
    day, spent = -1, 0.0
    for i in np.argsort(received_s, kind="stable").tolist():
        today, elapsed = divmod(received_s[i], _DAY_S)
        if today != day:
            day, spent = today, 0.0
        used = spent / limit_usd
        over += used >= 1.0
        level[i] = round(paced_pressure(used, soft_share, elapsed / _DAY_S) * (_LEVELS - 1))
        spent += costs[level[i], i]
    return at_level[level, everyone], over / max(len(everyone), 1)
