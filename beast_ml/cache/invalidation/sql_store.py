"""Invalidations in SQLite, for the workers of one host, or in PostgreSQL, for several hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from beast_ml.cache.invalidation.bans import Ban
from beast_ml.cache.invalidation.store import MAX_SCOPES, Position, Record, reconcile
from beast_ml.databases import sql_engine
from beast_ml.errors import UnavailableError

__all__ = ["TABLES", "SqlInvalidations"]

_TIMEOUT_S: Final = 5
_LOCK: Final = 0x62737405  # of PostgreSQL's advisory locks: one writer at a time
_AT_ONCE: Final = 400

TABLES: Final = sa.MetaData()
"""All tables of the invalidations."""
_META: Final = sa.Table(
    "cache_invalidation",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("floor", sa.BigInteger, nullable=False),
    sa.Column("lineage", sa.Text, nullable=False),
)
_EPOCHS: Final = sa.Table(
    "cache_epochs",
    TABLES,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False, index=True),
)
_BANS: Final = sa.Table(
    "cache_bans",
    TABLES,
    sa.Column("ban_id", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False, index=True),
    sa.Column("ban", sa.LargeBinary, nullable=False),
)
_DECODER: Final = msgspec.msgpack.Decoder(Ban)


class SqlInvalidations:
    """An `InvalidationStore` in a SQL database.

    Parameters
    ----------
    engine
        Of the database; see `open`.
    max_scopes
        How many scopes to keep one by one; see `store.MAX_SCOPES`.
    """

    def __init__(self, engine: sa.Engine, max_scopes: int = MAX_SCOPES) -> None:
        self._engine, self._max_scopes = engine, max_scopes
        self._prepared = False
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    @classmethod
    def open(cls, url: str) -> SqlInvalidations:
        """Return the store at an address, ``sqlite:///path`` or ``postgresql://...``; nothing is connected to yet.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        return cls(_engine(url))

    def position(self) -> Position:
        """Return how far it has come; see `InvalidationStore`."""
        with self._transaction(write=not self._prepared) as connection:
            return self._meta(connection).position

    def read(self, since: int = -1) -> Record:
        """Return the changes numbered above `since`; see `InvalidationStore`."""
        with self._transaction(write=not self._prepared) as connection:
            return self._read(connection, since)

    def append(
        self, expected: Position, scopes: Sequence[str], bans: Sequence[Ban] = (), forget: Sequence[str] = ()
    ) -> Position | None:
        """Make one change; see `InvalidationStore`."""
        with self._transaction(write=True) as connection:
            held = self._meta(connection)
            if not held.position.incarnation or not held.position.continues(expected):
                return None
            n = held.position.n + 1
            self._put_epochs(connection, dict.fromkeys(scopes, n))
            self._add_bans(connection, [(n, ban) for ban in bans])
            for some in _some(forget):
                connection.execute(_BANS.delete().where(_BANS.c.ban_id.in_(some)))
            return self._move(
                connection, Record(Position(held.position.incarnation, n), held.floor, lineage=held.lineage)
            )

    def merge(self, known: Record) -> Position:
        """Give back what the store has lost; see `InvalidationStore`."""
        with self._transaction(write=True) as connection:
            held = self._read(connection)
            missing = reconcile(held, known)
            return held.position if missing is None else self._add(connection, missing)

    def mirror(self, before: Position, news: Record, whole: Callable[[], Record]) -> None:
        """Become a copy of another store.

        Parameters
        ----------
        before
            Where that store was when the news began.
        news
            What is new in it since.
        whole
            Returns all of it; called where this is no copy of what was before.
        """
        with self._transaction(write=True) as connection:
            here = self._meta(connection).position
            if here.continues(news.position):
                return  # another worker's copy is as new
            if here != before or not news.position.continues(before):
                connection.execute(_EPOCHS.delete())
                connection.execute(_BANS.delete())
                news = whole()
            self._add(connection, news)

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    def _add(self, connection: sa.Connection, news: Record) -> Position:
        self._put_epochs(connection, news.epochs)
        self._add_bans(connection, list(news.bans.values()))
        return self._move(connection, news)

    def _move(self, connection: sa.Connection, to: Record) -> Position:
        """Note where the store is now, and keep it small."""
        floor = to.floor
        connection.execute(_EPOCHS.delete().where(_EPOCHS.c.n < floor))
        count = connection.execute(sa.select(sa.func.count()).select_from(_EPOCHS)).scalar_one()
        if count > self._max_scopes:
            numbers = sa.select(_EPOCHS.c.n).order_by(_EPOCHS.c.n).offset(count // 2).limit(1)
            floor = max(floor, int(connection.execute(numbers).scalar_one()))
            connection.execute(_EPOCHS.delete().where(_EPOCHS.c.n <= floor))
        row: dict[str, Any] = {"id": 1, "incarnation": to.position.incarnation, "n": to.position.n, "floor": floor}
        row["lineage"] = msgspec.json.encode(to.lineage).decode()
        statement = self._insert(_META).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))
        return to.position

    def _meta(self, connection: sa.Connection) -> Record:
        row = connection.execute(_META.select()).one_or_none()
        if row is None:
            return Record()
        lineage = msgspec.json.decode(row.lineage, type=dict[int, int])
        return Record(Position(row.incarnation, row.n), int(row.floor), lineage=lineage)

    def _read(self, connection: sa.Connection, since: int = -1) -> Record:
        meta = self._meta(connection)
        epochs = connection.execute(_EPOCHS.select().where(_EPOCHS.c.n > since)).all()
        bans = connection.execute(_BANS.select().where(_BANS.c.n > since)).all()
        return Record(
            meta.position,
            meta.floor,
            {str(row.scope): int(row.n) for row in epochs},
            {str(row.ban_id): (int(row.n), _DECODER.decode(row.ban)) for row in bans},
            meta.lineage,
        )

    def _put_epochs(self, connection: sa.Connection, epochs: dict[str, int]) -> None:
        if epochs:
            statement = self._insert(_EPOCHS)
            statement = statement.on_conflict_do_update(index_elements=["scope"], set_={"n": statement.excluded.n})
            connection.execute(statement, [{"scope": name, "n": n} for name, n in epochs.items()])

    def _add_bans(self, connection: sa.Connection, rows: list[tuple[int, Ban]]) -> None:
        if rows:
            values = [{"ban_id": ban.ban_id, "n": n, "ban": msgspec.msgpack.encode(ban)} for n, ban in rows]
            statement = self._insert(_BANS)
            statement = statement.on_conflict_do_update(index_elements=["ban_id"], set_={"n": statement.excluded.n})
            connection.execute(statement, values)

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                elif write:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                else:
                    connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                if not self._prepared:
                    for table in TABLES.sorted_tables:
                        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                        for index in table.indexes:
                            connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
                yield connection
                connection.commit()
            self._prepared = True
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            cause = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).strip().partition("\n")[0]
            where = self._engine.url.render_as_string(hide_password=True)
            raise UnavailableError(
                f"the database of the cache's invalidations, {where}, does not answer: {cause}"
            ) from (error)


def _engine(url: str) -> sa.Engine:
    return sql_engine(
        url,
        "The cache's invalidations",
        postgresql={
            "pool_pre_ping": True,
            "pool_size": 2,
            "pool_timeout": _TIMEOUT_S,
            "silent_s": _TIMEOUT_S + 1.0,
            "connect_args": {"connect_timeout": _TIMEOUT_S, "options": f"-c statement_timeout={_TIMEOUT_S * 1000}"},
        },
        sqlite={"connect_args": {"timeout": float(_TIMEOUT_S)}, "pool_size": 2},
        synchronous="FULL",
    )


def _some(items: Iterable[str]) -> Iterator[list[str]]:
    rest = list(items)
    for start in range(0, len(rest), _AT_ONCE):
        yield rest[start : start + _AT_ONCE]
