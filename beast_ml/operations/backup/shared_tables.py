"""The tables of the PostgreSQL that hosts share: budgets, keys, and what the cache keeps; all as of one moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from beast_ml.cache.invalidation.sql_store import TABLES as INVALIDATIONS
from beast_ml.cache.tiers.sql_tables import TABLES as ENTRIES
from beast_ml.databases import database_address, postgresql_engine
from beast_ml.errors import DataError, InputError, MissingExtraError, UnavailableError
from beast_ml.operations.backup.copying import Incoming
from beast_ml.operations.backup.manifest import Manifest, SharedTable
from beast_ml.operations.budgets.sql_tables import FORWARDED
from beast_ml.operations.budgets.sql_tables import TABLES as BUDGETS
from beast_ml.operations.keys.store import TABLES as KEYS

try:
    import psycopg
    from psycopg import sql
except ImportError as error:
    raise MissingExtraError("backing up PostgreSQL", "cluster") from error

__all__ = ["check_empty", "dump_tables", "load_tables", "shown"]

_TABLES: Final = {
    str(table.name): table for group in (KEYS, BUDGETS, ENTRIES, INVALIDATIONS) for table in group.sorted_tables
}
_FOLDER: Final = "postgresql"


def shown(url: str) -> str:
    """Return a database's address without its password."""
    return database_address(url).render_as_string(hide_password=True)


def dump_tables(url: str, incoming: Incoming) -> dict[str, SharedTable]:
    """Copy our tables into a backup, in one snapshot that hinders nobody.

    Raises
    ------
    UnavailableError
        If the database does not answer.
    """
    dumped = {}
    with _connected(url) as (connection, cursor):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        there = set(sa.inspect(connection).get_table_names())
        for name, table in _TABLES.items():
            if name in there:
                columns = tuple(str(column.name) for column in table.c)  # else some would be of SQLAlchemy's own type
                file = f"{_FOLDER}/{name}.copy"
                with (
                    incoming.created(file).open("wb") as target,
                    cursor.copy(_copy(name, columns, "TO STDOUT")) as rows,
                ):
                    for piece in rows:
                        target.write(piece)
                incoming.seal(file)
                dumped[name] = SharedTable(columns, cursor.rowcount)
    return dumped


def check_empty(url: str) -> None:
    """See that nothing would be lost in a database by loading a backup into it.

    Raises
    ------
    InputError
        If one of our tables has rows.
    """
    with _connected(url) as (connection, cursor):
        for name in sorted(_TABLES.keys() & set(sa.inspect(connection).get_table_names())):
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(name)))
            if cursor.fetchone()[0]:
                raise InputError(
                    f"the table {name} of {shown(url)} has rows: name an empty database in BEAST_DATABASE_URL, or let "
                    "--replace delete what our tables hold"
                )


def load_tables(url: str, folder: Path, manifest: Manifest) -> None:
    """Replace what our tables hold by what a backup holds, in one transaction.

    Raises
    ------
    DataError
        If the backup holds a table, or a column, that this release does not know.
    UnavailableError
        If the database does not answer.
    """
    for name, said in manifest.tables.items():
        if name not in _TABLES or not set(said.columns) <= set(_TABLES[name].c.keys()):
            raise DataError(f"the backup holds the table {name}, which this release does not know in that form")
    with _connected(url) as (connection, cursor):
        for table in _TABLES.values():
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda each: str(each.name)):
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
        names = sql.SQL(", ").join(map(sql.Identifier, _TABLES))
        cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))  # embeddings go with their entries
        for name, said in manifest.tables.items():
            with (
                cursor.copy(_copy(name, said.columns, "FROM STDIN")) as rows,
                (folder / _FOLDER / f"{name}.copy").open("rb") as stream,
            ):
                while piece := stream.read(1 << 20):
                    rows.write(piece)
        number = sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'n'), (SELECT COALESCE(max(n), 0) + 1 FROM {}))")
        cursor.execute(number.format(sql.Literal(FORWARDED.name), sql.Identifier(FORWARDED.name)))


def _copy(name: str, columns: tuple[str, ...], direction: str) -> sql.Composed:
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + direction).format(sql.Identifier(name), listed)


@contextmanager
def _connected(url: str) -> Iterator[tuple[sa.Connection, Any]]:
    """Open a transaction, and a cursor of the driver within it; it is committed at the end."""
    address = database_address(url)
    if address.get_backend_name() not in ("postgresql", "postgres"):
        raise InputError(f"`database_url` is of {address.get_backend_name()!r}, must be postgresql://...")
    engine = postgresql_engine(address, "A backup", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor:
                yield connection, cursor
            connection.commit()
    except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
        raise UnavailableError(f"{shown(url)} does not answer: {str(error).splitlines()[0]}") from error
    finally:
        engine.dispose()
