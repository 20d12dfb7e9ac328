"""The files of a log store: written aside, put in place whole, found again by day."""

from __future__ import annotations

import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.late_tables import LATE_SCHEMAS, checked_late_table
from beast_ml.logs.segments import sync_folder
from beast_ml.logs.store_parts import current_parts, merged_name, next_number, publish_lock, revised_name
from beast_ml.places import listed, writable

__all__ = ["StoreWriter", "duckdb_files", "late_files", "request_files", "stored_days", "sweep_staging"]

_MAX_OPEN_FILES: Final = 200
_STAGING: Final = ".staging"
_GROUP_ROWS: Final = 65_536


def stored_days(store: Path) -> list[date]:
    """Return the days (UTC) that have requests, in order.

    Raises
    ------
    DataError
        If a partition's name is no day.
    """
    found = {file.parent.name.removeprefix("day=") for file in listed(store, "day=*/part-*.parquet")}
    try:
        return sorted(date.fromisoformat(day) for day in found)
    except ValueError as error:
        raise DataError(f"{store} has a partition whose name is no day ({error}): remove or rename it") from error


def request_files(store: Path, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
    """Return the files that may hold requests received at or after ``since`` and before ``until``."""
    days = [
        day
        for day in stored_days(store)
        if (since is None or day >= since.astimezone(UTC).date())
        and (until is None or day <= until.astimezone(UTC).date())
    ]
    return [file for day in days for file in current_parts(store / f"day={day}")]


def late_files(store: Path, kind: str) -> list[Path]:
    """Return the files of ``outcomes``, ``feedback`` or ``signals`` in the order they were appended."""
    return current_parts(store / kind)


def duckdb_files(files: Sequence[Path]) -> str:
    """Return a list of files as DuckDB's SQL, with what it would take for a pattern escaped."""
    quoted = [re.sub(r"([\[*?])", r"[\1]", str(file)).replace("'", "''") for file in files]
    return "[" + ", ".join(f"'{name}'" for name in quoted) + "]"


class StoreWriter:
    """Adds files to a store; a context manager that puts them in place at the end, or none if the block raises.

    Parameters
    ----------
    store
        The store's folder; it is made where it does not exist.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._token = uuid.uuid4().hex[:8]
        self._staging = store / _STAGING / f"{socket.gethostname()}.{os.getpid()}.{self._token}"
        self._open: dict[str, tuple[Path, Any]] = {}
        self._closed: list[tuple[str, Path]] = []
        self._names: dict[str, str] = {}

    def __enter__(self) -> StoreWriter:
        writable(self._store)
        self._staging.mkdir(parents=True)
        sweep_staging(self._store)
        return self

    def add(self, table: pa.Table) -> None:
        """Add requests, each to the day it was received.

        Raises
        ------
        DataError
            If a required column is missing or null somewhere.
        """
        table = _as_requests(table)
        days = pc.strftime(table["received_at"], format="%Y-%m-%d")
        for day in sorted(pc.unique(days).to_pylist()):
            self._write(f"day={day}", table.filter(pc.equal(days, day)))

    def add_late(self, kind: str, table: pa.Table) -> None:
        """Add rows to ``outcomes``, ``feedback`` or ``signals``."""
        if table.num_rows:
            self._write(kind, table)

    def merge(self, folder: str, files: Sequence[Path]) -> None:
        """Let one file take the place of several that follow each other in a folder; they are not deleted."""
        schema = LATE_SCHEMAS.get(folder)
        gathered: list[pa.Table] = []
        for file in files:
            with pq.ParquetFile(file) as parquet:
                for i in range(parquet.num_row_groups):
                    rows = parquet.read_row_group(i)
                    gathered.append(_as_requests(rows) if schema is None else checked_late_table(folder, schema, rows))
                    if sum(table.num_rows for table in gathered) >= _GROUP_ROWS:
                        self._write(folder, pa.concat_tables(gathered))
                        gathered = []
        if gathered:
            self._write(folder, pa.concat_tables(gathered))
        self._close(folder)
        self._names[folder] = merged_name(files, self._token)

    def revise(self, file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
        """Let what a function makes of a file's rows take its place; the file itself is not deleted.

        At least one row must be left, and one writer revises one file.
        """
        folder = file.parent.name
        schema = LATE_SCHEMAS.get(folder)
        with pq.ParquetFile(file) as parquet:
            for i in range(parquet.num_row_groups):
                rows = parquet.read_row_group(i)
                self._write(
                    folder, change(_as_requests(rows) if schema is None else checked_late_table(folder, schema, rows))
                )
        self._close(folder)
        self._names[folder] = revised_name(file, self._token)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for folder in list(self._open):
                self._close(folder)
            if kind is None:
                with publish_lock(self._store):
                    for folder, staged in self._closed:
                        self._publish(folder, staged)
                for path in {self._store / folder for folder, _ in self._closed} | {self._store}:
                    sync_folder(path)
        finally:
            shutil.rmtree(self._staging)

    def _write(self, folder: str, table: pa.Table) -> None:
        if folder not in self._open:
            if len(self._open) >= _MAX_OPEN_FILES:
                self._close(next(iter(self._open)))
            staged = self._staging / f"{len(self._closed) + len(self._open)}.parquet"
            self._open[folder] = staged, pq.ParquetWriter(staged, table.schema, compression="zstd")
        self._open[folder][1].write_table(table)

    def _close(self, folder: str) -> None:
        staged, writer = self._open.pop(folder)
        writer.close()
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        self._closed.append((folder, staged))

    def _publish(self, folder: str, staged: Path) -> None:
        """Rename a finished file; its number puts it after the files that are there, its token apart from others'."""
        target = self._store / folder
        target.mkdir(exist_ok=True)
        name = self._names.get(folder, f"part-{next_number(target):06d}-{self._token}.parquet")
        staged.rename(target / name)


def sweep_staging(store: Path) -> None:
    """Remove what processes of this machine that are no more have left half-written."""
    for folder in (store / _STAGING).glob(f"{socket.gethostname()}.*.*"):
        try:
            os.kill(int(folder.name.split(".")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder)
        except PermissionError:
            continue  # it lives, and is another user's


def _as_requests(table: pa.Table) -> pa.Table:
    try:
        columns = [table[name] if name in table.column_names else None for name in REQUEST_SCHEMA.names]
        filled = [
            pa.nulls(table.num_rows, field.type) if column is None else column
            for column, field in zip(columns, REQUEST_SCHEMA, strict=True)
        ]
        nullable = pa.Table.from_arrays(filled, names=REQUEST_SCHEMA.names)
        bad = [field.name for field in REQUEST_SCHEMA if not field.nullable and nullable[field.name].null_count]
        if bad:
            raise DataError(f"`{bad[0]}` is missing in a request: ingest the log, which sets such rows apart")
        return nullable.cast(REQUEST_SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the table is no routed-request log ({error}): ingest it, which sets bad rows apart"
        ) from error
