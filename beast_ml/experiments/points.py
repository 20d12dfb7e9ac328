"""Points of a hash, and ranges of them: what a share of the units is, to the last digit."""

from __future__ import annotations

from typing import Final

__all__ = ["POINTS", "TOLERANCE", "Ranges", "first_points", "gaps", "merged", "n_points", "points_of"]

POINTS: Final = 2**64
"""Units are hashed to as many points; a share is a number of them, so that it holds to the last digit of a float."""

TOLERANCE: Final = POINTS // 10**9
"""Points that shares which sum to 1 may miss by rounding."""

Ranges = tuple[tuple[int, int], ...]
"""First and last points."""


def points_of(share: float) -> int:
    """Return the number of points that a share is; exact, since a float times a power of two is.

    Examples
    --------
    >>> points_of(0.1) / POINTS == 0.1
    True
    """
    return int(share * POINTS) if 0.0 <= share <= 1.0 else 0


def n_points(ranges: Ranges) -> int:
    """Return the number of points in these ranges."""
    return sum(high - low + 1 for low, high in ranges)


def first_points(ranges: Ranges, points: int) -> Ranges:
    """Return the first points of these ranges, at most so many."""
    taken = []
    for low, high in sorted(ranges):
        if points <= 0:
            break
        high = min(high, low + points - 1)
        taken.append((low, high))
        points -= high - low + 1
    return tuple(taken)


def gaps(ranges: list[tuple[int, int]]) -> Ranges:
    """Return the points that are in none of these ranges."""
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start < POINTS:
        found.append((start, POINTS - 1))
    return tuple(found)


def merged(ranges: Ranges) -> Ranges:
    """Return the same points in as few ranges as can be."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return tuple(joined)
