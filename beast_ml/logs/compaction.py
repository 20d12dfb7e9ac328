"""Sealed log segments into the store: every acknowledged row once, whenever the compaction is killed.

A batch of segments is read, checked and written aside; its files appear in the store; then the segments are deleted.
What is killed before that is done again from the segments, and rows that are in the store already are left out: a
request by its id, a late row by its content.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beast_ml.errors import DataError, UnavailableError
from beast_ml.logs.bounded import bounded_connection
from beast_ml.logs.compaction_merge import merge_files
from beast_ml.logs.compaction_rows import segment_rows
from beast_ml.logs.late_tables import LATE_SCHEMAS, LATE_TIMES
from beast_ml.logs.quarantine import QuarantineFile, RejectedRow, quarantine_path
from beast_ml.logs.segments import OPEN_SUFFIX, seal_abandoned, sealed_segments, sync_folder
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_files import StoreWriter, duckdb_files, late_files, sweep_staging
from beast_ml.logs.store_parts import LOCK, current_parts, lock
from beast_ml.places import writable

__all__ = ["CompactionSummary", "compact"]

_BATCH_BYTES: Final = 512 << 20
_FIRST, _LAST = date.min.toordinal(), date.max.toordinal()


@dataclass(frozen=True)
class CompactionSummary:
    """What became of the rows of the sealed segments.

    Parameters
    ----------
    n_segments
        Segments that are in the store now, and deleted.
    n_open
        Segments that are still being written.
    n_read
        Rows; those of the tables, the duplicates and the quarantined ones add up to it.
    n_requests, n_outcomes, n_feedback, n_signals
        Rows that are in the store now and were not before.
    n_duplicates
        Rows that were there already, or came twice.
    quarantined
        Reason -> number of rows refused, most frequent first.
    quarantine_files
        The files that hold them.
    days
        The days (UTC, ISO 8601) that got new requests, in order.
    n_merged_files
        Small files of the store that gave way to bigger ones.
    """

    n_segments: int
    n_open: int
    n_read: int
    n_requests: int
    n_outcomes: int
    n_feedback: int
    n_signals: int
    n_duplicates: int
    quarantined: dict[str, int]
    quarantine_files: tuple[Path, ...]
    days: tuple[str, ...]
    n_merged_files: int

    @property
    def n_quarantined(self) -> int:
        """Rows that were refused."""
        return sum(self.quarantined.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        files = [str(path) for path in self.quarantine_files]
        return fields | {"n_quarantined": self.n_quarantined, "quarantine_files": files, "days": list(self.days)}


def compact(
    segments: Path, store: LogStore, quarantine: Path, on_progress: Callable[[int], None] | None = None
) -> CompactionSummary:
    """Take the sealed segments of a folder into a store, delete them, and return what became of every row.

    Segments whose writers are dead are sealed first. Of two requests with one id, received within a day of each
    other, the first is kept. Rows that cannot be used go to one file per segment in the quarantine folder.

    Parameters
    ----------
    segments
        The folder; an absent one has no segments.
    store
        Where the rows go.
    quarantine
        Where the bad rows go.
    on_progress
        Called with the number of bytes read since the last call.

    Raises
    ------
    UnavailableError
        If another compaction of these segments or into this store is at work, or the disk refuses; then the segments
        stay.
    DataError
        If a file of the store is damaged; then the segments stay.
    """
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    files: list[Path] = []
    days: set[str] = set()
    writable(store.path)
    if segments.is_dir():
        with _writing(store), lock(segments / LOCK), lock(store.path / LOCK):
            sweep_staging(store.path)
            seal_abandoned(segments)
            counts["open"] = len(list(segments.glob(f"*{OPEN_SUFFIX}")))
            for batch in _batches(sealed_segments(segments)):
                done = _Batch(store, quarantine, on_progress or (lambda _: None))
                done.run(batch)
                for segment in batch:
                    segment.unlink()
                counts.update(done.counts, segments=len(batch))
                reasons += done.reasons
                files += done.quarantine_files
                days |= done.days
            counts["merged"] = merge_files(store.path)
    return CompactionSummary(
        n_segments=counts["segments"],
        n_open=counts["open"],
        n_read=counts["read"],
        n_requests=counts["requests"],
        n_outcomes=counts["outcomes"],
        n_feedback=counts["feedback"],
        n_signals=counts["signals"],
        n_duplicates=counts["duplicates"],
        quarantined=dict(reasons.most_common()),
        quarantine_files=tuple(files),
        days=tuple(sorted(days)),
        n_merged_files=counts["merged"],
    )


class _Rejects:
    """Rejected rows into one file per segment, one after another; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._open: QuarantineFile | None = None
        self._source = ""
        self.reasons: Counter[str] = Counter()
        self.files: list[Path] = []

    def __enter__(self) -> _Rejects:
        return self

    def add(self, rows: Sequence[RejectedRow]) -> None:
        """Write rows down; those of one segment come together."""
        for source, of_segment in groupby(rows, key=lambda row: row.source):
            if self._open is None or source != self._source:
                self._stack.close()
                self._source = source
                self._open = self._stack.enter_context(QuarantineFile(quarantine_path(self._folder, Path(source))))
                self.files.append(self._open.path)
            rejected = list(of_segment)
            self._open.add(rejected)
            self.reasons.update(row.reason for row in rejected)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class _Batch:
    """Segments that go into the store together."""

    def __init__(self, store: LogStore, quarantine: Path, on_progress: Callable[[int], None]) -> None:
        self._store, self._quarantine, self._on_progress = store, quarantine, on_progress
        self._ids: set[str] = set()
        self._late: dict[str, list[pa.Table]] = {table: [] for table in LATE_SCHEMAS}
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.quarantine_files: list[Path] = []
        self.days: set[str] = set()

    def run(self, segments: Sequence[Path]) -> None:
        """Take segments into the store; when this returns, all their rows are on the disk elsewhere."""
        with StoreWriter(self._store.path) as writer, bounded_connection() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            with _Rejects(self._quarantine) as rejects:
                for rows in segment_rows(segments):
                    self.counts["read"] += rows.n_read
                    rejects.add(rows.rejected)
                    self._add_requests(rows.requests, writer, connection)
                    for kind, table in rows.late.items():
                        self._late[kind].append(table)
                    self._on_progress(rows.n_bytes)
            for kind, tables in self._late.items():
                self._add_late(kind, pa.concat_tables(tables or [LATE_SCHEMAS[kind].empty_table()]), writer, connection)
        self.reasons, self.quarantine_files = rejects.reasons, rejects.files
        for path in rejects.files:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if rejects.files:
            sync_folder(self._quarantine)

    def _add_requests(self, table: pa.Table, writer: StoreWriter, connection: duckdb.DuckDBPyConnection) -> None:
        if not table.num_rows:
            return
        stored = self._stored_ids(table, connection)
        new = []
        for row, request_id in enumerate(table["request_id"].to_pylist()):
            if request_id not in self._ids:
                self._ids.add(request_id)
                if request_id not in stored:
                    new.append(row)
        self.counts["requests"] += len(new)
        self.counts["duplicates"] += table.num_rows - len(new)
        fresh = table.take(pa.array(new, pa.int64()))
        writer.add(fresh)
        self.days.update(_days(fresh))

    def _stored_ids(self, table: pa.Table, connection: duckdb.DuckDBPyConnection) -> set[str]:
        """Return which of these requests the store has, on the days around those they were received on."""
        received = {date.fromisoformat(day).toordinal() for day in _days(table)}
        near = {day + i for day in received for i in (-1, 0, 1)}
        around = [date.fromordinal(day) for day in sorted(near) if _FIRST <= day <= _LAST]
        files = [file for day in around for file in current_parts(self._store.path / f"day={day}")]
        if not files:
            return set()
        connection.register("chunk", table.select(["request_id"]))
        query = (
            f"SELECT request_id FROM read_parquet({duckdb_files(files)}, hive_partitioning=false) "  # noqa: S608 - escaped paths
            "WHERE request_id IN (SELECT request_id FROM chunk)"
        )
        with self._reading():
            return {request_id for (request_id,) in connection.execute(query).fetchall()}

    def _add_late(self, kind: str, table: pa.Table, writer: StoreWriter, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the late rows of the batch that the store does not have, word for word, in the order of time."""
        if not table.num_rows:
            return
        time, names = LATE_TIMES[kind], LATE_SCHEMAS[kind].names
        connection.register("late", table.append_column("_row", pa.array(np.arange(table.num_rows))))
        listed = ", ".join(names)
        known, bounds = "", []
        if files := late_files(self._store.path, kind):
            same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM l.{name}" for name in names)
            stored = f"read_parquet({duckdb_files(files)}, hive_partitioning=false)"
            known = f"WHERE NOT EXISTS (FROM (FROM {stored} WHERE {time} BETWEEN ? AND ?) s WHERE {same})"
            bounds = list(pc.min_max(table[time]).as_py().values())
        query = (
            f"SELECT {listed} FROM (SELECT {listed}, min(_row) AS _row FROM late GROUP BY {listed}) l "  # noqa: S608 - fixed names
            f"{known} ORDER BY {time}, _row"
        )
        with self._reading():
            fresh = connection.sql(query, params=bounds).to_arrow_table().cast(LATE_SCHEMAS[kind])
        self.counts[kind] += fresh.num_rows
        self.counts["duplicates"] += table.num_rows - fresh.num_rows
        writer.add_late(kind, fresh)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise DataError(
                f"the log store {self._store.path} cannot be read, so that nothing can be added: {error}"
            ) from error


def _batches(segments: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield segments that together are of a size to hold in memory."""
    batch: list[Path] = []
    n_bytes = 0
    for segment in segments:
        size = segment.stat().st_size
        if batch and n_bytes + size > _BATCH_BYTES:
            yield batch
            batch, n_bytes = [], 0
        batch.append(segment)
        n_bytes += size
    if batch:
        yield batch


@contextmanager
def _writing(store: LogStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"the log store {store.path} cannot be written ({error}): free or mend the disk, then compact again; "
            "no row is lost"
        ) from error


def _days(table: pa.Table) -> list[str]:
    days: list[str] = pc.unique(pc.strftime(table["received_at"], format="%Y-%m-%d")).to_pylist()
    return days
