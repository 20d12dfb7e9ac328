"""How the requests of a log store are read: by one query, again where files went away meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from beast_ml.errors import DataError, InputError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.bounded import bounded_connection
from beast_ml.logs.store_files import request_files
from beast_ml.logs.store_query import joined_log
from beast_ml.places import connect_place, listed

__all__ = ["StoreReader", "as_log", "aware_utc", "known_columns", "touches"]

_BATCH_ROWS: Final = 65_536
_TRIES: Final = 3


@dataclass(frozen=True)
class StoreReader:
    """Reads a store that others add to, compact and delete from.

    Parameters
    ----------
    path
        The store's folder.
    """

    path: Path

    def batches_of(
        self, day: date, names: Sequence[str], since: datetime | None, until: datetime | None, where: str | None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a day's requests; where files went away in between, it begins again after what was yielded.

        Raises
        ------
        InputError, DataError
            As `query` does.
        """
        done = 0
        with self._connected() as connection:
            for tries_left in reversed(range(_TRIES)):
                before = self._files()
                try:
                    relation = self._selected(connection, names, since, until, where, day=day)
                    skipped = 0
                    for batch in relation.to_arrow_reader(_BATCH_ROWS):
                        fresh = batch.slice(min(batch.num_rows, done - skipped))
                        skipped += batch.num_rows - fresh.num_rows
                        if fresh.num_rows:
                            done += fresh.num_rows
                            skipped += fresh.num_rows
                            yield from as_log(pa.Table.from_batches([fresh]), names).to_batches()
                    return
                except (duckdb.Error, pa.ArrowException, OSError) as error:
                    if not tries_left or before <= self._files():
                        raise self._damaged(error) from error

    def query(
        self,
        columns: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        where: str | None,
        *,
        select: str | None = None,
        day: date | None = None,
        order: str = "ORDER BY received_at, request_id",
    ) -> pa.Table:
        """Select from the log joined with what became known later; ``day`` restricts it to a partition.

        Raises
        ------
        InputError
            If the condition is no SQL, or a time is naive.
        DataError
            If a file of the store is damaged.
        """

        def read(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            chosen = self._selected(connection, columns, since, until, where, select=select, day=day, order=order)
            return chosen.to_arrow_table()

        return self.read(read)

    def _selected(
        self,
        connection: duckdb.DuckDBPyConnection,
        columns: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        where: str | None,
        *,
        select: str | None = None,
        day: date | None = None,
        order: str = "ORDER BY received_at, request_id",
    ) -> duckdb.DuckDBPyRelation:
        conditions = [f"({where})"] if where else []
        bounds = [aware_utc(bound) for bound in (since, until) if bound is not None]
        conditions += [f"received_at {sign} ?" for bound, sign in ((since, ">="), (until, "<")) if bound is not None]
        condition = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        chosen = select or ", ".join(f'"{name}"' for name in columns)
        _check_condition(connection, where)
        first, last = (since, until) if day is None else (_start(day),) * 2
        files = request_files(self.path, first, last)
        log = joined_log(self.path, files, only_of_these=day is not None)
        # The condition is the caller's own Python, as it would be in a data frame's query.
        query = f"SELECT {chosen} FROM ({log}) {condition} {order}"  # noqa: S608
        return connection.sql(query, params=bounds)

    def read(self, read: Callable[[duckdb.DuckDBPyConnection], pa.Table]) -> pa.Table:
        """Read, and read again where a compaction or a retention took files away in between.

        Raises
        ------
        DataError
            If a file of the store is damaged.
        """
        with self._connected() as connection:
            for tries_left in reversed(range(_TRIES)):
                before = self._files()
                try:
                    return read(connection)
                except duckdb.Error as error:
                    if not tries_left or before <= self._files():
                        raise self._damaged(error) from error
        raise AssertionError  # the last try returns or raises

    def _files(self) -> set[Path]:
        return set(listed(self.path, "*/part-*.parquet"))

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = bounded_connection()
        connection.execute("SET TimeZone = 'UTC'")
        connect_place(connection, self.path)
        connection.register("nothing", REQUEST_SCHEMA.empty_table())
        return connection

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"the log store {self.path} cannot be read: {error}")


def known_columns(columns: Sequence[str] | None) -> list[str]:
    """Return the names of columns to be read: of all for None; an unknown one is refused."""
    if columns is None:
        return list(REQUEST_SCHEMA.names)
    unknown = [name for name in columns if name not in REQUEST_SCHEMA.names]
    if unknown:
        raise InputError(f"the log has no column {unknown[0]!r}, only {', '.join(REQUEST_SCHEMA.names)}")
    return list(columns)


def touches(day: date, since: datetime | None, until: datetime | None) -> bool:
    """Return whether a day (UTC) has times between these bounds."""
    return (since is None or day >= aware_utc(since).date()) and (until is None or day <= aware_utc(until).date())


def aware_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is refused."""
    if time.tzinfo is None:
        raise InputError(f"{time} has no time zone, must be aware: add tzinfo=datetime.UTC")
    return time.astimezone(UTC)


def as_log(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return a table in the types of the log's columns."""
    return table.cast(pa.schema([REQUEST_SCHEMA.field(name).with_nullable(True) for name in names]))


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _check_condition(connection: duckdb.DuckDBPyConnection, where: str | None) -> None:
    try:
        if where:
            connection.execute(f"SELECT 1 FROM nothing WHERE ({where})")  # noqa: S608 - the caller's own, as above
    except duckdb.Error as error:
        raise InputError(f"`where` == {where!r} is no condition on the columns of the log: {error}") from error
