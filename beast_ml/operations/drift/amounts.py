"""Drift of a number: its distribution is no longer the one that it was."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np

from beast_ml.errors import SettingsError
from beast_ml.operations.drift.detector import Observation
from beast_ml.operations.drift.e_detector import EDetector
from beast_ml.operations.drift.history import History
from beast_ml.operations.drift.ranks import N_STRATEGIES, rank_factors, tie_break

__all__ = ["AmountDetector"]

_BINS: Final = 200


class AmountDetector:
    """Bets on the rank of each number among all that came before it since the last alarm.

    Nothing need be known of the distribution: the stream's own past is what it is compared with. After an alarm that
    past is forgotten, so a lasting change goes off once. Numbers are kept as counts in bins of the range, and ranks
    within a bin are drawn; what is predicted is taken off first, where the range allows it.

    Parameters
    ----------
    low, high
        The range; what lies beyond counts as its end.

    Raises
    ------
    SettingsError
        If the range is empty.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = AmountDetector(0.0, 10.0)
    >>> alarms = []
    >>> for i in range(2_000):
    ...     detector.update(Observation(i, rng.normal(5.0 if i < 1_000 else 5.5), budget=1e-5))
    ...     if detector.drift_detected:
    ...         alarms.append(i)
    >>> len(alarms), 1_000 < alarms[0] < 1_400
    (1, True)
    """

    name: ClassVar[str] = "amounts"  # in reports

    def __init__(self, low: float, high: float) -> None:
        if not low < high:
            raise SettingsError(f"a range from {low} to {high}, must not be empty")
        self.low, self.high = low, high
        self.history = History()
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._n = self._drawn = 0
        self._evidence = EDetector(N_STRATEGIES)

    @property
    def drift_detected(self) -> bool:
        """Whether the last row made it sure that the distribution has changed."""
        return self._evidence.drift_detected

    def update(self, row: Observation) -> None:
        """Take a number in."""
        if self._evidence.drift_detected:
            self._counts[:], self._n, self.history = 0, 0, History()
        value = float(row.value) - (row.expected or 0.0)
        share = (value - self.low) / (self.high - self.low)
        position = min(max(int(share * _BINS), 0), _BINS - 1)
        self._counts[position] += 1
        self._n += 1
        self._drawn += 1
        below = int(np.add.reduce(self._counts[:position]))
        p = (below + tie_break(self._drawn) * int(self._counts[position])) / self._n
        self._evidence.update(rank_factors(p), row.budget)
        self.history.add(row.at_s, value)

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        used = np.flatnonzero(self._counts)
        return {
            "low": self.low,
            "high": self.high,
            "counts": [[int(i), int(self._counts[i])] for i in used],
            "n": self._n,
            "drawn": self._drawn,
            "evidence": self._evidence.state(),
            "history": self.history.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> AmountDetector:
        """Return one that goes on from a state."""
        one = cls(float(state["low"]), float(state["high"]))
        for position, count in state["counts"]:
            one._counts[position] = count
        one._n, one._drawn = int(state["n"]), int(state["drawn"])
        one._evidence = EDetector.from_state(state["evidence"])
        one.history = History.from_state(state["history"])
        return one
