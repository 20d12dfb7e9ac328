"""Who spent what, so that a home which lost its state is told again, and counts nothing twice (Lua repeats it).

Each region's spending in a window is one number, known at the home, to the region, and as hearsay to the others; so is
that of the home's own workers, under the name of the home's state. Whoever still knows a number gives it back, and the
largest counts: told once or ten times, by one or by all, it comes to the same. What journals of the home's workers
have is part of what these spent, so of the two the larger counts, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from beast_ml.errors import InputError
from beast_ml.operations.budgets.booking import AccountRow, LeaseRow
from beast_ml.operations.budgets.ledger import Claim, Entry

__all__ = [
    "JOURNALS",
    "KEEP_REGIONS_S",
    "KnownRegions",
    "SpenderRow",
    "Spenders",
    "book_again",
    "book_by",
    "merge_claim",
    "not_awaited",
    "spent_by",
]

JOURNALS: Final = "@"
"""Stands for the journals of workers that the home had forgotten; the names of its states begin with it."""

KEEP_REGIONS_S: Final = 32 * 86_400.0
"""Seconds after which a region that was not seen has spent nothing in the windows that run."""


@dataclass
class SpenderRow:
    """What one spender has of an account in a window; nano-dollars.

    Parameters
    ----------
    spent
        Settled and lost.
    lost
        Of it, what is lost.
    """

    spent: int = 0
    lost: int = 0


Spenders = dict[str, SpenderRow]
"""The spenders of an account in a window, by name; but for the home's own, in its present state."""


class KnownRegions(msgspec.Struct, frozen=True):
    """The regions that a home knows.

    Parameters
    ----------
    state
        Name of the home's state; empty: it has none yet.
    seen
        When each was last seen, seconds since 1970 by the ledger's own clock.
    awaited
        Those that have to say what they know before anything is lent.
    """

    state: str = ""
    seen: Mapping[str, float] = {}
    awaited: tuple[str, ...] = ()

    def hear(self, region: str, others: Iterable[str], clock_s: float, *, more: bool) -> KnownRegions:
        """Return them after a step of one, which named others, and has more to say or not."""
        unknown = set(others) - set(self.seen) - {region}
        awaited = ({*self.awaited} | unknown | {region}) - (set() if more else {region})
        seen = {name: at for name, at in self.seen.items() if clock_s - at < KEEP_REGIONS_S}
        seen |= {**dict.fromkeys(unknown, clock_s), region: clock_s}
        return KnownRegions(self.state, seen, tuple(sorted(awaited)))


def book_by(rows: Spenders, region: str, entry: Entry) -> None:
    """Count what a region tells as its own."""
    if entry.settled or entry.lost:
        row = rows.setdefault(region, SpenderRow())
        row.spent += entry.settled + entry.lost
        row.lost += entry.lost


def book_again(account: AccountRow, rows: Spenders, entry: Entry) -> None:
    """Take back, of an entry that is booked, what was known: of a holder whose steps were forgotten."""
    before = _counted(rows)
    rows.setdefault(JOURNALS, SpenderRow()).spent += entry.settled + entry.lost
    account.settled -= entry.settled + entry.lost - (_counted(rows) - before)


def merge_claim(account: AccountRow, lease: LeaseRow, rows: Spenders, claim: Claim, region: str, state: str) -> None:
    """Book what a region knows was spent and is not known here; its workers' leases are its own again."""
    for name, spent in claim.spent.items():
        if name == state:
            account.settled += max(spent - _own(account, rows), 0)
            continue
        before, row = _counted(rows), rows.setdefault(name, SpenderRow())
        row.spent = max(row.spent, spent)
        account.settled += _counted(rows) - before
    own = rows.setdefault(region, SpenderRow())
    account.lost += claim.lost - own.lost
    account.settled -= claim.lost - own.lost
    own.lost = claim.lost
    lease.amount += claim.lease
    account.leased += claim.lease


def spent_by(account: AccountRow, rows: Spenders, state: str) -> dict[str, int]:
    """Return what each spender has spent of an account, the home's own workers under the name of its state."""
    told = {name: row.spent for name, row in rows.items() if name != JOURNALS}
    return told | {state: max(_own(account, rows), 0)}


def not_awaited(region: str, awaited: Sequence[str]) -> InputError:
    """Return the error for a region that nobody waits for."""
    return InputError(f"the budgets do not wait for the region {region!r}, but for {', '.join(awaited) or 'none'}")


def _own(account: AccountRow, rows: Spenders) -> int:
    others = sum(row.spent for name, row in rows.items() if name != JOURNALS)
    return account.settled + account.lost - others


def _counted(rows: Spenders) -> int:
    """Return what of an account's settled and lost amounts is kept by spender."""
    states = sum(row.spent for name, row in rows.items() if name.startswith(JOURNALS) and name != JOURNALS)
    regions = sum(row.spent for name, row in rows.items() if not name.startswith(JOURNALS))
    journals = rows.get(JOURNALS)
    return regions + max(states, 0 if journals is None else journals.spent)
