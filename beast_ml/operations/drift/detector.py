"""The contract of a drift detector: one row after another in, whether something drifted out.

To add one, write a module with a class that keeps the contract, name it in `beast_ml.operations.drift.streams`, and
let it bet through an `EDetector`, so that its false alarms are counted with all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from beast_ml.operations.drift.history import History

__all__ = ["Detector", "Observation"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a detector sees of one row.

    Parameters
    ----------
    at_s
        When it was received, in seconds since 1970.
    value
        What was observed; a name where the detector is of names.
    budget
        False alarms that may be spent on it; see `EDetector`.
    expected
        What was predicted of it; None where nothing was.
    """

    at_s: float
    value: float | str
    budget: float
    expected: float | None = None


class Detector(Protocol):
    """Watches one stream."""

    name: ClassVar[str]
    """What a state file calls it."""

    history: History
    """What the stream looked like, to tell since when it has drifted."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last row made it sure that something drifted; the next row begins anew."""
        ...

    def update(self, row: Observation) -> None:
        """Take one more row in."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what `from_state` goes on from, as plain values for JSON."""
        ...

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return a detector that goes on where the other one was."""
        ...
