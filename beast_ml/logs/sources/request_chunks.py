"""Log files of any source as a stream of typed chunks, so that a file may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.quarantine import RejectedRow
from beast_ml.logs.schema import REQUEST_COLUMNS
from beast_ml.logs.sources.cells import cells_from_column, cells_from_values
from beast_ml.logs.sources.detect import row_mapper
from beast_ml.logs.sources.external import UnusableRowError
from beast_ml.logs.sources.raw_rows import (
    RawRow,
    batch_rows,
    check_names,
    damaged,
    detect_format,
    raw_rows,
    rows_of_table,
)

__all__ = ["RequestChunk", "chunk_from_rows", "request_chunks"]

_CHUNK_ROWS: Final = 65_536
_CHUNK_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class RequestChunk:
    """Consecutive rows of a file.

    Parameters
    ----------
    table
        The rows in the columns of `REQUEST_SCHEMA`; null where a cell is unknown or bad.
    numbers
        (n,) line or row numbers, from 1.
    faults
        Position of a row -> what is wrong with its first bad cell.
    raw
        Gives the original rows at the given positions.
    unreadable
        Lines that never became a row.
    end
        How far into the file the chunk reaches, in bytes.
    """

    table: pa.Table
    numbers: NDArray[np.intp]
    faults: dict[int, str]
    raw: Callable[[Sequence[int]], list[Any]]
    unreadable: tuple[RejectedRow, ...]
    end: int


def request_chunks(path: Path, source: str) -> Iterator[RequestChunk]:
    """Yield a log file in chunks of at most 65,536 rows or about 64 MiB.

    Raises
    ------
    InputError
        If the source is unknown.
    DataError
        If the file is missing, empty, damaged, or (Parquet) lacks a required column.
    """
    mapper = row_mapper(source)
    if detect_format(path) == "parquet" and source in ("jsonl", "parquet"):
        yield from _own_parquet(path)
        return
    gathered: list[RawRow] = []
    start = 0
    for line in raw_rows(path):
        gathered.append(line)
        if len(gathered) == _CHUNK_ROWS or line.end - start > _CHUNK_BYTES:
            yield chunk_from_rows(str(path), gathered, mapper)
            gathered, start = [], line.end
    if gathered:
        yield chunk_from_rows(str(path), gathered, mapper)


def _own_parquet(path: Path) -> Iterator[RequestChunk]:
    size, n_done = path.stat().st_size, 0
    try:
        with pq.ParquetFile(path) as file:
            check_names(path, file.schema_arrow.names)
            present = set(file.schema_arrow.names)
            missing = [name for name, (_, needed) in REQUEST_COLUMNS.items() if needed and name not in present]
            if missing:
                raise DataError(
                    f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)} of a "
                    f"routed-request log; it has {', '.join(file.schema_arrow.names)}: rename or add them"
                )
            columns = [name for name in REQUEST_COLUMNS if name in present]
            for batch in file.iter_batches(batch_size=batch_rows(file), columns=columns):
                n_done += batch.num_rows
                end = size * n_done // max(1, file.metadata.num_rows)
                yield _from_table(path, pa.Table.from_batches([batch]), n_done - batch.num_rows, end)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def _from_table(path: Path, table: pa.Table, n_before: int, end: int) -> RequestChunk:
    columns: dict[str, pa.Array] = {}
    faults: dict[int, str] = {}
    for name in table.column_names:
        columns[name], bad = cells_from_column(path, name, REQUEST_COLUMNS[name][0], table[name])
        faults = bad | faults  # the first bad cell of a row names its fault

    def raw(positions: Sequence[int]) -> list[Any]:
        return rows_of_table(table.take(pa.array(positions, pa.int64())))

    numbers = np.arange(1, table.num_rows + 1) + n_before
    return RequestChunk(_complete(columns, table.num_rows), numbers, faults, raw, (), end)


def chunk_from_rows(path: str, lines: Sequence[RawRow], mapper: Callable[[Any], Any]) -> RequestChunk:
    """Return raw rows as a chunk; the mapper makes rows of the log of them, or raises `UnusableRowError`."""
    rows, kept, unreadable = [], [], []
    for line in lines:
        if line.reason is None:
            try:
                rows.append(mapper(line.row))
                kept.append(line)
            except UnusableRowError as error:
                unreadable.append(RejectedRow(path, line.number, str(error), line.row))
        else:
            unreadable.append(RejectedRow(path, line.number, line.reason, line.raw))
    columns: dict[str, pa.Array] = {}
    faults: dict[int, str] = {}
    present: set[str] = set()
    for row in rows:
        present.update(row)
    for name, (kind, _) in REQUEST_COLUMNS.items():
        if name in present:
            columns[name], bad = cells_from_values(name, kind, [row.get(name) for row in rows])
            faults = bad | faults
    return RequestChunk(
        _complete(columns, len(rows)),
        np.array([line.number for line in kept], dtype=np.intp),
        faults,
        lambda positions: [kept[i].row for i in positions],
        tuple(unreadable),
        lines[-1].end,
    )


def _complete(columns: dict[str, pa.Array], n_rows: int) -> pa.Table:
    arrays = [columns.get(field.name, pa.nulls(n_rows, field.type)).cast(field.type) for field in REQUEST_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in REQUEST_SCHEMA]))
