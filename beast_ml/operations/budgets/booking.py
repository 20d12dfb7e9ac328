"""What one entry does to an account and a lease: plain integers, the same in every ledger (Lua repeats it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beast_ml.operations.budgets.ledger import Entry

__all__ = [
    "BUFFER_SHARE",
    "CONTENDED_S",
    "AccountRow",
    "LeaseRow",
    "book",
    "end_lease",
    "lose_lease",
    "resize",
    "revive",
]

BUFFER_SHARE: Final = 4
"""A lease beyond what is needed now takes at most one part in so many of what is free."""
CONTENDED_S: Final = 3.0
"""Seconds for which the others are asked to hold no more than they need."""


@dataclass
class AccountRow:
    """Nano-dollars of an account in a window; ``reserved`` is the part of ``leased`` that stands for open requests.

    Parameters
    ----------
    settled, lost
        What was spent, and what counts as spent because nobody told.
    wanted_at
        When a holder last lacked money, seconds since 1970.
    """

    settled: int = 0
    lost: int = 0
    leased: int = 0
    reserved: int = 0
    wanted_at: float = 0.0


@dataclass
class LeaseRow:
    """Nano-dollars that one holder has of an account; ``expired`` counts as lost until the holder comes back.

    Parameters
    ----------
    amount
        Of the lease.
    open
        Of it, what stands for open requests.
    """

    amount: int = 0
    open: int = 0
    expired: int = 0


def revive(account: AccountRow, lease: LeaseRow) -> None:
    """Give a holder that was silent its lease again."""
    account.lost -= lease.expired
    account.leased += lease.expired
    lease.amount += lease.expired
    lease.expired = 0


def lose_lease(account: AccountRow, lease: LeaseRow) -> None:
    """Count the lease of a silent holder as lost."""
    account.leased -= lease.amount
    account.lost += lease.amount
    account.reserved -= lease.open
    lease.expired += lease.amount
    lease.amount = lease.open = 0


def book(account: AccountRow, lease: LeaseRow, entry: Entry) -> None:
    """Move what was spent out of the lease; what it does not cover is booked all the same, because it is true."""
    left = max(lease.amount - entry.settled - entry.lost, 0)
    account.settled += entry.settled
    account.lost += entry.lost
    account.leased += left - lease.amount
    lease.amount = left


def resize(
    account: AccountRow, lease: LeaseRow, entry: Entry, limit: int | None, *, may_grow: bool, now_s: float
) -> None:
    """Make a lease larger as far as the limit allows, or smaller."""
    account.reserved += entry.open - lease.open
    lease.open = entry.open
    change = entry.target - lease.amount
    if change > 0:
        free = max((limit or 0) - account.settled - account.lost - account.leased, 0) if may_grow else 0
        need = max(entry.least - lease.amount, 0)
        if need > free and may_grow:
            account.wanted_at = now_s
        change = min(change, max(need, free // BUFFER_SHARE), free)
    lease.amount += change
    account.leased += change


def end_lease(account: AccountRow, lease: LeaseRow, *, lose_rest: bool) -> None:
    """Give back what is left of a lease, or count it as lost."""
    if lose_rest:
        account.lost += lease.amount
    account.leased -= lease.amount
    account.reserved -= lease.open
    lease.amount = lease.open = 0
