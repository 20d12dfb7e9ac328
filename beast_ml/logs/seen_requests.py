"""Which requests a store has already, kept on disk by DuckDB so that a log of any length can be checked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.bounded import bounded_connection
from beast_ml.logs.store_files import duckdb_files, request_files
from beast_ml.logs.store_parts import current_parts

__all__ = ["SeenRequests"]

_DIGEST = "hash({" + ", ".join(f"'{name}': \"{name}\"" for name in REQUEST_SCHEMA.names) + "})"


class SeenRequests:
    """The request ids of a store and of what is being added to it; a context manager.

    Parameters
    ----------
    store
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def __enter__(self) -> SeenRequests:
        self._folder = tempfile.TemporaryDirectory(prefix="beast-seen-")
        self._connection = bounded_connection(Path(self._folder.name) / "seen.duckdb")
        run = self._connection.execute
        run("SET TimeZone = 'UTC'")
        run("CREATE TABLE seen (request_id VARCHAR, digest UBIGINT)")
        run("CREATE TABLE stored (request_id VARCHAR)")
        if files := request_files(self._store):
            try:
                run(f"INSERT INTO stored SELECT request_id FROM read_parquet({duckdb_files(files)})")  # noqa: S608 - quoted paths
            except duckdb.Error as error:
                self.__exit__(None, None, None)
                raise DataError(f"the log store {self._store} cannot be read: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._folder.cleanup()

    def add(self, table: pa.Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Remember new requests; return the rows that are copies of seen ones, and those that contradict one.

        Of two rows with one id, in a store or a file, the one that came first is the request.
        """
        run = self._connection.execute
        self._connection.register("chunk", table.append_column("_row", pa.array(np.arange(table.num_rows))))
        run(
            "CREATE OR REPLACE TEMP TABLE current AS SELECT _row, request_id, "  # noqa: S608 - column names only
            f"strftime(received_at, '%Y-%m-%d') AS day, {_DIGEST} AS digest, "
            "row_number() OVER (PARTITION BY request_id ORDER BY _row) = 1 AS is_first FROM chunk"
        )
        self._connection.unregister("chunk")
        self._recall()
        run(
            "CREATE OR REPLACE TEMP TABLE fresh AS SELECT _row, request_id, digest FROM current "
            "WHERE is_first AND request_id NOT IN (SELECT request_id FROM seen)"
        )
        run("INSERT INTO seen SELECT request_id, digest FROM fresh")
        return self._rows("s.digest = c.digest"), self._rows("s.digest IS DISTINCT FROM c.digest")

    def _recall(self) -> None:
        """Fetch from the store the content of the current rows that it may have."""
        run = self._connection.execute
        hits = (
            "SELECT request_id, day FROM current WHERE is_first AND request_id IN (SELECT request_id FROM stored) "
            "AND request_id NOT IN (SELECT request_id FROM seen)"
        )
        days = [day for (day,) in run(f"SELECT DISTINCT day FROM ({hits}) ORDER BY day").fetchall()]  # noqa: S608 - a fixed query
        files = self._files_of(days)
        if files:
            run(
                f"INSERT INTO seen SELECT request_id, {_DIGEST} FROM read_parquet({duckdb_files(files)}, "  # noqa: S608 - quoted paths
                f"hive_partitioning=false) WHERE request_id IN (SELECT request_id FROM ({hits}))"
            )
        if days:  # stored under another day: whatever it says, it is another request
            run(f"INSERT INTO seen SELECT request_id, NULL FROM ({hits})")  # noqa: S608 - a fixed query

    def _files_of(self, days: Sequence[str]) -> list[Path]:
        return [file for day in days for file in current_parts(self._store / f"day={day}")]

    def _rows(self, condition: str) -> NDArray[np.intp]:
        rows = self._connection.execute(
            "SELECT DISTINCT c._row FROM current c JOIN seen s USING (request_id) "  # noqa: S608 - fixed conditions
            f"WHERE {condition} AND c._row NOT IN (SELECT _row FROM fresh) ORDER BY 1"
        ).fetchnumpy()["_row"]
        return np.asarray(rows, dtype=np.intp)
