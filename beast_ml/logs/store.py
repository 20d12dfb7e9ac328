"""Where routed-request logs lie: Parquet files partitioned by day, read through DuckDB.

    store/day=2026-11-22/part-*.parquet    requests, in the columns of `REQUEST_SCHEMA`
    store/outcomes/part-*.parquet          what became known of a request later (latency, tokens, cost, ...)
    store/feedback/part-*.parquet          quality labels that came later
    store/signals/part-*.parquet           weak feedback: retries, regenerations, abandonments; joined to nothing
    store/.staging/                        files that are being written

Files appear whole or not at all, and are never changed. Outcomes and feedback are joined to their request when it is
read: the latest wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa

from beast_ml.errors import InputError
from beast_ml.executors import Executor, LocalExecutor
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.late_tables import LATE_SCHEMAS, LATE_TIMES, SIGNAL_SCHEMA, checked_late_table
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.schema import OUTCOME_COLUMNS
from beast_ml.logs.store_files import StoreWriter, duckdb_files, late_files, request_files, stored_days
from beast_ml.logs.store_query import joined_log
from beast_ml.logs.store_reader import StoreReader, as_log, aware_utc, known_columns, touches

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LogStore"]

R = TypeVar("R")


class LogStore:
    """A folder of routed-request logs.

    Parameters
    ----------
    path
        The folder; it need not exist yet. One in an object store (`beast_ml.places.place`) can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = StoreReader(path)

    def __repr__(self) -> str:
        return f"LogStore({str(self.path)!r})"

    def days(self) -> list[date]:
        """Return the days (UTC) that have requests, in order."""
        return stored_days(self.path)

    def count(self, since: datetime | None = None, until: datetime | None = None, where: str | None = None) -> int:
        """Return the number of requests; see `requests` for the arguments."""
        counted = self._reader.query([], since, until, where, select="count(*) AS n", order="")
        return int(counted["n"][0].as_py())

    def requests(
        self,
        columns: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        where: str | None = None,
        executor: Executor | None = None,
    ) -> pa.Table:
        """Return requests in the order they were received, with what became known of them later.

        Parameters
        ----------
        columns
            Names of `REQUEST_COLUMNS`; None means all.
        since, until
            Received at or after, and before; aware times.
        where
            A further condition in DuckDB's SQL, e.g. ``"tenant_id = 'a' AND status = 'ok'"``.
        executor
            Reads day by day; None: here, in one query. Its workers must find the store at the same path.

        Raises
        ------
        InputError
            If a column is unknown, a time is naive or the condition is no SQL.
        DataError
            If a file of the store is damaged.
        """
        names = known_columns(columns)
        if executor is not None and not executor.is_local:
            empty = pa.schema([REQUEST_SCHEMA.field(name).with_nullable(True) for name in names]).empty_table()
            return pa.concat_tables([empty, *self.by_day(_itself, names, since, until, where, executor)])
        return as_log(self._reader.query(names, since, until, where), names)

    def by_day(
        self,
        function: Callable[[pa.Table], R],
        columns: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        where: str | None = None,
        executor: Executor | None = None,
    ) -> Iterator[R]:
        """Yield what a function makes of the requests of each day, in order; the log may be larger than memory.

        Parameters
        ----------
        function
            Given what `requests` returns of one day; of a module, since it may be run in another process.
        columns, since, until, where
            As of `requests`.
        executor
            Reads the days; None: one after the other, here. Its workers must find the store at the same path.

        Raises
        ------
        InputError, DataError
            As `requests` does.
        """
        names = known_columns(columns)
        days = [day for day in self.days() if touches(day, since, until)]
        of_day = partial(
            _of_day, reader=self._reader, names=names, bounds=(since, until), where=where, function=function
        )
        yield from (executor or LocalExecutor()).map(of_day, days)

    def batches(
        self,
        columns: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        where: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield what `requests` returns, in batches: neither the log nor one of its days need fit into memory."""
        names = known_columns(columns)
        for day in self.days():
            if touches(day, since, until):
                yield from self._reader.batches_of(day, names, since, until, where)

    def sql(self, query: str) -> pa.Table:
        """Return the answer to a query in DuckDB's SQL; the table ``log`` is the requests as `requests` returns them.

        Raises
        ------
        InputError
            If the query is wrong.
        DataError
            If a file of the store is damaged.
        """

        def read(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            log = joined_log(self.path, request_files(self.path))
            try:
                connection.execute(f"CREATE OR REPLACE TEMP VIEW log AS {log}")
                return connection.sql(query).to_arrow_table()
            except (duckdb.IOException, duckdb.InvalidInputException):
                raise
            except duckdb.Error as error:
                raise InputError(f"the query is wrong: {error}") from error

        return self._reader.read(read)

    def append_requests(self, table: pa.Table) -> int:
        """Add requests and return their number; they must keep the contract and be new (`beast_ml.logs.ingest`)."""
        with StoreWriter(self.path) as writer:
            writer.add(table)
        return int(table.num_rows)

    def append_outcomes(self, frame: pd.DataFrame | pa.Table) -> int:
        """Add outcomes that became known after the request was logged, and return their number.

        Columns: ``request_id, observed_at`` and any of ``status, error_kind, served_model, ttft_s, latency_s,
        output_tokens, cost_usd``. Of several outcomes of a request the latest observed wins; what it does not know
        (null) stays as it was.

        Raises
        ------
        DataError
            If a row is wrong; then none is added.
        """
        return self._append("outcomes", frame)

    def append_feedback(self, frame: pd.DataFrame | pa.Table) -> int:
        """Add quality labels, and return their number.

        Columns: ``request_id, feedback_at, quality`` (0..1) and ``quality_source``. Of several labels of a request,
        the one logged with it included, the latest wins.

        Raises
        ------
        DataError
            If a row is wrong; then none is added.
        """
        return self._append("feedback", frame)

    def append_signals(self, frame: pd.DataFrame | pa.Table) -> int:
        """Add weak feedback, and return the number of rows.

        Columns: ``request_id, observed_at, kind`` (one of `beast_ml.logs.late_tables.SIGNAL_KINDS`) and
        ``weak_quality`` (0..1).

        Raises
        ------
        DataError
            If a row is wrong; then none is added.
        """
        return self._append("signals", frame)

    def signals(self, since: datetime | None = None, until: datetime | None = None) -> pa.Table:
        """Return the weak feedback observed at or after, and before, in order of time; aware times.

        Raises
        ------
        DataError
            If a file of the store is damaged.
        """
        time = LATE_TIMES["signals"]
        bounds = [aware_utc(bound) for bound in (since, until) if bound is not None]
        conditions = [f"{time} {sign} ?" for bound, sign in ((since, ">="), (until, "<")) if bound is not None]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""

        def read(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            files = late_files(self.path, "signals")
            if not files:
                return SIGNAL_SCHEMA.empty_table()
            source = f"read_parquet({duckdb_files(files)}, hive_partitioning=false)"
            query = f"SELECT * FROM {source} {where} ORDER BY {time}, request_id, kind"  # noqa: S608 - fixed names, escaped paths
            return connection.sql(query, params=bounds).to_arrow_table().cast(SIGNAL_SCHEMA)

        return self._reader.read(read)

    def logged_outcomes(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        where: str | None = None,
        executor: Executor | None = None,
    ) -> LoggedOutcomes:
        """Return the routed requests whose prompt is known as arrays to learn from; see `requests` for the arguments.

        Raises
        ------
        NotEnoughDataError
            If there is none.
        """
        return LoggedOutcomes.from_table(self.requests(LoggedOutcomes.COLUMNS, since, until, where, executor))

    def to_outcomes(
        self, since: datetime | None = None, until: datetime | None = None, where: str | None = None
    ) -> pd.DataFrame:
        """Return an outcome table of the answered requests: one row each, that of the model that served it.

        ``propensity`` is an extra column, null where the serving model is not the chosen one or it is unknown.
        Requests without a prompt are left out.
        """
        renamed = {
            "query_id": "request_id",
            "task": "context['task']",
            "app": "COALESCE(app, context['app'])",
            "model": "served_model",
            "split": "CAST(NULL AS VARCHAR)",
        }
        columns = ", ".join(f"{renamed.get(name, name)} AS {name}" for name in OUTCOME_COLUMNS)
        propensity = "CASE WHEN served_model = chosen_model THEN propensity END AS propensity"
        answered = "status = 'ok' AND served_model IS NOT NULL AND prompt IS NOT NULL"
        condition = f"({where}) AND {answered}" if where else answered
        table = self._reader.query([], since, until, condition, select=f"{columns}, {propensity}")
        frame: pd.DataFrame = table.to_pandas()
        numbers = [name for name, (kind, _) in OUTCOME_COLUMNS.items() if kind == "float"]
        return frame.astype(dict.fromkeys(numbers, float))

    def _append(self, kind: str, frame: pd.DataFrame | pa.Table) -> int:
        table = checked_late_table(kind, LATE_SCHEMAS[kind], frame)
        with StoreWriter(self.path) as writer:
            writer.add_late(kind, table)
        return int(table.num_rows)


def _of_day(
    day: date,
    reader: StoreReader,
    names: Sequence[str],
    bounds: tuple[datetime | None, datetime | None],
    where: str | None,
    function: Callable[[pa.Table], R],
) -> R:
    return function(as_log(reader.query(names, *bounds, where, day=day), names))


def _itself(table: pa.Table) -> pa.Table:
    return table
