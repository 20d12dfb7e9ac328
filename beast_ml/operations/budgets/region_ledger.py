"""The ledger of a region that is not the budgets' home: its workers lease from it, and it holds leases of the home's.

One mechanism on two levels. A worker leases from its region's ledger as it would from the only one, within reach and
out of the way of decisions. To the home the whole region is one holder: `RegionSteps` reports what the region spent,
leases ahead of need, and gives back. What the region's workers may lease is bounded by its share, which is what the
home was told of its spending plus what it holds leased. So over all regions no more is spent than the limit, whatever
the link between them does: a region that is cut off spends what it holds, and the home gives that to nobody else until
the region has said what it did with it. No clock takes part in this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from beast_ml.domain.clock import Clock
from beast_ml.operations.budgets.ledger import AccountState, Answer, Balance, Batch, Charge, Entry, Ledger, RuleBook
from beast_ml.operations.budgets.region_rows import (
    RegionState,
    ShareRow,
    drop_shares,
    note_changed,
    region_state,
    set_region_state,
    shares,
    store_shares,
)
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.budgets.sql_rows import LedgerRows
from beast_ml.operations.budgets.sql_store import ledger_engine

__all__ = ["RegionLedger"]

_NO_SHARE: Final = ShareRow()


class RegionLedger(SqlLedger):
    """A `Ledger` in a SQL database that lends what the home has lent it.

    The rules are the home's: they are copied from it, and set at it.

    Parameters
    ----------
    engine
        Of the region's own database; see `ledger_engine`.
    home
        The ledger of the home region.
    clock
        As of `SqlLedger`.
    """

    def __init__(self, engine: sa.Engine, home: Ledger, clock: Clock | None = None) -> None:
        super().__init__(engine, clock)
        self.home = home

    @classmethod
    def open_at(cls, url: str, home: Ledger, clock: Clock | None = None) -> RegionLedger:
        """Return the ledger at an address, ``sqlite:///path`` or ``postgresql://...``; see `SqlLedger.open`."""
        return cls(ledger_engine(url), home, clock)

    def rules(self) -> RuleBook:
        """Return the home's rules as they were last heard; the first time, the home is asked.

        Raises
        ------
        UnavailableError
            If the home has never answered: nobody knows what may be spent.
        """
        with self.store.writing() as stored:
            if region_state(stored).rules_version is not None:
                return stored.rules()
        return self.copy_rules()

    def set_rules(self, rules: Sequence[BudgetRule], declared: str | None = None) -> RuleBook:
        """Replace the rules at the home; those of a region's own settings (``declared``) are passed over."""
        if declared is not None:
            return self.rules()
        self.home.set_rules(rules)
        return self.copy_rules()

    def copy_rules(self) -> RuleBook:
        """Take over the home's rules; a home that never had any is given those that it had before it lost its state.

        With what its settings had declared: else its workers, when they restart, would put these in their place.
        """
        book = self.home.rules()
        if book.version == 0 and (known := super().rules()).rules:
            with self.store.writing() as stored:
                declared = region_state(stored).declared
            book = self.home.set_rules(known.rules, declared=declared or None)
        taken = super().set_rules(book.rules)
        with self.store.writing() as stored:
            state = region_state(stored)
            set_region_state(stored, msgspec.structs.replace(state, rules_version=book.version, declared=book.declared))
        return taken

    def exchange(self, batch: Batch) -> Answer:
        """Book a worker's step; see `Ledger`. What its journal has was spent here: nobody else told of it."""
        return super().exchange(msgspec.structs.replace(batch, forgotten=False))

    def expire(self, now_s: float, ttl_s: float) -> int:
        """Count the leases of silent workers as lost; see `Ledger`. The home hears of it, and of their return."""
        n_silent = super().expire(now_s, ttl_s)
        with self.store.writing() as stored:
            drop_shares(stored)
        return n_silent

    def accounts(self, tenant: str | None = None, *, ended: bool = False) -> list[AccountState]:
        """Return the accounts in the windows that run, the other regions' spending included as it was last heard.

        With ``ended`` all that are kept, and of this region alone, as its log has it.
        """
        states = super().accounts(tenant, ended=ended)
        if ended:
            return states
        with self.store.writing() as stored:
            held = shares(stored, {(each.account, each.window) for each in states})
        return [_everywhere(each, held.get((each.account, each.window), _NO_SHARE)) for each in states]

    def awaited(self) -> tuple[str, ...]:
        """Return the regions that the home waits for; see `Ledger`."""
        return self.home.awaited()

    def go_without(self, region: str) -> None:
        """Have the home wait for a region no more; see `Ledger`."""
        self.home.go_without(region)

    def close(self) -> None:
        """Close the connections, to the home, too."""
        super().close()
        self.home.close()

    def _limits(self, stored: LedgerRows, entries: Sequence[Entry], clock_s: float) -> dict[Charge, int | None]:
        """Return what the region's share allows; nothing more once its leases have ended."""
        limits = super()._limits(stored, entries, clock_s)
        if _has_ended(region_state(stored), clock_s):
            return dict.fromkeys(limits, 0)
        held = shares(stored, set(limits))
        return {
            charge: None if limit is None else min(limit, held.get(charge, _NO_SHARE).allowed)
            for charge, limit in limits.items()
        }

    def _changed(self, stored: LedgerRows, charges: Collection[Charge]) -> None:
        """Have the next step on the home look at what workers' steps have changed."""
        note_changed(stored, charges)

    def _told(
        self, stored: LedgerRows, entries: Sequence[Entry], balances: tuple[Balance, ...], clock_s: float
    ) -> tuple[Balance, ...]:
        """Return where the accounts stand over all regions, and note what the home is to be asked for."""
        held = shares(stored, {(entry.account, entry.window) for entry in entries})
        state, limits = region_state(stored), stored.limits(entries)
        lacking: dict[Charge, ShareRow] = {}
        told = []
        for entry, balance in zip(entries, balances, strict=True):
            charge = (entry.account, entry.window)
            share = held.get(charge, ShareRow())
            lacks = max(entry.least - balance.lease, 0)
            if lacks > share.wanted or (charge not in held and entry.target > 0):
                share.wanted = max(share.wanted, lacks)
                lacking[charge] = share
            told.append(_balance_everywhere(balance, share, limits[entry.account], state, clock_s))
        store_shares(stored, lacking)
        note_changed(stored, (), [charge for charge, share in lacking.items() if share.wanted])
        return tuple(told)


