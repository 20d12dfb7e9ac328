"""Where keys are kept: a SQLite file of one host, or a PostgreSQL database that several share."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beast_ml.databases import database_address, postgresql_engine, read_by_owner_only
from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.errors import InputError, MissingExtraError, UnavailableError
from beast_ml.events import events
from beast_ml.operations.keys.key import ApiKey, check_name, check_tenant, digest_of, id_in, new_key

try:
    import sqlalchemy as sa
    from sqlalchemy.exc import DBAPIError
except ImportError as error:
    raise MissingExtraError("keeping API keys", "serve") from error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TABLES", "KeyStore"]

TABLES: Final = sa.MetaData()
"""All tables of the keys."""

# Times are ISO 8601 text in UTC: the same in both databases, and legible to people.
_KEYS: Final = sa.Table(
    "api_keys",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("expires_at", sa.String(40)),
    sa.Column("revoked_at", sa.String(40)),
    sa.Column("admin", sa.Boolean, nullable=False, default=False),
)
# One row, counted up with each change, so that workers need not read all keys to see that none changed.
_CHANGES: Final = sa.Table(
    "api_key_changes",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)

# The same words in both databases.
_COUNT: Final = sa.text(
    "INSERT INTO api_key_changes (id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = api_key_changes.n + 1"
)

_TIMEOUT_S: Final = 5
_CREATE_LOCK: Final = 0x62737401  # of PostgreSQL's advisory locks: hosts that start together make the tables once


class KeyStore:
    """API keys, of which only hashes are kept; safe to share between threads.

    Parameters
    ----------
    engine
        Of the database; `open` makes one.
    clock
        What time it is, for creation and revocation.

    Raises
    ------
    UnavailableError
        By each method, if the database does not answer.
    """

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()
        self._ready = False

    @classmethod
    def open(cls, state: Path, database_url: str | None = None, clock: Clock | None = None) -> KeyStore:
        """Return the store in a PostgreSQL database, or, without one, in the state folder's ``state.db``.

        Nothing is asked of the database yet.

        Raises
        ------
        InputError
            If the address is not that of a PostgreSQL database.
        MissingExtraError
            If its driver is not installed.
        """
        if database_url is None:
            state.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(
                sa.URL.create("sqlite", database=str(state / "state.db")),
                poolclass=sa.pool.NullPool,  # a file is opened in no time
                connect_args={"timeout": _TIMEOUT_S},
            )
            sa.event.listen(engine, "connect", _write_ahead)
            read_by_owner_only(engine)
            return cls(engine, clock)
        url = database_address(database_url)
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise InputError(
                f"`database_url` is of {url.get_backend_name()!r}, must be postgresql://..., or unset for SQLite"
            )
        engine = postgresql_engine(
            url,
            "The API keys",
            pool_pre_ping=True,
            pool_size=2,
            pool_timeout=_TIMEOUT_S,
            silent_s=_TIMEOUT_S + 1.0,
            connect_args={"connect_timeout": _TIMEOUT_S, "options": f"-c statement_timeout={_TIMEOUT_S * 1000}"},
        )
        return cls(engine, clock)

    def create(self, tenant: str, name: str = "", expires_at: datetime | None = None) -> str:
        """Make a key and return it: the only time that it can be seen.

        Raises
        ------
        InputError
            If tenant or name cannot be one, or the key would have expired already.
        """
        now = self._clock.now()
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            raise InputError(f"`expires_at` == {expires_at.isoformat()}, must be an aware time after now")
        key_id, key = new_key()
        row = {
            "id": key_id,
            "digest": digest_of(key.encode()),
            "tenant": check_tenant(tenant),
            "name": check_name(name),
            "created_at": _text(now),
            "expires_at": None if expires_at is None else _text(expires_at),
            "admin": False,
        }
        with self._transaction() as connection:
            connection.execute(_KEYS.insert().values(row))
            _count_change(connection)
        events.info("key.created", id=key_id, tenant=tenant)
        return key

    def revoke(self, key_id: str) -> ApiKey:
        """Make a key worthless, and return it; once revoked it stays so.

        Raises
        ------
        InputError
            If there is none of that id.
        """
        wanted = id_in(key_id)
        with self._transaction() as connection:
            result = connection.execute(
                _KEYS.update()
                .where(_KEYS.c.id == wanted, _KEYS.c.revoked_at.is_(None))
                .values(revoked_at=_text(self._clock.now()))
            )
            if result.rowcount:
                _count_change(connection)
            row = connection.execute(_KEYS.select().where(_KEYS.c.id == wanted)).mappings().one_or_none()
        if row is None:
            raise InputError(f"there is no key with the id {wanted[:40]!r}: see `beast keys list`")
        if result.rowcount:
            events.info("key.revoked", id=wanted, tenant=row["tenant"])
        return _key(row)

    def list(self) -> list[ApiKey]:
        """Return all keys, expired and revoked ones too, oldest first."""
        return [*self.read()[1]]

    def read(self) -> tuple[int, tuple[ApiKey, ...]]:
        """Return the number of changes so far, and all keys as of then."""
        with self._transaction() as connection:
            n = _n_changes(connection)  # before the keys: a change between the two is read again, not missed
            rows = connection.execute(_KEYS.select().order_by(_KEYS.c.created_at, _KEYS.c.id)).mappings().all()
        return n, tuple(_key(row) for row in rows)

    def n_changes(self) -> int:
        """Return how often keys were created or revoked so far."""
        with self._transaction() as connection:
            return _n_changes(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                if not self._ready:
                    _make_tables(connection)
                yield connection
            self._ready = True
        except (DBAPIError, sa.exc.TimeoutError) as error:
            cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
            where = self._engine.url.render_as_string(hide_password=True)
            raise UnavailableError(f"the database of the API keys, {where}, does not answer: {cause}") from error


def _write_ahead(connection: Any, _: object) -> None:
    """Let readers and a writer of the file work at the same time."""
    with suppress(sqlite3.OperationalError):  # another is just about to say so, too
        connection.execute("PRAGMA journal_mode=WAL")


def _make_tables(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
    for table in TABLES.sorted_tables:
        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))


def _count_change(connection: sa.Connection) -> None:
    connection.execute(_COUNT)


def _n_changes(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(_CHANGES.c.n)).scalar_one_or_none() or 0)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        digest=bytes(row["digest"]),
        tenant=row["tenant"],
        name=row["name"],
        created_at=datetime.fromisoformat(row["created_at"]),
        expires_at=_time(row["expires_at"]),
        revoked_at=_time(row["revoked_at"]),
        admin=bool(row["admin"]),
    )
