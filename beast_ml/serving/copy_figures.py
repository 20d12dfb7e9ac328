"""How a region stands with the caches of the others, as it is shown."""

from __future__ import annotations

import msgspec

__all__ = ["CopyFigures"]


class CopyFigures(msgspec.Struct, frozen=True):
    """How a region stands with the others' caches.

    Parameters
    ----------
    away
        Whether the home did not answer the last time.
    silent_s
        Seconds since it last answered.
    n_kept, n_left_out
        Entries of others that were kept, since the last time, and those that were invalid or expired on the way.
    n_waiting
        That are yet to be taken.
    """

    away: bool
    silent_s: float
    n_kept: int = 0
    n_left_out: int = 0
    n_waiting: int = 0
