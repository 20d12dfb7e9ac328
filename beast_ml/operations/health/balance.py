"""Which of several endpoints takes the next call: power of two choices, one of them in turn.

Of the two, one has its turn and the other is drawn; the drawn one is taken where its predicted latency times its calls
in flight is lower beyond what chance makes of equal endpoints. So equal endpoints share calls as exactly as if they
took turns (two random choices, with ties broken at random, leave some 5% between them), and unequal ones are told
apart as soon as there is evidence. Two choices: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing,
IEEE TPDS 12(10), 2001.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from beast_ml.operations.health.latency import LatencyEstimate

__all__ = ["Balancer", "Seat"]

_SURE: Final = 9.0
"""Squared standard deviations by which loads must differ to be taken as different."""


class Seat:
    """What the balance of a model's calls knows of one endpoint.

    Parameters
    ----------
    now
        Monotonic seconds.
    distance_s
        Seconds to and fro between here and its region.
    """

    __slots__ = ("distance_s", "in_flight", "latency", "turns")

    def __init__(self, now: float, distance_s: float = 0.0) -> None:
        self.distance_s = distance_s
        self.in_flight = 0
        self.latency = LatencyEstimate(now)
        self.turns = 0


class Balancer:
    """Chooses among the endpoints of one model.

    Parameters
    ----------
    rng
        Draws the second choice.
    """

    __slots__ = ("_deck", "_reached", "_rng")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._reached = 0
        self._deck: list[Seat] = []

    def choose(self, seats: Sequence[Seat], now: float) -> int:
        """Return the index of the seat that takes the next call; there must be one."""
        if len(seats) == 1:
            return 0
        reached = self._reached
        holder, fewest = 0, math.inf
        for index, seat in enumerate(seats):
            turns = max(seat.turns, reached)  # who was away gets no turns afterwards
            if turns < fewest:
                holder, fewest = index, turns
        self._reached = int(fewest)
        one = seats[holder]
        one.turns = self._reached + 1  # a turn that another takes is lost: nobody is swamped for having been slow
        drawn = 1 - holder if len(seats) == 2 else self._draw(seats, holder)
        chosen = drawn if _score(one, seats[drawn], now) > 0.0 else holder
        seats[chosen].latency.looked_at = now
        return chosen

    def _draw(self, seats: Sequence[Seat], holder: int) -> int:
        """Return another seat than the holder's: at random, but each as often."""
        own = None
        while True:
            if not self._deck:
                self._deck = list(seats)
                self._rng.shuffle(self._deck)
            seat = self._deck.pop()
            if seat is seats[holder]:
                own = seat
                continue
            if seat in seats:
                break
        if own is not None:
            self._deck.append(own)
        return seats.index(seat)


def _score(one: Seat, other: Seat, now: float) -> float:
    """Return log of the ratio of predicted latency x load, each factor 1 where it is not surely different."""
    excess = one.latency.excess(other.latency, now)
    difference = one.in_flight - other.in_flight
    if difference * difference > _SURE * (one.in_flight + other.in_flight + 1):
        excess += math.log((one.in_flight + 1) / (other.in_flight + 1))
    return excess
