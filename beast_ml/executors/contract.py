"""One function over many parts: the contract, and the executor that needs nothing but this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, TypeVarTuple

__all__ = ["Executor", "LocalExecutor"]

P = TypeVar("P")
R = TypeVar("R")
Shared = TypeVarTuple("Shared")


class Executor(Protocol):
    """Anything that applies a function to the parts of a job.

    The result must not depend on which executor it was: functions draw nothing at random but from seeds that they are
    given, and read no state but their arguments.
    """

    @property
    def is_local(self) -> bool:
        """Whether parts are worked on one after the other, so that there is nothing to gain from many."""
        ...

    def map(self, function: Callable[[P, *Shared], R], parts: Iterable[P], *shared: *Shared) -> Iterator[R]:
        """Yield ``function(part, *shared)`` of every part, in the order of the parts.

        Parts are taken, and results kept, only as far ahead as there is somebody to work on them, so that all parts
        together may be larger than memory.

        Parameters
        ----------
        function
            A function of a module, or a `functools.partial` of one: it may be run in another process.
        parts
            What each call is given.
        shared
            What all calls are given; sent to a worker once.

        Raises
        ------
        ClusterError
            If the executor has nobody left to work, or they gave up on a part.
        """
        ...


class LocalExecutor:
    """Works on one part after the other, when its result is asked for: ``is_local``.

    Examples
    --------
    >>> list(LocalExecutor().map(pow, [2, 3], 2))
    [4, 9]
    """

    is_local = True

    def map(self, function: Callable[[P, *Shared], R], parts: Iterable[P], *shared: *Shared) -> Iterator[R]:
        """Yield ``function(part, *shared)`` of every part, in the order of the parts."""
        for part in parts:
            yield function(part, *shared)
