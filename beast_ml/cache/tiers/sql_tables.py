"""The tables of the SQL tier in SQLite or PostgreSQL; times are seconds since 1970."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

__all__ = ["ENTRIES", "META", "SCHEMA_VERSION", "TABLES", "TENANTS"]

SCHEMA_VERSION: Final = "1"
"""Of the tables; another one is refused."""

TABLES: Final = sa.MetaData()
"""All tables of the tier."""

META: Final = sa.Table(
    "cache_meta", TABLES, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
"""Facts about the tables: name and value."""

ENTRIES: Final = sa.Table(
    "cache_entries",
    TABLES,
    sa.Column("entry_id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("exact", sa.LargeBinary, nullable=False, unique=True),
    # Of the youngest entry under that key; null where another one holds it.
    sa.Column("normalised", sa.LargeBinary, unique=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("priority", sa.Double, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("cache_entries_scan", "created_at", "entry_id"),
    sa.Index("cache_entries_evict", "tenant", "priority", "created_at"),
)
TENANTS: Final = sa.Table(
    "cache_tenants",
    TABLES,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    # The highest priority that was evicted; see `quota`.
    sa.Column("floor", sa.Double, nullable=False),
)
