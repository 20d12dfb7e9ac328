"""Which lookups are verified, and how many were not in between: what an online threshold learns from."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["LookupPicker", "Picked"]

_MOST_PARTITIONS: Final = 10_000


class Picked(msgspec.Struct, frozen=True):
    """A lookup that is to be verified.

    Parameters
    ----------
    probability
        With which it was picked.
    unverified
        Lookups of its partition before it that were not picked, since the last one that was.
    """

    probability: float
    unverified: int


class LookupPicker:
    """Picks lookups at random, and counts the others, which are told of with the next one that is picked.

    Parameters
    ----------
    share
        Probability with which a hit is picked, and a near miss unless it is free to verify.
    draw
        Returns a number from 0 to 1.
    """

    def __init__(self, share: float, draw: Callable[[], float] = random.random) -> None:
        self._share, self._draw = share, draw
        self._unverified: dict[bytes, int] = {}

    def pick(self, partition: bytes, *, hits: bool, near: bool = False, free: bool = False) -> Picked | None:
        """Return a lookup as picked; None where it is not, which is counted.

        Parameters
        ----------
        partition
            Of the lookup.
        hits
            Whether its candidate would be served.
        near
            Whether it would be under some threshold that may yet be used.
        free
            Whether a near miss is verified at no cost.
        """
        probability = 1.0 if free and not hits else self._share
        if (hits or near) and self._draw() < probability:
            return Picked(probability, self._unverified.pop(partition, 0))
        self._unverified[partition] = self._unverified.pop(partition, 0) + 1
        if len(self._unverified) > _MOST_PARTITIONS:
            del self._unverified[next(iter(self._unverified))]  # which was not heard of for longest
        return None
