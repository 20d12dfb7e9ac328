"""What a region keeps beside its own ledger: its share of each account, and how it stands with the budgets' home."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import msgspec
import sqlalchemy as sa

from beast_ml.operations.budgets.booking import AccountRow
from beast_ml.operations.budgets.ledger import Batch, Charge, Claim
from beast_ml.operations.budgets.spenders import SpenderRow
from beast_ml.operations.budgets.sql_rows import LedgerRows, some
from beast_ml.operations.budgets.sql_tables import ACCOUNTS, CHANGED, SHARES

__all__ = [
    "RegionState",
    "ShareRow",
    "any_wanted",
    "changed_shares",
    "claims_after",
    "drop_shares",
    "forget_holder",
    "lead",
    "note_changed",
    "region_state",
    "set_region_state",
    "shares",
    "shares_at_work",
    "store_shares",
    "take_heard",
]

_NAME: Final = "region"
_LEAD: Final = "region_lead"
_UNKNOWN_RULES: Final = -1


class _Lead(msgspec.Struct, frozen=True):
    who: str
    at: float


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
    regions, awaited
        That the home knows, and that it waits for before it lends to anybody; see `Answer`.
    windows
        The latest day and month at the home.
    claimed
        The home does not know this holder: it is told first what is known here. The last account that it was told of,
        ``("", "")`` before the first one; None: it knows all.
    declared
        What the home's settings declared last, beside these rules; None: it was never asked for.
    """

    holder: str = ""
    seq: int = 0
    pending: Batch | None = None
    lives_until: float = 0.0
    heard_at: float = 0.0
    away: bool = False
    rules_version: int | None = None
    regions: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    windows: tuple[str, str] = ("", "")
    claimed: Charge | None = None
    declared: str | None = None


def any_wanted(stored: LedgerRows) -> bool:
    """Return whether workers lack what the region does not have."""
    query = sa.select(CHANGED.c.account).where(CHANGED.c.wanted).limit(1)
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
    """Be another holder from now on, and count on nothing that the home has lent; where there is none, do nothing.

    The home is told all that is known here, as if it knew nothing, and asked for its rules.
    """
    state = region_state(stored)
    if state.holder:
        stored.connection.execute(SHARES.update().values(lease=0, withheld=0))
        anew = msgspec.structs.replace(
            state, holder="", seq=0, pending=None, awaited=(), claimed=("", ""), rules_version=_UNKNOWN_RULES
        )
        set_region_state(stored, anew)


def claims_after(stored: LedgerRows, state: RegionState, charge: Charge, region: str, n: int) -> list[Claim]:
    """Return what is known here of the next accounts in the windows that the home had, and of those that workers hold.

    Parameters
    ----------
    charge
        The last account that the home was told of.
    region
        Whose own what is booked here is.
    n
        At most so many.
    """
    last = sa.tuple_(*(sa.literal(part, sa.Text) for part in charge))
    after = sa.tuple_(ACCOUNTS.c.account, ACCOUNTS.c.window) > last
    of_shares = sa.select(SHARES.c.account, SHARES.c.window).where(
        sa.tuple_(SHARES.c.account, SHARES.c.window) > last, _is_of(SHARES.c.window, state.windows)
    )
    same = sa.and_(SHARES.c.account == ACCOUNTS.c.account, SHARES.c.window == ACCOUNTS.c.window)
    untold = sa.or_(SHARES.c.settled != ACCOUNTS.c.settled, SHARES.c.lost != ACCOUNTS.c.lost)
    of_accounts = (
        sa.select(ACCOUNTS.c.account, ACCOUNTS.c.window)
        .select_from(ACCOUNTS.outerjoin(SHARES, same))
        .where(after, sa.or_(_is_of(ACCOUNTS.c.window, state.windows), ACCOUNTS.c.leased != 0, untold))
    )
    both = sa.union(of_shares, of_accounts).subquery()
    rows = stored.connection.execute(sa.select(both).order_by(both.c.account, both.c.window).limit(n)).all()
    charges = [(row.account, row.window) for row in rows]
    booked, heard = stored.accounts(set(charges)), stored.spenders(set(charges))
    claims = []
    for each in charges:
        own = booked[each]
        spent = {name: row.spent for name, row in heard[each].items()}
        spent[region] = max(own.settled + own.lost, spent.get(region, 0))  # it may have begun anew, too
        claims.append(Claim(*each, spent, own.lost, own.leased, own.settled))
    return claims


def _is_of(window: sa.Column[str], latest: tuple[str, str]) -> sa.ColumnElement[bool]:
    """Return whether a window is as late as the latest day, or month."""
    is_month = sa.func.length(window) == len("2026-11")
    return sa.case((is_month, window >= latest[1]), else_=window >= latest[0])


def take_heard(stored: LedgerRows, heard: Mapping[Charge, Mapping[str, int]]) -> None:
    """Keep what the home says who has spent."""
    stored.store_spenders(
        {charge: {name: SpenderRow(spent) for name, spent in spent_by.items()} for charge, spent_by in heard.items()}
    )


def note_changed(stored: LedgerRows, charges: Iterable[Charge], wanted: Collection[Charge] = ()) -> None:
    """Have the next step look at these shares, and take it at once where workers lack money of some."""
    others = [{"account": charge[0], "window": charge[1], "wanted": False} for charge in charges]
    stored.add(CHANGED, [row for row in others if (row["account"], row["window"]) not in wanted])
    stored.put(CHANGED, [{"account": charge[0], "window": charge[1], "wanted": True} for charge in wanted])


def changed_shares(stored: LedgerRows) -> dict[Charge, tuple[ShareRow, AccountRow]]:
    """Return the shares to look at, with their accounts, and take note that they were."""
    charges = {(row.account, row.window) for row in stored.connection.execute(CHANGED.select())}
    if not charges:
        return {}
    stored.connection.execute(CHANGED.delete())
    held, booked = shares(stored, charges), stored.accounts(charges)
    return {charge: (share, booked[charge]) for charge, share in held.items()}


def store_shares(stored: LedgerRows, changed: dict[Charge, ShareRow]) -> None:
    """Write shares down."""
    rows = [{"account": account, "window": window, **asdict(row)} for (account, window), row in changed.items()]
    stored.put(SHARES, rows)


def drop_shares(stored: LedgerRows) -> None:
    """Forget shares of accounts that are not kept any more, unless the home has yet to be told of them."""
    if region_state(stored).claimed is not None:
        return
    kept = sa.select(ACCOUNTS.c.account).where(
        ACCOUNTS.c.account == SHARES.c.account, ACCOUNTS.c.window == SHARES.c.window
    )
    stored.connection.execute(SHARES.delete().where(SHARES.c.lease == 0, ~kept.exists()))


def lead(stored: LedgerRows, who: str, clock_s: float, for_s: float) -> bool:
    """Return whether a process talks with the home: the one that does, or the next when that was silent for so long."""
    text = stored.meta().get(_LEAD)
    last = None if text is None else msgspec.json.decode(text, type=_Lead)
    if last is not None and last.who != who and 0.0 <= clock_s - last.at < for_s:
        return False
    stored.set_meta({_LEAD: msgspec.json.encode(_Lead(who, clock_s)).decode()})
    return True
