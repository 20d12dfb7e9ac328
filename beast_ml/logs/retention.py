"""How long a store keeps what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beast_ml.errors import DataError
from beast_ml.logs.late_tables import LATE_SCHEMAS, LATE_TIMES
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_files import late_files
from beast_ml.logs.store_parts import LOCK, current_parts, lock, superseded_parts

__all__ = ["Forgotten", "forget_before"]


@dataclass(frozen=True)
class Forgotten:
    """What was deleted.

    Parameters
    ----------
    days
        The days (UTC) whose requests are gone, in order.
    n_requests
        How many these were.
    n_late_files
        Files of outcomes, feedback and signals.
    n_quarantine_files
        Files of quarantined rows.
    """

    days: tuple[date, ...]
    n_requests: int
    n_late_files: int
    n_quarantine_files: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self) | {"days": [str(day) for day in self.days]}


def forget_before(store: LogStore, day: date, quarantine: Path | None = None) -> Forgotten:
    """Delete the requests received before a day (UTC), and return what was deleted.

    What became known of them goes file by file, as soon as everything in a file is older. Quarantined rows, which no
    time can be read from, go by when they were set apart. When this is killed, the next call goes on with it.

    Parameters
    ----------
    store
        The store.
    day
        The first day that is kept.
    quarantine
        The folder of quarantined rows; None leaves them.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    with lock(store.path / LOCK, wait=True):
        days = tuple(each for each in store.days() if each < day)
        n_requests = sum(_forget_day(store.path / f"day={each}") for each in days)
        n_late = sum(_forget_late(store.path, kind, midnight) for kind in LATE_SCHEMAS)
    rejected = [
        file
        for file in (sorted(quarantine.glob("*.jsonl")) if quarantine is not None else [])
        if datetime.fromtimestamp(file.stat().st_mtime, UTC) < midnight
    ]
    _delete(rejected)
    return Forgotten(days, n_requests, n_late, len(rejected))


def _forget_day(folder: Path) -> int:
    files = current_parts(folder)
    n_requests: int = sum(_footer(file).num_rows for file in files)
    _delete(superseded_parts(folder))  # first: without the file that took their place they would be read again
    _delete(files)
    if not any(folder.iterdir()):
        folder.rmdir()
    return n_requests


def _forget_late(store: Path, kind: str, midnight: datetime) -> int:
    _delete(superseded_parts(store / kind))
    old = [file for file in late_files(store, kind) if _latest(file, kind) < midnight]
    _delete(old)
    return len(old)


def _delete(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _footer(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} of the log store is damaged ({error}): restore or remove it") from error


def _latest(file: Path, kind: str) -> datetime:
    """Return the latest time in a late file, from the statistics in its footer."""
    footer = _footer(file)
    column = footer.schema.names.index(LATE_TIMES[kind])
    latest = [footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups)]
    times = [each.max for each in latest if each is not None and each.has_min_max]
    return max(times) if len(times) == len(latest) and times else datetime.max.replace(tzinfo=UTC)
