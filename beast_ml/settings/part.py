"""What all parts of the settings are: frozen, and closed to names that nobody knows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Part"]


class Part(BaseModel):
    """One part of the settings."""

    # A name that nobody knows is refused: a mistyped one would otherwise be passed over in silence.
    model_config = ConfigDict(frozen=True, extra="forbid")
