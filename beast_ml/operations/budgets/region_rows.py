"""What a region keeps beside its own ledger: its share of each account, and how it stands with the budgets' home."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Final

import msgspec
import sqlalchemy as sa

from beast_ml.operations.budgets.booking import AccountRow
from beast_ml.operations.budgets.ledger import Batch, Charge
from beast_ml.operations.budgets.sql_rows import LedgerRows, some
from beast_ml.operations.budgets.sql_tables import ACCOUNTS, SHARES

__all__ = [
    "RegionState",
    "ShareRow",
    "any_wanted",
    "drop_shares",
    "forget_holder",
    "region_state",
    "set_region_state",
    "shares",
    "shares_at_work",
    "store_shares",
]

_NAME: Final = "region"


@dataclass
class ShareRow:
    """What a region has of an account in a window; nano-dollars.

    Parameters
    ----------
    lease
        What the home has set aside for this region and does not know to be spent.
    settled, lost
        What the home was told, and said that it knows.
    withheld
        Part of the lease that is about to be given back.
    wanted
        What workers lacked since the last step.
    spent_elsewhere, leased_elsewhere, reserved_elsewhere
        Of the other regions, as the home last said: settled and lost, leased, and reserved.
    """

    lease: int = 0
    settled: int = 0
    lost: int = 0
    withheld: int = 0
    wanted: int = 0
    spent_elsewhere: int = 0
    leased_elsewhere: int = 0
    reserved_elsewhere: int = 0

    @property
    def allowed(self) -> int:
        """What the region's settled and lost amounts and its workers' leases may come to."""
        return self.settled + self.lost + self.lease - self.withheld


class RegionState(msgspec.Struct, frozen=True):
    """How a region stands with the home; kept in its ledger, so that any process of it can go on.

    Parameters
    ----------
    holder
        The region's name on the home's ledger; empty: it has none yet.
    seq
        Number of the last step that the home has answered.
    pending
        The step after it, while nobody knows whether the home has it: it is sent again as it is.
    lives_until
        When the leases end, unless the home answers again; seconds since 1970 by the region's own ledger.
    heard_at
        When the home last answered, by the same clock.
    away
        Whether the home did not answer the last time.
    rules_version
        Of the home's rules that are copied here; None: none ever were.
    """

    holder: str = ""
    seq: int = 0
    pending: Batch | None = None
    lives_until: float = 0.0
    heard_at: float = 0.0
    away: bool = False
    rules_version: int | None = None


def any_wanted(stored: LedgerRows) -> bool:
    """Return whether workers lack what the region does not have."""
    query = sa.select(SHARES.c.account).where(SHARES.c.wanted > 0).limit(1)
    return stored.connection.execute(query).first() is not None


def region_state(stored: LedgerRows) -> RegionState:
    """Return how the region stands with the home."""
    text = stored.meta().get(_NAME)
    return RegionState() if text is None else msgspec.json.decode(text, type=RegionState)


def set_region_state(stored: LedgerRows, state: RegionState) -> None:
    """Write it down."""
    stored.set_meta({_NAME: msgspec.json.encode(state).decode()})


def shares(stored: LedgerRows, charges: Collection[Charge]) -> dict[Charge, ShareRow]:
    """Return the shares of these accounts, as far as there are any."""
    rows = [
        row
        for part in some(sorted({account for account, _ in charges}))
        for row in stored.connection.execute(SHARES.select().where(SHARES.c.account.in_(part)))
    ]
    return {(row.account, row.window): ShareRow(*row[2:]) for row in rows if (row.account, row.window) in charges}


def shares_at_work(stored: LedgerRows, windows: Collection[str]) -> dict[Charge, tuple[ShareRow, AccountRow]]:
    """Return the shares in the windows that run, and those that the home has to be told of, with their accounts."""
    columns = (ACCOUNTS.c.settled, ACCOUNTS.c.lost, ACCOUNTS.c.leased, ACCOUNTS.c.reserved)
    same = sa.and_(SHARES.c.account == ACCOUNTS.c.account, SHARES.c.window == ACCOUNTS.c.window)
    untold = sa.or_(SHARES.c.lease != 0, SHARES.c.settled != ACCOUNTS.c.settled, SHARES.c.lost != ACCOUNTS.c.lost)
    query = (
        sa.select(SHARES, *(column.label(f"account_{column.name}") for column in columns))
        .select_from(SHARES.outerjoin(ACCOUNTS, same))
        .where(sa.or_(SHARES.c.window.in_(windows), untold))
    )
    return {
        (row.account, row.window): (ShareRow(*row[2:-4]), AccountRow(*(amount or 0 for amount in row[-4:])))
        for row in stored.connection.execute(query)
    }


def forget_holder(stored: LedgerRows) -> None:
    """Be another holder from now on, and count on nothing that the home has lent; where there is none, do nothing."""
    state = region_state(stored)
    if state.holder:
        stored.connection.execute(SHARES.update().values(lease=0, withheld=0))
        set_region_state(stored, msgspec.structs.replace(state, holder="", seq=0, pending=None))


def store_shares(stored: LedgerRows, changed: dict[Charge, ShareRow]) -> None:
    """Write shares down."""
    rows = [{"account": account, "window": window, **asdict(row)} for (account, window), row in changed.items()]
    stored.put(SHARES, rows)


def drop_shares(stored: LedgerRows) -> None:
    """Forget shares of accounts that are not kept any more."""
    kept = sa.select(ACCOUNTS.c.account).where(
        ACCOUNTS.c.account == SHARES.c.account, ACCOUNTS.c.window == SHARES.c.window
    )
    stored.connection.execute(SHARES.delete().where(SHARES.c.lease == 0, ~kept.exists()))
