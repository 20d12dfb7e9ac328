"""Routed-request logs into the store: read in chunks, checked row by row, bad rows kept apart, no request twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.ingest_requests import request_faults
from beast_ml.logs.quarantine import QuarantineFile, RejectedRow, quarantine_path
from beast_ml.logs.secrets import without_secrets
from beast_ml.logs.seen_requests import SeenRequests
from beast_ml.logs.sources.detect import detect_source, row_mapper
from beast_ml.logs.sources.raw_rows import detect_format
from beast_ml.logs.sources.request_chunks import RequestChunk, request_chunks
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_files import StoreWriter
from beast_ml.logs.store_parts import LOCK, lock
from beast_ml.places import fetched, is_folder, listed, writable

__all__ = ["CONTRADICTION", "FileIngest", "IngestSummary", "ingest", "log_files"]

CONTRADICTION: Final = "request_id was seen before with other content"
"""Reason for a row whose id belongs to a request that says something else."""


@dataclass(frozen=True)
class FileIngest:
    """What came of one file.

    Parameters
    ----------
    path
        The file.
    source
        What it was read as.
    n_read
        Its rows; accepted, duplicate and quarantined ones add up to it.
    n_accepted
        Rows that are in the store now.
    n_duplicates
        Rows that were in the store, or earlier in the files, already.
    quarantined
        Reason -> number of rows refused.
    quarantine
        The file that holds them, or None.
    days
        The days (UTC, ISO 8601) that got new rows, in order.
    """

    path: Path
    source: str
    n_read: int
    n_accepted: int
    n_duplicates: int
    quarantined: dict[str, int]
    quarantine: Path | None
    days: tuple[str, ...]


@dataclass(frozen=True)
class IngestSummary:
    """What came of all files."""

    files: tuple[FileIngest, ...]

    @property
    def n_read(self) -> int:
        """Rows in the files."""
        return sum(file.n_read for file in self.files)

    @property
    def n_accepted(self) -> int:
        """Rows that are in the store now and were not before."""
        return sum(file.n_accepted for file in self.files)

    @property
    def n_duplicates(self) -> int:
        """Rows that were there already."""
        return sum(file.n_duplicates for file in self.files)

    @property
    def n_quarantined(self) -> int:
        """Rows that were refused."""
        return sum(self.quarantined.values())

    @property
    def quarantined(self) -> dict[str, int]:
        """Reason -> number of rows, most frequent first."""
        reasons: Counter[str] = Counter()
        for file in self.files:
            reasons.update(file.quarantined)
        return dict(reasons.most_common())

    @property
    def days(self) -> tuple[str, ...]:
        """The days (UTC, ISO 8601) that got new rows, in order."""
        return tuple(sorted({day for file in self.files for day in file.days}))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        counts = {name: getattr(self, name) for name in ("n_read", "n_accepted", "n_duplicates", "n_quarantined")}
        files = [
            {name: getattr(file, name) for name in FileIngest.__dataclass_fields__}
            | {"path": str(file.path), "quarantine": None if file.quarantine is None else str(file.quarantine)}
            for file in self.files
        ]
        return counts | {"quarantined": self.quarantined, "days": list(self.days), "files": files}


def log_files(paths: Sequence[Path]) -> list[Path]:
    """Return the log files under these paths: files as they are, a folder's day partitions.

    Raises
    ------
    DataError
        If nothing is given, or a folder has no partition.
    """
    if not paths:
        raise DataError("no log file was given: name at least one")
    files: list[Path] = []
    for path in paths:
        if not is_folder(path):
            files.append(path)
            continue
        partitions = sorted(listed(path, "day=*/part-*.parquet"), key=str)
        if not partitions:
            raise DataError(f"{path} is a folder without day=YYYY-MM-DD/part-*.parquet files: name the log files in it")
        files += partitions
    return files


def ingest(
    paths: Sequence[Path],
    store: LogStore,
    quarantine_dir: Path,
    source: str = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> IngestSummary:
    """Add log files to a store and return what became of every row.

    A file is added whole or, when reading it fails, not at all. Adding a file again adds nothing. Bad rows go to one
    file per log file in the quarantine folder, with their reasons and without the secrets other systems log. One
    process at a time adds to a store: another one waits.

    Parameters
    ----------
    paths
        Log files, or folders partitioned by day; those in an object store are fetched first.
    store
        Where the requests go.
    quarantine_dir
        Where the bad rows go.
    source
        ``auto`` or one of `beast_ml.logs.sources.detect.SOURCES`.
    on_progress
        Called with the number of bytes read since the last call.

    Raises
    ------
    InputError
        If the source is unknown.
    DataError
        If a file is missing, empty, damaged or like no known source.
    DownloadError
        If a file cannot be fetched.
    """
    writable(store.path)
    paths = log_files(paths)
    with fetched(paths) as files:
        if source == "auto":
            sources: list[str] = [detect_source(file) for file in files]
        else:
            row_mapper(source)
            sources = [source] * len(files)
        for file in files:
            detect_format(file)
        with lock(store.path / LOCK, wait=True), SeenRequests(store.path) as seen:
            done = [
                _ingest_file(path, file, name, store, quarantine_dir, seen, on_progress or (lambda _: None))
                for path, file, name in zip(paths, files, sources, strict=True)
            ]
    return IngestSummary(tuple(done))


def _ingest_file(
    path: Path,
    local: Path,
    source: str,
    store: LogStore,
    quarantine_dir: Path,
    seen: SeenRequests,
    on_progress: Callable[[int], None],
) -> FileIngest:
    n_read = n_accepted = n_duplicates = end = 0
    days: set[str] = set()
    with QuarantineFile(quarantine_path(quarantine_dir, path)) as quarantine, StoreWriter(store.path) as writer:
        for chunk in request_chunks(local, source):
            accepted, copies, faults = _sift(chunk, seen)
            quarantine.add(_rejected(path, chunk, faults))
            writer.add(accepted)
            days.update(pc.unique(pc.strftime(accepted["received_at"], format="%Y-%m-%d")).to_pylist())
            n_read += chunk.table.num_rows + len(chunk.unreadable)
            n_accepted += accepted.num_rows
            n_duplicates += copies
            on_progress(chunk.end - end)
            end = chunk.end
    reasons = dict(quarantine.reasons.most_common())
    kept = quarantine.path if reasons else None
    return FileIngest(path, source, n_read, n_accepted, n_duplicates, reasons, kept, tuple(sorted(days)))


def _sift(chunk: RequestChunk, seen: SeenRequests) -> tuple[pa.Table, int, dict[int, str]]:
    """Return the rows to add, the number of copies, and position -> reason of the bad ones."""
    faults = request_faults(chunk.table) | chunk.faults
    good = np.setdiff1d(np.arange(chunk.table.num_rows), _positions(faults))
    table = chunk.table.take(pa.array(good))
    copies, contradictions = seen.add(table)
    faults |= dict.fromkeys(good[contradictions].tolist(), CONTRADICTION)
    new = np.setdiff1d(np.arange(table.num_rows), np.concatenate([copies, contradictions]))
    return table.take(pa.array(new)), len(copies), faults


def _rejected(path: Path, chunk: RequestChunk, faults: dict[int, str]) -> list[RejectedRow]:
    positions = sorted(faults)
    raws = chunk.raw(positions) if positions else []
    rows = [
        RejectedRow(str(path), int(chunk.numbers[position]), faults[position], without_secrets(raw))
        for position, raw in zip(positions, raws, strict=True)
    ]
    unreadable = [RejectedRow(str(path), row.row, row.reason, without_secrets(row.raw)) for row in chunk.unreadable]
    return sorted([*rows, *unreadable], key=lambda row: row.row)


def _positions(faults: dict[int, str]) -> NDArray[np.intp]:
    return np.fromiter(faults, dtype=np.intp, count=len(faults))
