"""Calibration drift: outcomes are no longer what was predicted, on average, within a tolerance."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np

from beast_ml.errors import SettingsError
from beast_ml.operations.drift.detector import Observation
from beast_ml.operations.drift.e_detector import STAKES, EDetector
from beast_ml.operations.drift.history import History

__all__ = ["CalibrationDetector"]

_SIGNED: Final = np.concatenate((STAKES, -np.asarray(STAKES)))
_CHARGED: Final = np.concatenate((STAKES, STAKES))


class CalibrationDetector:
    """Bets that outcomes in 0..1 lie above, or below, their predictions by more than a tolerance.

    Whatever the outcomes' distribution, ``1 + stake x (outcome - prediction - tolerance) / (1 + tolerance)`` has a mean
    of at most one while the mean of the outcomes, given all that came before, is within the tolerance of the
    predictions (Waudby-Smith and Ramdas 2024). As long as that is not so, it goes off again and again.

    Parameters
    ----------
    tolerance
        How far predictions may be off without anyone being told; 0..1.

    Raises
    ------
    SettingsError
        If the tolerance is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = CalibrationDetector(tolerance=0.05)
    >>> alarms = []
    >>> for i in range(2_000):
    ...     right = rng.random() < (0.8 if i < 1_000 else 0.6)
    ...     detector.update(Observation(i, float(right), budget=1e-5, expected=0.8))
    ...     if detector.drift_detected:
    ...         alarms.append(i)
    >>> 1_000 < alarms[0] < 1_500
    True
    """

    name: ClassVar[str] = "calibration"  # in reports

    def __init__(self, tolerance: float = 0.05) -> None:
        if not 0.0 <= tolerance < 1.0:
            raise SettingsError(f"`tolerance` == {tolerance}, must be in 0..1: how far means may be off")
        self.tolerance = tolerance
        self.history = History(usual=0.0)
        self._evidence = EDetector(len(_SIGNED))

    @property
    def drift_detected(self) -> bool:
        """Whether the last row made it sure that predictions are off."""
        return self._evidence.drift_detected

    def update(self, row: Observation) -> None:
        """Take an outcome in; one of which nothing was predicted says nothing."""
        if row.expected is None:
            return
        off = float(row.value) - row.expected
        payoffs = (_SIGNED * off - _CHARGED * self.tolerance) / (1.0 + self.tolerance)
        self._evidence.update(1.0 + payoffs, row.budget)
        self.history.add(row.at_s, off)

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "tolerance": self.tolerance,
            "evidence": self._evidence.state(),
            "history": self.history.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> CalibrationDetector:
        """Return one that goes on from a state."""
        one = cls(float(state["tolerance"]))
        one._evidence = EDetector.from_state(state["evidence"])
        one.history = History.from_state(state["history"])
        return one
