"""How a region stands with the budgets' home, as it is shown."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["RegionFigures"]


class RegionFigures(msgspec.Struct, frozen=True):
    """How a region stands with the budgets' home.

    Parameters
    ----------
    away
        Whether the home did not answer the last time.
    silent_s
        Seconds since it last answered.
    lives_s
        Seconds for which the region may still spend what it holds; 0: it may not.
    held
        Nano-dollars of the home's that the region has and has not spent, by account, in the windows that run.
    """

    away: bool
    silent_s: float
    lives_s: float
    held: Mapping[str, int]
