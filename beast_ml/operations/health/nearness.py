"""Which endpoints of a model are near: those of the deployment's own region, while nothing farther is surely faster.

What is measured of a farther endpoint has the way to it in it. Of one that was hardly called yet, it is expected to
take what the near ones usually do and the way beside; so a region that slows down beyond that is left for the next.

What was measured once does not hold for ever: a region that is left, or passed over, for what it took is tried again
when nobody has looked for two minutes, with the calls of a moment, and these count for more than what was before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from beast_ml.errors import InputError
from beast_ml.operations.health.balance import Seat

__all__ = ["RegionDistances", "near_seats"]

_UNKNOWN_S: Final = 0.1

_S = TypeVar("_S", bound=Seat)


class RegionDistances(msgspec.Struct, frozen=True):
    """How far other regions are.

    Parameters
    ----------
    here
        The deployment's own region; empty: it has none, and all are as near.
    round_trips_s
        Seconds to and fro between two regions, by the one and the other, in either order; 0.1 where nothing is said.

    Raises
    ------
    InputError
        If a round trip is no number of seconds.

    Examples
    --------
    >>> distances = RegionDistances("us", {"eu": {"us": 0.08}})
    >>> [distances.of(region) for region in ("us", "", "eu", "ap")]
    [0.0, 0.0, 0.08, 0.1]
    """

    here: str = ""
    round_trips_s: Mapping[str, Mapping[str, float]] = {}

    def __post_init__(self) -> None:
        for one, others in self.round_trips_s.items():
            for other, seconds in others.items():
                if not 0.0 <= seconds < float("inf"):
                    raise InputError(f"the round trip between {one!r} and {other!r} == {seconds}, must be seconds >= 0")

    def of(self, region: str) -> float:
        """Return the seconds to and fro between here and a region; one that is not named counts as here."""
        if not self.here or region in ("", self.here):
            return 0.0
        there = self.round_trips_s.get(region, {})
        return self.round_trips_s.get(self.here, {}).get(region, there.get(self.here, _UNKNOWN_S))


def near_seats(seats: Sequence[_S], now: float) -> list[_S]:
    """Return those of the nearest region, or of the next one that is surely faster than all of them; there must be one.

    Of those that would be passed over for what was measured long ago, the nearest are returned, once: they are tried
    again.

    Parameters
    ----------
    seats
        Endpoints that may be called.
    now
        Monotonic seconds.
    """
    nearest_s = min(seat.distance_s for seat in seats)
    near = [seat for seat in seats if seat.distance_s == nearest_s]
    if len(near) == len(seats) or not all(seat.latency.is_known for seat in near):
        return near
    usual_s = min(seat.latency.usual_s for seat in near)
    for distance_s in sorted({seat.distance_s for seat in seats} - {nearest_s}):
        far = [seat for seat in seats if seat.distance_s == distance_s]
        otherwise_s = usual_s + distance_s - nearest_s
        if _are_slower(near, min(_expected_s(seat, otherwise_s) for seat in far), now):
            return _tried_again(near, now) or far
        if _are_slower(near, otherwise_s, now) and (again := _tried_again(far, now)):
            return again
    return near


def _are_slower(near: Sequence[_S], seconds: float, now: float) -> bool:
    return all(seat.latency.is_surely_above(seconds, now) for seat in near)


def _tried_again(seats: Sequence[_S], now: float) -> list[_S]:
    """Return those at which nobody has looked for long; there is one look now."""
    due = [seat for seat in seats if seat.latency.is_due(now)]
    for seat in due:
        seat.latency.look_again(now)
    return due


def _expected_s(seat: Seat, otherwise_s: float) -> float:
    expected_s = seat.latency.expected_s
    return otherwise_s if expected_s is None or not seat.latency.is_known else expected_s
