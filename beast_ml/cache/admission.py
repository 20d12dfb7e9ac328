"""Which entries deserve room: what a hit on one saves, times how often it is asked for (TinyLFU, aware of costs).

An entry that wants to enter a full tier must be worth more than those that would have to leave for it together: the
"aggregated victims" of G. Einziger, O. Eytan, R. Friedman, B. Manes, "Lightweight Robust Size Aware Cache Management"
(2021), with dollars instead of hits. How often something is asked for is estimated, also for what is not here, by the
sketch of G. Einziger, R. Friedman, B. Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (2017).
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from beast_ml.cache.entry import CacheEntry
from beast_ml.errors import InputError

__all__ = ["FrequencySketch", "Worth"]

_ROWS: Final = 4
_HIGHEST: Final = 255
_ODD: Final = 0xDA942042E4DD58B59E3779B97F4A7C15
_MASK_128: Final = (1 << 128) - 1
_SAMPLE: Final = 10
"""Counts are halved after so many events per counter of a row."""


class Worth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hit is worth.

    Parameters
    ----------
    usd_per_s
        USD that a second of waiting, saved, is worth.
    least_usd
        What every hit saves at least, so that answers of unknown cost compete by their size and demand.

    Examples
    --------
    >>> Worth(usd_per_s=0.01).priced(cost_usd=0.002, latency_s=0.3)
    0.005
    """

    usd_per_s: float = 0.001
    least_usd: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 <= self.usd_per_s < math.inf:
            raise InputError(f"`usd_per_s` == {self.usd_per_s}, must be a number >= 0")
        if not 0 < self.least_usd < math.inf:
            raise InputError(f"`least_usd` == {self.least_usd}, must be a number > 0")

    def priced(self, cost_usd: float, latency_s: float) -> float:
        """Return the USD that not asking a model saves; numbers that are none, or negative, count as unknown."""
        usd = cost_usd + self.usd_per_s * latency_s
        return max(usd, self.least_usd) if math.isfinite(usd) else self.least_usd

    def of(self, entry: CacheEntry) -> float:
        """Return the USD that one hit on an entry saves."""
        return self.priced(entry.cost_usd, entry.latency_s)


class FrequencySketch:
    """How often keys were asked for lately: a count-min sketch with ageing, behind a doorkeeper.

    Keys are digests: their first 16 bytes tell them apart. A key's first event only sets bits in the doorkeeper, a
    Bloom filter, so that what is asked for once takes no counters. From time to time all counts are halved and the
    doorkeeper is emptied, so that the past fades.

    Parameters
    ----------
    n_keys
        How many keys are to be told apart, about: a few times what the tier holds.

    Examples
    --------
    >>> sketch = FrequencySketch(1000)
    >>> for _ in range(5):
    ...     sketch.add(b"asked for often")
    >>> sketch.add(b"asked for once")
    >>> sketch.estimate(b"asked for often"), sketch.estimate(b"asked for once"), sketch.estimate(b"never seen")
    (5, 1, 0)
    """

    def __init__(self, n_keys: int) -> None:
        if n_keys < 1:
            raise InputError(f"`n_keys` == {n_keys}, must be >= 1")
        width = 1 << max(10, (n_keys - 1).bit_length())
        self._mask = width - 1
        self._rows = tuple(bytearray(width) for _ in range(_ROWS))
        self._door = bytearray(width)
        self._n_events, self._n_until_ageing = 0, _SAMPLE * width

    @property
    def n_bytes(self) -> int:
        """Memory that the counters take."""
        return (_ROWS + 1) * (self._mask + 1)

    def add(self, key: bytes) -> None:
        """Count an event."""
        first, step = _hashes(key)
        mask, door = self._mask, self._door
        self._n_events += 1
        if self._n_events >= self._n_until_ageing:
            self._age()
        one, other = (first ^ step) & mask, (first + 5 * step) & mask
        if not (door[one] and door[other]):
            door[one] = door[other] = 1
            return
        places = [(first + n * step) & mask for n in range(_ROWS)]
        lowest = min(row[place] for row, place in zip(self._rows, places, strict=True))
        if lowest < _HIGHEST:
            for row, place in zip(self._rows, places, strict=True):
                if row[place] == lowest:  # "conservative update": the others count other keys, too
                    row[place] = lowest + 1

    def estimate(self, key: bytes) -> int:
        """Return about how often a key was asked for since the last ageing, never less; 256 at most."""
        first, step = _hashes(key)
        mask, door = self._mask, self._door
        one, two, three, four = self._rows
        lowest = min(
            one[first & mask],
            two[(first + step) & mask],
            three[(first + 2 * step) & mask],
            four[(first + 3 * step) & mask],
        )
        return lowest + 1 if door[(first ^ step) & mask] and door[(first + 5 * step) & mask] else lowest

    def _age(self) -> None:
        self._n_events //= 2
        for row in self._rows:
            counts = np.frombuffer(row, dtype=np.uint8)
            np.right_shift(counts, 1, out=counts)
        self._door[:] = bytes(len(self._door))


def _hashes(key: bytes) -> tuple[int, int]:
    """Return where to begin in the rows, and how far to go from one to the next (multiplicative hashing)."""
    mixed = (int.from_bytes(key[:16], "little") * _ODD) & _MASK_128
    return mixed >> 88, (mixed >> 48 & 0xFFFFFFFFFF) | 1
