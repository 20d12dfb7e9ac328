"""Where invalidations are kept: the contract, and what is read from it.

**Order without clocks.** Hosts' clocks disagree, so "older than" never compares times. The store numbers its
changes 1, 2, 3, ... An entry is stamped with the number of the last change that its process had seen *before the
answer was asked for*; a change numbered n makes those entries of its scope invalid whose stamp is below n. So an
answer that was being written while its document changed is invalid when it arrives, whoever wrote it, and a process
that lags can only make its entries look older than they are.

**A lost store.** The numbers mean something in one line of changes only, so a stamp also names the *incarnation*: 31
random bits drawn when a store begins. Any process that still knows what a store has lost gives it back (`merge`),
which begins a new incarnation; the store's *lineage* says up to which number each former one led to where it is now,
and only entries stamped on that line are valid. Whoever comes later with changes that the line lacks has them made
again, under new numbers. Nobody left to give anything back: every entry is invalid.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from beast_ml.cache.invalidation.bans import Ban

__all__ = ["MAX_SCOPES", "NUMBER", "InvalidationStore", "Position", "Record", "reconcile"]

MAX_SCOPES: Final = 100_000
"""More than these and the older half becomes a floor: every entry stamped below it is invalid. Forgetting would bring
invalidated entries back; this drops some that were valid."""

NUMBER: Final = 2**32 - 1
"""The part of a stamp that counts; above it is the incarnation."""

_MAX_LINEAGE: Final = 100


class Position(msgspec.Struct, frozen=True):
    """How far a store has come; all zero where there is none yet.

    Parameters
    ----------
    incarnation
        31 random bits that are never zero, drawn when the store was founded or given back.
    n
        The number of its last change, below 2**32.
    """

    incarnation: int = 0
    n: int = 0

    @property
    def stamp(self) -> int:
        """Return what an entry is stamped with; fits a signed 64-bit integer."""
        return self.incarnation << 32 | self.n

    def continues(self, earlier: Position) -> bool:
        """Return whether everything known at an earlier position is still in the store."""
        return self.incarnation == earlier.incarnation and self.n >= earlier.n


class Record(msgspec.Struct, frozen=True):
    """What a store holds, or what of it is new.

    Parameters
    ----------
    position
        As of when.
    floor
        Entries stamped below this number are invalid.
    epochs
        Scope names and the numbers of their last changes.
    bans
        Ban ids and the bans, with the numbers of their changes.
    lineage
        Former incarnations, and the last number of each that led here.
    """

    position: Position = Position()
    floor: int = 0
    epochs: dict[str, int] = {}
    bans: dict[str, tuple[int, Ban]] = {}
    lineage: dict[int, int] = {}

    def line(self) -> dict[int, int]:
        """Return all incarnations, with the last number of each that is on this line."""
        return self.lineage | {self.position.incarnation: self.position.n}


class InvalidationStore(Protocol):
    """Keeps invalidations for all processes; `beast_ml.testing.invalidation_conformance` is the suite of each.

    Every call is atomic, may come from several threads, and raises `UnavailableError` while the store is away.
    """

    def position(self) -> Position:
        """Return how far it has come: what each process asks for twice a second, so cheap."""
        ...

    def read(self, since: int = -1) -> Record:
        """Return the changes numbered above `since`; all of them by default."""
        ...

    def append(
        self, expected: Position, scopes: Sequence[str], bans: Sequence[Ban] = (), forget: Sequence[str] = ()
    ) -> Position | None:
        """Make one change, durable on return.

        Parameters
        ----------
        expected
            What the caller knows of the store.
        scopes
            Names of scopes, whose entries become invalid.
        bans
            New bans; one that is known already takes the new number.
        forget
            Ids of bans to drop, because a scope now covers them.

        Returns
        -------
        The new position, or None, with nothing done, if the store does not continue what the caller knows.
        """
        ...

    def merge(self, known: Record) -> Position:
        """Give back what the store has lost, and return its position; an empty store is founded."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def reconcile(held: Record, known: Record) -> Record | None:
    """Return what to add to a store so that it knows all that is known; None if it does.

    Parameters
    ----------
    held
        All of the store.
    known
        All that a process knows.
    """
    if not held.position.incarnation:
        if not known.position.incarnation:
            return Record(Position(_drawn(), 0))
        position = Position(_drawn(), known.position.n + 1)
        return Record(position, known.floor, known.epochs, known.bans, _latest(known.line()))
    if held.position.continues(known.position) or not known.position.incarnation:
        return None
    n = max(held.position.n, known.position.n) + 1
    if held.position.incarnation == known.position.incarnation:
        # It has gone back, as when a backup is restored: who knows what its numbers were used for since.
        position, lineage, common = Position(_drawn(), n), held.lineage, -1
    else:
        position, lineage, common = Position(held.position.incarnation, n), held.lineage, _common(held, known)
    epochs = {name: n for name, at in known.epochs.items() if at > common}
    bans = {name: (n, ban) for name, (at, ban) in known.bans.items() if at > common or name not in held.bans}
    if not epochs and not bans and known.floor <= max(held.floor, common):
        return None
    floor = held.floor if known.floor <= max(held.floor, common) else n
    return Record(position, floor, epochs, bans, lineage)


def _common(held: Record, known: Record) -> int:
    """Return the last number up to which two lines are one; -1 if they have nothing in common."""
    ours, theirs = held.line(), known.line()
    return max((min(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()), default=-1)


def _latest(line: dict[int, int]) -> dict[int, int]:
    return dict(sorted(line.items(), key=lambda each: each[1])[-_MAX_LINEAGE:])


def _drawn() -> int:
    return secrets.randbits(31) or 1
