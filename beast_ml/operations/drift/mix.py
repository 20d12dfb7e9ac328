"""Drift of a mix: names come in other shares than they did."""

from __future__ import annotations

from typing import Any, ClassVar

from beast_ml.operations.drift.detector import Observation
from beast_ml.operations.drift.e_detector import EDetector
from beast_ml.operations.drift.history import History
from beast_ml.operations.drift.ranks import N_STRATEGIES, rank_factors, tie_break

__all__ = ["MixDetector"]


class MixDetector:
    """Bets on how common each row's name is among all that came before it since the last alarm.

    A row's rank is that of its name's count, the row itself included, so that all rows are ranked alike. Names that
    are equally common change places unseen until they are not.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> detector = MixDetector()
    >>> alarms = []
    >>> for i in range(2_000):
    ...     shares = [0.6, 0.3, 0.1] if i < 1_000 else [0.4, 0.3, 0.3]
    ...     detector.update(Observation(i, str(rng.choice(["code", "chat", "maths"], p=shares)), budget=1e-5))
    ...     if detector.drift_detected:
    ...         alarms.append(i)
    >>> 1_000 < alarms[0] < 1_500
    True
    """

    name: ClassVar[str] = "mix"

    def __init__(self) -> None:
        self.history = History()
        self.shares: dict[str, int] = {}
        self._n = self._drawn = 0
        self._evidence = EDetector(N_STRATEGIES)

    @property
    def drift_detected(self) -> bool:
        """Whether the last row made it sure that the mix has changed."""
        return self._evidence.drift_detected

    def update(self, row: Observation) -> None:
        """Take a name in."""
        if self._evidence.drift_detected:
            self.shares, self._n, self.history = {}, 0, History()
        name = str(row.value)
        count = self.shares.get(name, 0) + 1
        self.shares[name] = count
        self._n += 1
        self._drawn += 1
        commoner = sum(each for each in self.shares.values() if each > count)
        as_common = sum(each for each in self.shares.values() if each == count)
        p = (commoner + tie_break(self._drawn) * as_common) / self._n
        self._evidence.update(rank_factors(p), row.budget)
        self.history.add(row.at_s, p)

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "shares": self.shares.copy(),
            "n": self._n,
            "drawn": self._drawn,
            "evidence": self._evidence.state(),
            "history": self.history.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> MixDetector:
        """Return one that goes on from a state."""
        one = cls()
        one.shares = {str(name): int(count) for name, count in state["shares"].items()}
        one._n, one._drawn = int(state["n"]), int(state["drawn"])
        one._evidence = EDetector.from_state(state["evidence"])
        one.history = History.from_state(state["history"])
        return one
