"""Where a request is to be sent next: the plan's models in turn, each at its endpoints."""

from __future__ import annotations

from typing import Final

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import RETRIED_ELSEWHERE, ErrorKind
from beast_ml.serving.gateway.contract import Fleet, Plan

__all__ = ["Targets"]

_OF_THE_MODEL: Final[frozenset[ErrorKind]] = frozenset({"context_length", "content_filter"})
"""What another endpoint of the same model would say, too."""


class Targets:
    """Goes along a plan's fallbacks.

    Parameters
    ----------
    plan
        Whose models, best first.
    fleet
        Knows their endpoints, and which of them may be called now.
    """

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self._plan = plan
        self._fleet = fleet
        self._models = list(plan.models)
        self._tried: frozenset[str] = frozenset()

    @property
    def models(self) -> tuple[str, ...]:
        """Those that may still be called, best first."""
        return tuple(self._models)

    def next(self) -> tuple[str, Endpoint] | None:
        """Return the best model that can be called, and where; None: there is none left."""
        while self._models:
            model = self._models[0]
            endpoint = self._fleet.pick(model, self._tried)
            if endpoint is not None:
                self._tried |= {endpoint.name}
                return model, endpoint
            del self._models[0]
        return None

    def give_up(self, model: str) -> None:
        """Call this model no more."""
        if model in self._models:
            self._models.remove(model)

    def failed(self, model: str, kind: ErrorKind) -> bool:
        """Take note of a failure; return whether anybody else may do better."""
        if kind not in RETRIED_ELSEWHERE:
            return False
        if kind in _OF_THE_MODEL:
            self.give_up(model)
        if kind == "context_length":
            reads = self._reads(model)
            self._models = [name for name in self._models if reads is None or (self._reads(name) or reads + 1) > reads]
        return True

    def _reads(self, model: str) -> int | None:
        limits = self._plan.limits.get(model)
        return None if limits is None else limits.context_tokens
