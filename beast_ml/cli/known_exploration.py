"""How a deployment lets its routers explore."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beast_ml.policy.exploration import Exploration
    from beast_ml.settings import Settings

__all__ = ["known_exploration"]


def known_exploration(settings: Settings, max_loss: float | None = None) -> Exploration | None:
    """Return how routers that learn from logs explore by the settings; ``max_loss`` overrides theirs, 0 with none.

    Raises
    ------
    InputError
        If a bound is out of its range.
    """
    from beast_ml.policy.exploration import Exploration

    told = {} if settings.exploration is None else settings.exploration.model_dump()
    if max_loss is not None:
        told["max_loss"] = max_loss
    return Exploration(**told) if told.get("max_loss") else None
