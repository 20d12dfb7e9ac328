"""The connections of the SQL tier."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from beast_ml.databases import sql_engine

__all__ = ["WRITES", "open_engine", "reading"]

WRITES = "beast_writes"
"""Execution option of a connection that will write: SQLite must know when a transaction begins."""


def open_engine(url: str) -> sa.Engine:
    """Return an engine for ``sqlite:///path`` or ``postgresql://...``; nothing is connected to yet.

    Raises
    ------
    InputError
        If the address is malformed.
    MissingExtraError
        If the driver is not installed.
    """
    patience = "-c statement_timeout=2000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"
    engine = sql_engine(
        url,
        "A cache",
        postgresql={
            "pool_size": 4,
            "max_overflow": 4,
            "pool_timeout": 1.0,
            "silent_s": 2.5,
            "connect_args": {"connect_timeout": 2, "tcp_user_timeout": 2000, "options": patience},
        },
        sqlite={"connect_args": {"timeout": 5.0}, "pool_size": 4, "pool_timeout": 1.0},
        synchronous="NORMAL",
    )
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _bound_journal)
        sa.event.listen(engine, "begin", _begin)
    return engine


def reading(engine: sa.Engine) -> sa.Engine:
    """Return the same engine for single statements that read: one round trip, without a transaction around it."""
    return engine.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else engine


def _bound_journal(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_size_limit=67108864")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(WRITES):  # a statement that only reads is a transaction by itself
        connection.exec_driver_sql("BEGIN IMMEDIATE")
