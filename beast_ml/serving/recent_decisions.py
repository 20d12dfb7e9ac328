"""What a worker decided lately: so that what clients tell of a request is believed once, and of its own models only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["RecentDecision", "RecentDecisions"]

_MOST: Final = 16_384


class RecentDecision(NamedTuple):
    """A decision whose outcome nobody has told this worker.

    Parameters
    ----------
    model
        The chosen one.
    fallbacks
        Who might have stepped in.
    """

    model: str
    fallbacks: tuple[str, ...]


class RecentDecisions:
    """Remembers decisions until their outcome is told; the oldest are forgotten first.

    Outcomes that reach another worker are on record all the same; they just teach health and history nothing.
    """

    def __init__(self) -> None:
        self._decisions: OrderedDict[str, RecentDecision] = OrderedDict()

    def add(self, request_id: str, decision: RecentDecision) -> None:
        """Remember one."""
        self._decisions[request_id] = decision
        if len(self._decisions) > _MOST:
            self._decisions.popitem(last=False)

    def take(self, request_id: str) -> RecentDecision | None:
        """Return one and forget it; None where it is not known, or was taken before."""
        return self._decisions.pop(request_id, None)
