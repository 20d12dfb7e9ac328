"""What a ledger does: the one place that workers and hosts share, so that a budget holds over all of them.

A worker leases amounts and spends out of them without asking. For every account and window the ledger keeps what is
settled, lost and leased; it never leases beyond the limit, and moving an amount from one of the three to another leaves
the sum as it is. So ``settled + lost + leased <= limit`` holds at all times, unless a limit is lowered below what is
spent, or a worker itself sees that a request has cost more than it reserved: what clients tell never counts for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from beast_ml.operations.budgets.rules import BudgetRule

__all__ = [
    "AHEAD_S",
    "AccountState",
    "Answer",
    "Balance",
    "Batch",
    "Charge",
    "Claim",
    "Entry",
    "Ledger",
    "LostReservation",
    "RuleBook",
]

AHEAD_S: Final = 86_400.0
"""Seconds by which a worker's clock may be ahead of the ledger's; the windows it names beyond that are refused."""

Charge = tuple[str, str]
"""An account and its window."""


class Entry(msgspec.Struct, frozen=True):
    """What a holder tells and asks about one account.

    Parameters
    ----------
    account, window
        Which one; see `beast_ml.operations.budgets.rules`.
    settled, lost
        Nano-dollars since the last report, taken from the lease.
    open
        Upper amounts of its reservations in flight.
    least, target
        What its lease must and should be afterwards; more than that is given back.
    """

    account: str
    window: str
    settled: int = 0
    lost: int = 0
    open: int = 0
    least: int = 0
    target: int = 0


class LostReservation(msgspec.Struct, frozen=True):
    """A reservation nobody settled in time; its upper amount is in the ``lost`` of the entries beside it.

    Parameters
    ----------
    reservation_id
        Which.
    charges
        What it reserved, of which accounts.
    """

    reservation_id: str
    upper: int
    charges: tuple[Charge, ...]


class Claim(msgspec.Struct, frozen=True):
    """What a region knows of one account, for a home that may have lost its state.

    Parameters
    ----------
    account, window
        Which one.
    spent
        Nano-dollars settled and lost since the window began, by who spent them: itself in all, the others as the home
        last told; see `Answer`.
    lost
        Of its own, what is lost.
    lease
        What its workers have leased and may spend, whatever becomes of the home.
    settled
        What its own ledger has settled, from which it goes on to tell: less than it spent, where it lost that ledger.
    """

    account: str
    window: str
    spent: Mapping[str, int]
    lost: int = 0
    lease: int = 0
    settled: int = 0


class Batch(msgspec.Struct, frozen=True):
    """One step of a holder: applied whole, and once however often it is sent.

    Parameters
    ----------
    seq
        1, 2, 3, ...: a number seen before changes nothing but the leases' sizes.
    now_s
        Seconds since 1970, by which a holder's silence is measured.
    lost
        Reservations that expired, so that a late settlement can still correct them.
    settlements
        Actual amounts of reservations that this holder does not know; they count at most up to what was reserved,
        because it is clients who tell them.
    consumed
        Numbers of forwarded settlements that it made its own; see `Answer`.
    since
        The last forwarded settlement it has seen.
    final
        The holder ends: its leases end too, and it may not come back.
    lose_rest
        With ``final``: nobody knows how much of the leases was spent, so all of them count as spent.
    entries
        What changed on each account.
    life_s
        Seconds of silence, beyond those that any holder has, after which its leases count as lost: for so long a region
        spends what it leased without its home.
    region
        The holder is this region: what it spends is kept apart, so that it counts once however often it is told.
    claims
        What it knows was spent, where the home may not: more than is known there is booked. No entries beside them.
    claims_more
        More claims follow: the region is waited for.
    others
        With claims: regions that the home knew. Those it does not know (any more) are waited for, too.
    windows
        With claims: the latest day and month that the home had; no earlier one is opened again.
    forgotten
        With ``final``: the ledger has forgotten this holder, so others may have told of what is settled here.
    """

    holder: str
    seq: int
    now_s: float
    entries: tuple[Entry, ...] = ()
    lost: tuple[LostReservation, ...] = ()
    settlements: tuple[tuple[str, int], ...] = ()
    consumed: tuple[int, ...] = ()
    since: int = 0
    final: bool = False
    lose_rest: bool = False
    life_s: float = 0.0
    region: str = ""
    claims: tuple[Claim, ...] = ()
    claims_more: bool = False
    others: tuple[str, ...] = ()
    windows: tuple[str, str] = ("", "")
    forgotten: bool = False


class Balance(msgspec.Struct, frozen=True):
    """An account after a step; ``lease`` is the holder's own, ``limit`` None where no rule holds any more.

    ``contended``: another holder lacks money that idle leases may have.

    Parameters
    ----------
    window
        The day or month.
    settled, lost, leased, reserved
        As in `AccountState`.
    """

    account: str
    window: str
    lease: int
    settled: int
    lost: int
    leased: int
    reserved: int
    limit: int | None
    contended: bool


class Answer(msgspec.Struct, frozen=True):
    """What a ledger says to a batch.

    Parameters
    ----------
    state
        ``applied``; ``closed``: the holder has ended; ``stale``: the number is not the next one.
    rules_version
        Changes when the rules do.
    windows
        The latest day and month anybody has leased in: no earlier one is opened again. One later than the ledger's
        own clock by more than `AHEAD_S` is never opened.
    settlements
        Forwarded settlements since the batch's ``since``: number, reservation, amount; any holder's.
    last
        The number to ask on from.
    clock_s
        Seconds since 1970 by the ledger's own clock; 0 where it does not say.
    balances
        Of the accounts of the batch.
    spent
        To a region, beside each balance: settled and lost amounts by who spent them: regions by name, and the home's
        own workers by the name of the home's state, which is another one when that was lost.
    regions
        To a region: those that the home knows.
    awaited
        To a region: those that have to say what they know before anything is lent again.
    """

    state: Literal["applied", "closed", "stale"]
    rules_version: int = 0
    balances: tuple[Balance, ...] = ()
    windows: tuple[str, str] = ("", "")
    settlements: tuple[tuple[int, str, int], ...] = ()
    last: int = 0
    clock_s: float = 0.0
    spent: tuple[Mapping[str, int], ...] = ()
    regions: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


class AccountState(msgspec.Struct, frozen=True):
    """An account in one window.

    Parameters
    ----------
    settled, lost
        Nano-dollars that were spent, and that count as spent because nobody told.
    leased, reserved
        What holders may spend, and the part of it that stands for open requests.
    """

    account: str
    window: str
    settled: int
    lost: int
    leased: int
    reserved: int


class RuleBook(msgspec.Struct, frozen=True):
    """The rules that hold, which version of them it is, and what settings declared last; see `Ledger.set_rules`."""

    version: int
    rules: tuple[BudgetRule, ...]
    declared: str = ""


class Ledger(Protocol):
    """Shared state of budgets. Calls block; every one is atomic. All raise UnavailableError when the store is away."""

    def rules(self) -> RuleBook:
        """Return the rules that hold."""
        ...

    def set_rules(self, rules: Sequence[BudgetRule], declared: str | None = None) -> RuleBook:
        """Replace the rules; with ``declared``, only if that text is not the one given the last time.

        Rules from a settings file are declared: they do not undo, at each start, what was set at run time since.
        """
        ...

    def exchange(self, batch: Batch) -> Answer:
        """Book a holder's step and return where its accounts stand."""
        ...

    def applied(self, holder: str) -> int | None:
        """Return the number of a holder's last step; 0 where there is none, None where it has ended."""
        ...

    def expire(self, now_s: float, ttl_s: float) -> int:
        """Count the leases of holders that were silent for longer as lost; return how many holders that are.

        A holder that comes back has them again: the amounts were set aside for nobody else.
        """
        ...

    def accounts(self, tenant: str | None = None, *, ended: bool = False) -> list[AccountState]:
        """Return the accounts of a tenant and its users (None: all) in the windows that run, by name and window.

        With ``ended`` also those of windows that are over, as far as they are still kept.
        """
        ...

    def awaited(self) -> tuple[str, ...]:
        """Return the regions that have to say what they know before anything is lent again; see `Batch`."""
        ...

    def go_without(self, region: str) -> None:
        """Lend again without hearing what a region knows: it may have spent, or hold, more than the limits then have.

        Raises
        ------
        InputError
            If it is not waited for.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
