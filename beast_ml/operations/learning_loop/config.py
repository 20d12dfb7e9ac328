"""How patient the loop is, and how sure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from beast_ml.errors import SettingsError

__all__ = ["LoopConfig"]


@dataclass(frozen=True)
class LoopConfig:
    """What each step waits for.

    Parameters
    ----------
    every
        Between the beginnings of regular cycles; drift does not wait.
    min_labelled
        New labelled requests before anything is learnt.
    max_bad_share
        Of the new requests: with clocks that are wrong, broken, or without propensity, each for itself.
    shadow_requests, max_undecided_share
        So many requests are shadowed, of which at most such a share may be left undecided.
    canary_share, canary_units
        Share of the units that the candidate serves, and the least number of them before it is promoted.
    canary_margin
        Harm beyond this must be excluded before a candidate that passed the gates is promoted; in units of quality.
        The gates have looked closer, but at the past: the canary shows that the present is no other. A candidate of
        which the log could not tell must be better.
    watch_share
        Share of the units that the former champion keeps after a promotion.
    watch_for
        How long it keeps them.
    longest
        A step that waits longer than this is given up.

    Raises
    ------
    SettingsError
        If one of them cannot be.
    """

    every: timedelta = timedelta(days=7)
    min_labelled: int = 1_000
    max_bad_share: float = 0.05
    shadow_requests: int = 200
    max_undecided_share: float = 0.01
    canary_share: float = 0.2
    canary_units: int = 200
    canary_margin: float = 0.02
    watch_share: float = 0.1
    watch_for: timedelta = timedelta(days=7)
    longest: timedelta = timedelta(days=21)

    def __post_init__(self) -> None:
        for name in ("every", "watch_for", "longest"):
            if getattr(self, name) <= timedelta(0):
                raise SettingsError(f"`{name}` == {getattr(self, name)}, must be above 0")
        for name in ("min_labelled", "shadow_requests", "canary_units"):
            if getattr(self, name) < 1:
                raise SettingsError(f"`{name}` == {getattr(self, name)}, must be at least 1")
        for name in ("max_bad_share", "max_undecided_share", "canary_margin"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"`{name}` == {getattr(self, name)}, must be in 0..1")
        for name in ("canary_share", "watch_share"):
            if not 0.0 < getattr(self, name) <= 0.5:
                raise SettingsError(f"`{name}` == {getattr(self, name)}, must be above 0 and at most 0.5")
