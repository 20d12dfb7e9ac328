"""Connections to the databases that a deployment names: their addresses, drivers and what is said of either.

How patient a connection is, and how durable, stays with whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from beast_ml.errors import InputError, MissingExtraError, UnavailableError

__all__ = [
    "database_address",
    "postgresql_engine",
    "read_by_owner_only",
    "sql_engine",
    "valkey_answering",
    "valkey_client",
]


def database_address(url: str) -> sa.URL:
    """Return the parts of ``database_url``.

    Raises
    ------
    InputError
        If it is malformed; it is not repeated, for it may hold a password.
    """
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise InputError("`database_url` is no address, must be like postgresql://user@host/database") from None


def postgresql_engine(address: sa.URL, what: str, *, silent_s: float | None = None, **settings: Any) -> sa.Engine:
    """Return an engine of PostgreSQL; nothing is connected to yet.

    Parameters
    ----------
    address
        Of the database.
    what
        Is kept in it, for the error.
    silent_s
        A server that does not answer a statement for so many seconds is away: its own time limits do not help where it
        hangs, or where a network loses what it says, and TCP waits for a quarter of an hour. None: wait for ever.
    settings
        Of `sqlalchemy.create_engine`.

    Raises
    ------
    MissingExtraError
        If the driver is not installed.
    """
    try:
        engine = sa.create_engine(address.set(drivername="postgresql+psycopg"), **settings)
    except ImportError as error:
        raise MissingExtraError(f"{what} in PostgreSQL", "cluster") from error
    if silent_s is not None:
        from beast_ml.impatient_postgresql import connection_class

        patient_for = connection_class(silent_s)
        sa.event.listen(
            engine, "do_connect", lambda _dialect, _record, args, named: patient_for.connect(*args, **named)
        )
    return engine


def sql_engine(
    url: str,
    what: str,
    *,
    postgresql: Mapping[str, Any],
    sqlite: Mapping[str, Any],
    synchronous: Literal["NORMAL", "FULL"],
) -> sa.Engine:
    """Return an engine for ``sqlite:///path`` or ``postgresql://...``; nothing is connected to yet.

    SQLite writes ahead, and begins no transaction by itself: whoever uses it says when one begins, and whether it will
    write. A new file of it is read by its owner only.

    Parameters
    ----------
    url
        Of the database.
    what
        Is kept in it, for the error.
    postgresql, sqlite
        Settings of `sqlalchemy.create_engine` for either.
    synchronous
        What SQLite waits for: NORMAL may lose the last transactions with the machine's power, FULL loses none.

    Raises
    ------
    InputError
        If the address is malformed.
    MissingExtraError
        If the driver is not installed.
    """
    address = database_address(url)
    backend = address.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return postgresql_engine(address, what, **postgresql)
    if backend != "sqlite":
        raise InputError(f"`database_url` names {backend}, must be sqlite or postgresql")
    engine = sa.create_engine(address, **sqlite)
    read_by_owner_only(engine)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")

    return engine


def read_by_owner_only(engine: sa.Engine) -> None:
    """Have the file of a SQLite database, where it is new, read by nobody but its owner."""
    database = engine.url.database
    if not database or database == ":memory:":
        return

    @sa.event.listens_for(engine, "do_connect")
    def _own(*_: object) -> None:
        with suppress(OSError):  # connecting, which comes next, tells it better
            Path(database).touch(0o600)


def valkey_client(url: str, what: str, **settings: Any) -> Any:
    """Return a client of the Valkey or Redis at ``redis://host:port``; it connects at its first call.

    Parameters
    ----------
    url
        Of the server.
    what
        Is kept in it, for the error.
    settings
        Of `redis.Redis.from_url`.

    Raises
    ------
    InputError
        If the address is malformed; it is not repeated, for it may hold a password.
    MissingExtraError
        If the driver is not installed.
    """
    try:
        import redis
    except ImportError as error:
        raise MissingExtraError(f"{what} in Valkey", "cluster") from error
    try:
        return redis.Redis.from_url(url, **settings)
    except ValueError:
        raise InputError("`redis_url` is no address, must be like redis://host:6379") from None


@contextmanager
def valkey_answering(unavailable: str) -> Iterator[None]:
    """Say within the block, in the caller's words, that a Valkey does not answer.

    Parameters
    ----------
    unavailable
        What is said; ``{error}`` stands for what the driver says.

    Raises
    ------
    UnavailableError
        If it does not.
    """
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as error:
        raise UnavailableError(unavailable.format(error=error)) from error