def _has_ended(state: RegionState, clock_s: float) -> bool:
    return clock_s >= state.lives_until


def _everywhere(state: AccountState, share: ShareRow) -> AccountState:
    return msgspec.structs.replace(
        state,
        settled=state.settled + share.spent_elsewhere,
        leased=state.leased + share.leased_elsewhere,
        reserved=state.reserved + share.reserved_elsewhere,
    )


def _balance_everywhere(
    balance: Balance, share: ShareRow, limit: int | None, state: RegionState, clock_s: float
) -> Balance:
    """Return a balance as the only ledger would tell it.

    Where the home cannot be asked, or lends nothing before other regions have said what they know, nothing is free but
    what other workers of the region give back, so that what the region does not have is refused without waiting.
    Workers are asked to give back where the home has no more either, and once the leases have ended.
    """
    cut_off = state.away or bool(state.awaited)
    at_home = (limit or 0) - share.spent_elsewhere - share.leased_elsewhere - share.settled - share.lost - share.lease
    contended = balance.contended and (cut_off or at_home <= share.wanted)
    return msgspec.structs.replace(
        balance,
        settled=balance.settled + share.spent_elsewhere,
        leased=balance.leased + (0 if cut_off else share.leased_elsewhere),
        reserved=balance.reserved + (0 if cut_off else share.reserved_elsewhere),
        limit=None if limit is None else 0 if cut_off else limit,
        contended=contended or (state.heard_at > 0.0 and _has_ended(state, clock_s)),
    )
