"""Evidence against "nothing has changed" that may be looked at after every row, and how many false alarms it makes.

A bet is a factor that is at least zero and at most one on average while nothing has changed. Nobody knows when a change
begins, so a new bet is opened at every row, with a part of a budget of false alarms as its stake, and all are played on
together: R <- (R + stake) x factor, a mixture Shiryaev-Roberts e-detector (Shin, Ramdas, Rinaldo 2023). An alarm goes
off when R reaches one, and all begin anew. The number of alarms plus R, less the stakes so far, never grows on average
while nothing has changed, so

    expected number of false alarms <= sum of the stakes,

over any number of rows and at any time of looking, whatever the distribution, and summed over any number of streams,
whatever ties them together.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["STAKES", "EDetector"]

Floats = NDArray[np.float64]

STAKES: Final = (0.04, 0.08, 0.16, 0.32, 0.64)
"""Parts of the wealth that are bet: small ones find small changes, large ones find large changes soon."""


class EDetector:
    """Wealth of several strategies that bet on the same rows.

    Parameters
    ----------
    n_strategies
        How many; each gets the same part of every stake.

    Examples
    --------
    >>> coin = EDetector(2)
    >>> for _ in range(40):
    ...     coin.update(np.array([1.4, 0.6]), budget=0.001)  # heads, heads, heads: the first one wins
    ...     if coin.drift_detected:
    ...         break
    >>> coin.drift_detected
    True
    """

    def __init__(self, n_strategies: int) -> None:
        self.wealth: Floats = np.zeros(n_strategies)
        self.drift_detected = False

    def update(self, factors: Floats, budget: float) -> None:
        """Play one row: (n_strategies,) factors, each with a mean of at most one while nothing has changed."""
        if self.drift_detected:
            self.wealth[:] = 0.0
        self.wealth += budget / len(self.wealth)
        self.wealth *= factors
        self.drift_detected = float(np.add.reduce(self.wealth)) >= 1.0

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"wealth": self.wealth.tolist(), "drift_detected": self.drift_detected}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> EDetector:
        """Return one that goes on from a state."""
        one = cls(len(state["wealth"]))
        one.wealth = np.asarray(state["wealth"], dtype=float)
        one.drift_detected = bool(state["drift_detected"])
        return one
