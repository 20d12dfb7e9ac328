"""The third tier: SQLite on one host, or PostgreSQL for all. What it has written outlives every process.

SQLite runs in WAL mode with ``synchronous=NORMAL``: a killed process loses nothing that was written; a machine that
loses its power may lose the last transactions, and nothing else.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from beast_ml.cache.admission import Worth
from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tiers.coding import decode_entry, encode_entry
from beast_ml.cache.tiers.quota import TenantQuota
from beast_ml.cache.tiers.sql_engine import WRITES, open_engine, reading
from beast_ml.cache.tiers.sql_plan import KeptRow, PutPlan, plan_put
from beast_ml.cache.tiers.sql_tables import ENTRIES, META, SCHEMA_VERSION, TABLES, TENANTS
from beast_ml.cache.tiers.sql_vectors import SqlVectors
from beast_ml.errors import InputError, UnavailableError

__all__ = ["SqlTier"]

_BATCH: Final = 500
_PAGE: Final = 256
_LOCK: Final = 0x6265617375

_T = TypeVar("_T")

# Made once: to put a statement together takes longer than SQLite needs to carry it out.
_KEYS: Final[sa.BindParameter[bytes]] = sa.bindparam("keys", expanding=True)
_ALIVE: Final = ENTRIES.c.expires_at > sa.bindparam("now")
_FOUND: Final = sa.select(ENTRIES.c.exact, ENTRIES.c.normalised, ENTRIES.c.body).where(_ALIVE)
_BY_KEY: Final = _FOUND.where(ENTRIES.c.exact.in_(_KEYS) | ENTRIES.c.normalised.in_(_KEYS))
# A request has two keys. With a list of fixed length nothing is left to do for SQLAlchemy when it is carried out.
_PAIR: Final[list[sa.BindParameter[bytes]]] = [sa.bindparam("one"), sa.bindparam("other")]
_BY_PAIR: Final = _FOUND.where(ENTRIES.c.exact.in_(_PAIR) | ENTRIES.c.normalised.in_(_PAIR))
_PAIR_IN_SQLITE: Final = str(_BY_PAIR.compile(dialect=sqlite.dialect()))
_BY_ID: Final = sa.select(ENTRIES.c.entry_id, ENTRIES.c.body).where(
    _ALIVE, ENTRIES.c.entry_id.in_(sa.bindparam("ids", expanding=True))
)


class SqlTier:
    """A `Tier` in a SQL database.

    Parameters
    ----------
    engine
        Of the database; see `open`.
    quota
        What each tenant may fill.
    worth
        What a hit is worth.
    compress_from
        Entries of so many bytes or more are compressed.
    clock
        Seconds since the epoch.
    """

    name = "sql"  # see `Tier`

    def __init__(
        self,
        engine: sa.Engine,
        *,
        quota: TenantQuota | None = None,
        worth: Worth | None = None,
        compress_from: int = 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._quota = TenantQuota() if quota is None else quota
        self._worth = Worth() if worth is None else worth
        self._compress_from, self._clock = compress_from, clock
        self._prepared = False
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        self._reader = reading(engine)

    @classmethod
    def open(cls, url: str, **settings: Any) -> SqlTier:
        """Return the tier at an address, ``sqlite:///path`` or ``postgresql://...``; see the constructor.

        Its tables are made at the first call, so that a database that is away now may come back later.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        return cls(open_engine(url), **settings)

    def vectors(self, n_dimensions: int, *, approximate: bool = False) -> SqlVectors:
        """Return the embeddings of these entries; in PostgreSQL only, see `SqlVectors`."""
        with self._writing():  # its table refers to ours
            pass
        return SqlVectors(self._engine, n_dimensions, clock=self._clock, approximate=approximate)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Return the entries under those keys that are here, in one statement for each 500."""
        found: dict[bytes, CacheEntry] = {}
        for some in _some(dict.fromkeys(keys)):
            wanted = set(some)
            if len(some) > 2:
                rows: Sequence[Sequence[Any]] = self._read(_BY_KEY, keys=some, now=self._clock())
            else:
                rows = self._pair(some[0], some[-1])
            for its_exact, its_normalised, body in rows:
                entry = decode_entry(body)
                if entry is None:
                    continue
                for key, exact in ((its_exact, True), (its_normalised, False)):
                    other = found.get(key)
                    if key in wanted and (other is None or (other.created_at, False) < (entry.created_at, exact)):
                        found[key] = entry
        return found

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, CacheEntry]:
        """Return the entries with those ids that are here, in one statement for each 500."""
        found: dict[str, CacheEntry] = {}
        for some in _some(dict.fromkeys(entry_ids)):
            for row in self._read(_BY_ID, ids=some, now=self._clock()):
                entry = decode_entry(row.body)
                if entry is not None:
                    found[row.entry_id] = entry
        return found

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Keep entries, in one transaction for each 500, which inserts with one statement."""
        for some in _some(entries):
            now = self._clock()
            bodies = [encode_entry(entry, self._compress_from) for entry in some]
            kept = [
                (entry, body if entry.expires_at > now and len(body) <= self._quota.max_bytes else None)
                for entry, body in zip(some, bodies, strict=True)
            ]
            with self._writing() as connection:
                self._purge(connection, now)
                self._carry_out(connection, plan_put(self._kin(connection, some, now), kept))

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Forget entries; return how many were here."""
        n = 0
        for some in _some(dict.fromkeys(entry_ids)):
            with self._writing() as connection:
                rows = self._delete(connection, some)
                self._book(connection, (), rows)
            n += sum(row.expires_at > self._clock() for row in rows)
        return n

    def purge(self, n: int = _BATCH) -> int:
        """Delete at most ``n`` entries that have expired; return how many were. Each `put_many` does so, too."""
        with self._writing() as connection:
            return self._purge(connection, self._clock(), n)

    def scan(self, tenant_id: str | None = None) -> Iterator[CacheEntry]:
        """Return every entry that has not expired, oldest first, a page at a time."""
        last: tuple[float, str] | None = None
        place = sa.tuple_(ENTRIES.c.created_at, ENTRIES.c.entry_id)
        while True:
            query = sa.select(ENTRIES.c.created_at, ENTRIES.c.entry_id, ENTRIES.c.body)
            query = query.where(ENTRIES.c.expires_at > self._clock())
            if tenant_id is not None:
                query = query.where(ENTRIES.c.tenant == tenant_id)
            if last is not None:
                query = query.where(place > sa.tuple_(sa.literal(last[0]), sa.literal(last[1])))
            rows = self._read(query.order_by(ENTRIES.c.created_at, ENTRIES.c.entry_id).limit(_PAGE))
            for row in rows:
                entry = decode_entry(row.body)
                if entry is not None and entry.expires_at > self._clock():
                    yield entry
            if len(rows) < _PAGE:
                return
            last = rows[-1].created_at, rows[-1].entry_id

    def usage(self) -> Mapping[str, tuple[int, int]]:
        """Return (entries, bytes) by tenant, without what has expired and is not deleted yet."""
        expired = (
            sa.select(ENTRIES.c.tenant, sa.func.count().label("n"), sa.func.sum(ENTRIES.c.size).label("size"))
            .where(ENTRIES.c.expires_at <= self._clock())
            .group_by(ENTRIES.c.tenant)
            .subquery()
        )
        n = TENANTS.c.entries - sa.func.coalesce(expired.c.n, 0)
        size = TENANTS.c.bytes - sa.func.coalesce(expired.c.size, 0)
        query = sa.select(TENANTS.c.tenant, n.label("n"), size.label("size"))
        query = query.join_from(TENANTS, expired, expired.c.tenant == TENANTS.c.tenant, isouter=True).where(n > 0)
        return {row.tenant: (int(row.n), int(row.size)) for row in self._read(query)}

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _kin(self, connection: sa.Connection, entries: Sequence[CacheEntry], now: float) -> list[KeptRow]:
        """Return the rows that share an id or a key with the entries."""
        c = ENTRIES.c
        created_at = sa.case((c.expires_at > now, c.created_at), else_=sa.literal(-sys.float_info.max, sa.Double))
        query = sa.select(c.entry_id, c.tenant, c.exact, c.normalised, created_at, c.size).where(
            c.entry_id.in_([entry.entry_id for entry in entries])
            | c.exact.in_([entry.key.exact for entry in entries])
            | c.normalised.in_([entry.key.normalised for entry in entries])
        )
        return [KeptRow(*row) for row in connection.execute(query)]

    def _carry_out(self, connection: sa.Connection, plan: PutPlan) -> None:
        self._book(connection, (), self._delete(connection, list(plan.gone)))
        if plan.outshone:
            connection.execute(
                ENTRIES.update().where(ENTRIES.c.entry_id.in_(list(plan.outshone))).values(normalised=None)
            )
        coming: defaultdict[str, list[int]] = defaultdict(list)
        for row, _, _ in plan.new:
            coming[row.tenant].append(row.size)
        floors = {tenant: self._make_room(connection, tenant, sizes) for tenant, sizes in coming.items()}
        rows = [
            {
                "entry_id": row.entry_id,
                "tenant": row.tenant,
                "exact": row.exact,
                "normalised": row.normalised,
                "created_at": row.created_at,
                "expires_at": entry.expires_at,
                "size": row.size,
                "priority": floors[row.tenant] + self._worth.of(entry) / row.size,
                "body": body,
            }
            for row, entry, body in plan.new
        ]
        if rows:
            connection.execute(ENTRIES.insert(), rows)
        self._book(connection, [row for row, _, _ in plan.new], ())
        for tenant in coming:  # where one batch alone is more than a tenant may have
            self._make_room(connection, tenant, ())

    def _make_room(self, connection: sa.Connection, tenant: str, coming: Sequence[int]) -> float:
        """Evict until entries of those sizes fit; return the highest priority that was ever evicted."""
        booked = connection.execute(TENANTS.select().where(TENANTS.c.tenant == tenant)).one_or_none()
        if booked is None:
            return 0.0
        n_over = booked.entries + len(coming) - self._quota.max_entries
        over, floor = booked.bytes + sum(coming) - self._quota.max_bytes, float(booked.floor)
        c = ENTRIES.c
        first = sa.select(c.entry_id, c.size, c.priority).where(c.tenant == tenant).order_by(c.priority, c.created_at)
        while n_over > 0 or over > 0:
            victims = []
            for row in connection.execute(first.limit(_PAGE)):
                if n_over > 0 or over > 0:
                    victims.append(row.entry_id)
                    n_over, over, floor = n_over - 1, over - row.size, max(floor, float(row.priority))
            if not victims:
                break
            self._book(connection, (), self._delete(connection, victims))
        if floor > booked.floor:
            connection.execute(TENANTS.update().where(TENANTS.c.tenant == tenant).values(floor=floor))
        return floor

    def _purge(self, connection: sa.Connection, now: float, n: int = _BATCH) -> int:
        query = sa.select(ENTRIES.c.entry_id).where(ENTRIES.c.expires_at <= now).order_by(ENTRIES.c.expires_at)
        expired = connection.scalars(query.limit(n)).all()
        self._book(connection, (), self._delete(connection, expired))
        return len(expired)

    @staticmethod
    def _delete(connection: sa.Connection, entry_ids: Sequence[str]) -> Sequence[sa.Row[Any]]:
        """Delete entries; return tenant, size and expiry of each."""
        rows: list[sa.Row[Any]] = []
        for some in _some(entry_ids):
            deleted = ENTRIES.delete().where(ENTRIES.c.entry_id.in_(some))
            rows += connection.execute(deleted.returning(ENTRIES.c.tenant, ENTRIES.c.size, ENTRIES.c.expires_at))
        return rows

    def _book(self, connection: sa.Connection, added: Iterable[Any], taken: Iterable[Any]) -> None:
        """Add to, and take from, what tenants hold; rows have a tenant and a size."""
        changes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for rows, sign in ((added, 1), (taken, -1)):
            for row in rows:
                changes[row.tenant][0] += sign
                changes[row.tenant][1] += sign * row.size
        if not changes:
            return
        insert = self._insert(TENANTS).values(
            [{"tenant": tenant, "entries": n, "bytes": size, "floor": 0.0} for tenant, (n, size) in changes.items()]
        )
        more = {name: TENANTS.c[name] + insert.excluded[name] for name in ("entries", "bytes")}
        connection.execute(insert.on_conflict_do_update(index_elements=["tenant"], set_=more))

    def _pair(self, one: bytes, other: bytes) -> Sequence[Sequence[Any]]:
        """Return the rows under either of two keys; of a file without SQLAlchemy, which takes most of the time."""
        now = self._clock()
        if self._engine.dialect.name != "sqlite" or not self._prepared:
            return self._read(_BY_PAIR, one=one, other=other, now=now)
        with self._answering():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(_PAIR_IN_SQLITE, (now, one, other, one, other))
                return cursor.fetchall()
            finally:
                connection.close()

    def _read(self, query: sa.Select[Any], **values: object) -> Sequence[sa.Row[Any]]:
        """Return the rows of one statement, which is all that a read takes; once more where its connection was cut."""
        if not self._prepared:
            with self._writing():
                pass
        with self._answering():
            try:
                with self._reader.connect() as connection:
                    return connection.execute(query, values).all()
            except sa.exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                with self._reader.connect() as connection:
                    return connection.execute(query, values).all()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Begin a transaction that no other writer's overlaps; commit it at the end."""
        with self._answering(), self._engine.connect() as connection:
            connection = connection.execution_options(**{WRITES: True})
            with connection.begin():
                if self._engine.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                if not self._prepared:
                    self._prepare(connection)
                yield connection
            self._prepared = True

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say what went wrong in our own words; begin with new connections, and look at the tables, after it."""
        where = self._engine.url.render_as_string()
        try:
            yield
        except sa.exc.DataError as error:
            raise InputError(f"an entry cannot be kept in {where}: {_first_line(error)}") from error
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            self._prepared = False
            self._engine.dispose()
            raise UnavailableError(
                f"the cache in {where} does not answer ({_first_line(error)}): the other tiers serve until it does"
            ) from error

    def _prepare(self, connection: sa.Connection) -> None:
        TABLES.create_all(connection)
        insert = self._insert(META).values(name="schema_version", value=SCHEMA_VERSION)
        connection.execute(insert.on_conflict_do_nothing())
        found = connection.scalars(sa.select(META.c.value).where(META.c.name == "schema_version")).one()
        if found != SCHEMA_VERSION:
            raise UnavailableError(
                f"the cache tables in {self._engine.url.render_as_string()} are of version {found}, this release reads "
                f"{SCHEMA_VERSION}: drop cache_meta, cache_entries and cache_tenants, or use another database"
            )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _some(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Return the values in lists that a statement takes."""
    rest = iter(values)
    while some := list(islice(rest, _BATCH)):
        yield some
