"""Concurrent misses of one key make one answer: the first makes it, the others wait for it, but not for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from beast_ml.errors import InputError

__all__ = ["Landed", "Lead", "Singleflight"]

T = TypeVar("T")

_DEFAULT_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """An answer that another request has made meanwhile.

    Parameters
    ----------
    value
        The answer.
    """

    value: T


class _Flight(Generic[T]):
    """One key that is being answered: who makes the answer, and who waits; a wait ends with it, or with None: lead."""

    def __init__(self) -> None:
        self.leader: Lead[T] | None = None
        self.waiting: deque[asyncio.Future[Landed[T] | None]] = deque()


class Lead(Generic[T]):
    """The duty to make an answer, as a context: left without `land`, it goes to the next who waits.

    It may be held while an answer is streamed.
    """

    def __init__(self, flights: Singleflight[T], key: bytes, flight: _Flight[T]) -> None:
        self._flights, self._key, self._flight = flights, key, flight
        flight.leader = self

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand the duty over, unless the answer has landed."""
        if self._flight.leader is self:
            self._flights._hand_over(self._key, self._flight)

    def land(self, value: T) -> None:
        """Give the answer to all who wait. One who took too long may still land, if nobody else has."""
        self._flights._end(self._key, self._flight, Landed(value))

    def dismiss(self) -> None:
        """Let all who wait make answers of their own, at once: this one will be fit for nobody else."""
        self._flights._end(self._key, self._flight, None)


class Singleflight(Generic[T]):
    """Lets one request in a process make each answer; for one event loop.

    Parameters
    ----------
    max_wait_s
        How long a request waits for another's answer. Then it takes the duty over, whatever has become of the other.

    Examples
    --------
    >>> flights = Singleflight[str]()
    >>> async def ask():
    ...     await asyncio.sleep(0.01)
    ...     print("asked")
    ...     return "answer"
    >>> async def main():
    ...     return await asyncio.gather(*(flights.answer(b"key", ask) for _ in range(3)))
    >>> asyncio.run(main())
    asked
    ['answer', 'answer', 'answer']
    """

    def __init__(self, max_wait_s: float = _DEFAULT_WAIT_S) -> None:
        if not max_wait_s > 0:
            raise InputError(f"`max_wait_s` == {max_wait_s}, must be > 0")
        self._max_wait_s = max_wait_s
        self._flights: dict[bytes, _Flight[T]] = {}

    def __len__(self) -> int:
        """Return how many keys are being answered."""
        return len(self._flights)

    async def join(self, key: bytes) -> Lead[T] | Landed[T]:
        """Return the duty to answer a key, or the answer that another has made.

        Parameters
        ----------
        key
            Of what missed; it must hold the partition, as all keys of `CacheKey` do.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            return Lead(self, key, flight)
        turn: asyncio.Future[Landed[T] | None] = asyncio.get_running_loop().create_future()
        flight.waiting.append(turn)
        try:
            await asyncio.wait([turn], timeout=self._max_wait_s)
        except asyncio.CancelledError:
            if not turn.done():
                flight.waiting.remove(turn)
            elif turn.result() is None and flight.leader is None:
                self._hand_over(key, flight)  # it was this one's turn, and nobody would ever know
            raise
        if not turn.done():
            flight.waiting.remove(turn)
            return Lead(self, key, flight)
        return turn.result() or Lead(self, key, flight)

    async def answer(self, key: bytes, make: Callable[[], Awaitable[T]]) -> T:
        """Return another's answer, or make it for all who come meanwhile.

        An error of `make` is raised here alone; one who waits then tries in turn.
        """
        found = await self.join(key)
        if isinstance(found, Landed):
            return found.value
        with found as lead:
            value = await make()
            lead.land(value)
            return value

    def _hand_over(self, key: bytes, flight: _Flight[T]) -> None:
        flight.leader = None
        if flight.waiting:
            flight.waiting.popleft().set_result(None)
        elif self._flights.get(key) is flight:
            del self._flights[key]

    def _end(self, key: bytes, flight: _Flight[T], result: Landed[T] | None) -> None:
        flight.leader = None
        if self._flights.get(key) is flight:
            del self._flights[key]
        while flight.waiting:
            flight.waiting.popleft().set_result(result)
