"""Transactions of the ledger in SQLite or PostgreSQL: one after another, whoever else has the database open."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from beast_ml.databases import sql_engine
from beast_ml.errors import InputError, UnavailableError
from beast_ml.operations.budgets.sql_rows import LedgerRows
from beast_ml.operations.budgets.sql_tables import META, SCHEMA_VERSION, TABLES

__all__ = ["SqlStore", "ledger_engine"]

_LOCK: Final = 0x6265617374


class SqlStore:
    """A database that holds a ledger; its tables are made at the first transaction.

    Parameters
    ----------
    engine
        Of the database; see `ledger_engine`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._prepared = False
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        self._line = f"{file}.budgets-lock" if file else None

    @property
    def is_postgresql(self) -> bool:
        """Whether it has a clock of its own."""
        return self._engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[LedgerRows]:
        """Begin a transaction that no other one of any process overlaps; commit it at the end."""
        try:
            with self._turn(), self._engine.begin() as connection:
                if self.is_postgresql:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                if not self._prepared:
                    _prepare(connection)
                yield LedgerRows(connection)
                self._prepared = True
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(
                f"the budget ledger in {self._engine.url.render_as_string()} does not answer "
                f"({str(error).splitlines()[0]}): requests under a budget are refused until it does"
            ) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait in line: SQLite lets writers try again and again, and under many of them some never get through."""
        if self._line is None:
            yield
            return
        try:
            fd = os.open(self._line, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UnavailableError(f"the budget ledger's lock {self._line} cannot be opened: {error}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def ledger_engine(url: str) -> sa.Engine:
    """Return the engine of the database at an address, ``sqlite:///path`` or ``postgresql://...``.

    Raises
    ------
    InputError
        If the address is malformed.
    MissingExtraError
        If the driver is not installed.
    """
    engine = sql_engine(
        url,
        "A ledger",
        postgresql={
            "pool_size": 2,
            "pool_pre_ping": True,
            "silent_s": 11.0,
            "connect_args": {"connect_timeout": 3, "options": "-c statement_timeout=10000 -c lock_timeout=10000"},
        },
        sqlite={"connect_args": {"timeout": 10.0}, "pool_size": 2},
        synchronous="FULL",
    )
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare(connection: sa.Connection) -> None:
    TABLES.create_all(connection)
    rows = LedgerRows(connection)
    rows.add(META, [{"name": "schema_version", "value": SCHEMA_VERSION}])
    found = rows.meta()["schema_version"]
    if found != SCHEMA_VERSION:
        raise InputError(f"the budget tables are of version {found}, this release reads {SCHEMA_VERSION}")
