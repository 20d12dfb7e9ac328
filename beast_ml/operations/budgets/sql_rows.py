"""The rows of the ledger in SQLite or PostgreSQL, as one transaction reads and writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from beast_ml.operations.budgets.booking import AccountRow, LeaseRow
from beast_ml.operations.budgets.ledger import Charge, Entry, RuleBook
from beast_ml.operations.budgets.rules import BudgetRule, rules_of_account, tenant_of_account
from beast_ml.operations.budgets.spenders import KnownRegions, SpenderRow, Spenders
from beast_ml.operations.budgets.sql_tables import ACCOUNTS, LEASES, META, RULES, SPENDERS

__all__ = ["LedgerRows", "some"]

_MAX_NAMES: Final = 500
_REGIONS: Final = "regions"

_T = TypeVar("_T")


class LedgerRows:
    """Reads and writes rows within a transaction.

    Parameters
    ----------
    connection
        On which it is open.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert

    def meta(self) -> dict[str, str]:
        """Return what the ledger remembers by name: versions, the latest windows."""
        return {row.name: row.value for row in self.connection.execute(META.select())}

    def set_meta(self, values: dict[str, str]) -> None:
        """Remember something by name."""
        self.put(META, [{"name": name, "value": value} for name, value in values.items()])

    def rules(self) -> RuleBook:
        """Return the rules that hold."""
        texts = self.connection.scalars(sa.select(RULES.c.rule).order_by(RULES.c.place)).all()
        rules = tuple(msgspec.json.decode(text, type=BudgetRule) for text in texts)
        meta = self.meta()
        return RuleBook(int(meta.get("rules_version", "0")), rules, meta.get("declared", ""))

    def limits(self, entries: Iterable[Entry]) -> dict[str, int | None]:
        """Return the limit of each entry's account, in nano-dollars; None where no rule sets one any more."""
        names = {entry.account: rules_of_account(entry.account) for entry in entries}
        found: dict[str, int] = {}
        for part in some(sorted({name for each in names.values() for name in each})):
            query = sa.select(RULES.c.name, RULES.c.limit_nano).where(RULES.c.name.in_(part))
            found |= {row.name: int(row.limit_nano) for row in self.connection.execute(query)}
        return {account: next((found[n] for n in each if n in found), None) for account, each in names.items()}

    def leases(self, holder: str) -> defaultdict[Charge, LeaseRow]:
        """Return what a holder has leased; of other charges nothing."""
        rows = self.connection.execute(LEASES.select().where(LEASES.c.holder == holder))
        return defaultdict(
            LeaseRow, {(row.account, row.window): LeaseRow(row.amount, row.open, row.expired) for row in rows}
        )

    def accounts(self, charges: set[Charge]) -> defaultdict[Charge, AccountRow]:
        """Return the balances of accounts; of those that are new nothing."""
        found: defaultdict[Charge, AccountRow] = defaultdict(AccountRow)
        for part in some(sorted({account for account, _ in charges})):
            for row in self.connection.execute(ACCOUNTS.select().where(ACCOUNTS.c.account.in_(part))):
                if (row.account, row.window) in charges:
                    found[row.account, row.window] = AccountRow(
                        row.settled, row.lost, row.leased, row.reserved, row.wanted_at
                    )
        return found

    def store_accounts(self, accounts: dict[Charge, AccountRow], now_s: float) -> None:
        """Write balances down."""
        rows = [
            {
                "account": account,
                "window": window,
                "tenant": tenant_of_account(account),
                "settled": row.settled,
                "lost": row.lost,
                "leased": row.leased,
                "reserved": row.reserved,
                "wanted_at": row.wanted_at,
                "touched_at": now_s,
            }
            for (account, window), row in accounts.items()
        ]
        self.put(ACCOUNTS, rows)

    def store_leases(self, holder: str, leases: dict[Charge, LeaseRow]) -> None:
        """Write down what a holder has leased; what has ended is deleted."""
        held = {charge: row for charge, row in leases.items() if row.amount or row.open or row.expired}
        self.put(
            LEASES,
            [
                {
                    "holder": holder,
                    "account": account,
                    "window": window,
                    "amount": row.amount,
                    "open": row.open,
                    "expired": row.expired,
                }
                for (account, window), row in held.items()
            ],
        )
        ended = [
            {"h": holder, "a": account, "w": window} for account, window in leases if (account, window) not in held
        ]
        if ended:
            self.connection.execute(
                LEASES.delete().where(
                    LEASES.c.holder == sa.bindparam("h"),
                    LEASES.c.account == sa.bindparam("a"),
                    LEASES.c.window == sa.bindparam("w"),
                ),
                ended,
            )

    def spenders(self, charges: set[Charge]) -> defaultdict[Charge, Spenders]:
        """Return who spent what of accounts, as far as that is kept."""
        found: defaultdict[Charge, Spenders] = defaultdict(dict)
        for part in some(sorted({account for account, _ in charges})):
            for row in self.connection.execute(SPENDERS.select().where(SPENDERS.c.account.in_(part))):
                if (row.account, row.window) in charges:
                    found[row.account, row.window][row.spender] = SpenderRow(row.spent, row.lost)
        return found

    def store_spenders(self, spenders: dict[Charge, Spenders]) -> None:
        """Write down who spent what."""
        rows = [
            {"account": account, "window": window, "spender": name, "spent": row.spent, "lost": row.lost}
            for (account, window), of_account in spenders.items()
            for name, row in of_account.items()
        ]
        self.put(SPENDERS, rows)

    def known_regions(self, meta: dict[str, str]) -> KnownRegions:
        """Return the regions that this ledger knows as their home."""
        text = meta.get(_REGIONS)
        return KnownRegions() if text is None else msgspec.json.decode(text, type=KnownRegions)

    def set_known_regions(self, known: KnownRegions) -> None:
        """Write them down."""
        self.set_meta({_REGIONS: msgspec.json.encode(known).decode()})

    def add(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows whose key is new."""
        if rows:
            self.connection.execute(self._insert(table).on_conflict_do_nothing(), rows)

    def put(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows, or replace those of the same key."""
        if rows:
            keys = [column.name for column in table.primary_key]
            insert = self._insert(table)
            others = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
            self.connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=others), rows)


def some(items: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    """Yield as many at a time as a statement may have parameters."""
    rest = iter(items)
    while part := tuple(islice(rest, _MAX_NAMES)):
        yield part
