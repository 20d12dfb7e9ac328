"""The tables of the ledger in SQLite or PostgreSQL; amounts are nano-dollars, times seconds since 1970."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

__all__ = [
    "ACCOUNTS",
    "CHANGED",
    "FORWARDED",
    "HOLDERS",
    "LEASES",
    "LOST",
    "META",
    "RULES",
    "SCHEMA_VERSION",
    "SHARES",
    "SPENDERS",
    "TABLES",
]

SCHEMA_VERSION: Final = "1"
"""Of the tables; another one is refused."""

TABLES: Final = sa.MetaData()
"""All tables of the ledger."""

META: Final = sa.Table(
    "budget_meta", TABLES, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
"""Facts about the ledger: name and value."""

RULES: Final = sa.Table(
    "budget_rules",
    TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("limit_nano", sa.BigInteger, nullable=False),
)
"""The rules that hold."""

ACCOUNTS: Final = sa.Table(
    "budget_accounts",
    TABLES,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False, index=True),
    sa.Column("settled", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Column("leased", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("wanted_at", sa.Double, nullable=False),
    sa.Column("touched_at", sa.Double, nullable=False),
)
"""What each account has settled and lost, by window."""

HOLDERS: Final = sa.Table(
    "budget_holders",
    TABLES,
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
)
"""Who holds leases, and how far its steps were applied."""

LEASES: Final = sa.Table(
    "budget_leases",
    TABLES,
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("open", sa.BigInteger, nullable=False),
    sa.Column("expired", sa.BigInteger, nullable=False),
)
"""What each holder may still spend."""

LOST: Final = sa.Table(
    "budget_lost",
    TABLES,
    sa.Column("reservation_id", sa.Text, primary_key=True),
    sa.Column("upper", sa.BigInteger, nullable=False),
    sa.Column("charges", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
"""Reservations that nobody settled in time."""

FORWARDED: Final = sa.Table(
    "budget_forwarded",
    TABLES,
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("reservation_id", sa.Text, nullable=False, unique=True),
    sa.Column("actual", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
"""Settlements that wait for the holder of their reservation."""

SHARES: Final = sa.Table(
    "budget_shares",
    TABLES,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("lease", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Column("withheld", sa.BigInteger, nullable=False),
    sa.Column("wanted", sa.BigInteger, nullable=False),
    sa.Column("spent_elsewhere", sa.BigInteger, nullable=False),
    sa.Column("leased_elsewhere", sa.BigInteger, nullable=False),
    sa.Column("reserved_elsewhere", sa.BigInteger, nullable=False),
)
"""What a region that is not the budgets' home has of each account; empty at the home."""

CHANGED: Final = sa.Table(
    "budget_changed",
    TABLES,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("wanted", sa.Boolean, nullable=False),
)
"""Shares to look at in a region's next step on its home, and whether workers lack money of them; empty at the home."""

SPENDERS: Final = sa.Table(
    "budget_spenders",
    TABLES,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("spender", sa.Text, primary_key=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
)
"""Who spent what is settled and lost, and what of it is lost: at the home as it is, in another region as it heard."""
