"""Outcome tables as they come: Parquet, JSON lines or CSV, read into typed columns with the bad cells named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.quarantine import RejectedRow
from beast_ml.logs.schema import OUTCOME_COLUMNS
from beast_ml.logs.sources.cells import cells_from_column, cells_from_values
from beast_ml.logs.sources.raw_rows import check_names, damaged, detect_format, raw_rows, rows_of_table

__all__ = ["OutcomeFile", "read_outcome_file"]

Row = dict[str, Any]


@dataclass(frozen=True)
class OutcomeFile:
    """A file's rows in typed columns.

    Parameters
    ----------
    path
        The file.
    columns
        All of `OUTCOME_COLUMNS`, as large_string and float64; null where a cell is unknown or bad.
    numbers
        (n,) line or row numbers, from 1.
    faults
        Position of a row in ``columns`` -> what is wrong with its first bad cell.
    raw
        Gives the original rows at the given positions.
    unreadable
        Lines that never became a row.
    """

    path: Path
    columns: pa.Table
    numbers: NDArray[np.intp]
    faults: dict[int, str]
    raw: Callable[[Sequence[int]], list[Row]]
    unreadable: tuple[RejectedRow, ...] = ()


def read_outcome_file(path: Path) -> OutcomeFile:
    """Read an outcome table; the format is told by the suffix and, for Parquet, by the content.

    Raises
    ------
    DataError
        If the file is missing, a folder, empty, truncated, of an unknown format, or lacks a required column.
    """
    file = _read_parquet(path) if detect_format(path) == "parquet" else _read_text(path)
    if file.columns.num_rows == 0 and not file.unreadable:
        raise DataError(f"{path} has no rows: an outcome table has one row per query and model")
    return file


def _read_parquet(path: Path) -> OutcomeFile:
    try:
        with pq.ParquetFile(path) as file:
            check_names(path, file.schema_arrow.names)
            _require_columns(path, file.schema_arrow.names)
            wanted = [name for name in OUTCOME_COLUMNS if name in file.schema_arrow.names]
            table = file.read(columns=wanted).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    faults: dict[int, str] = {}
    columns = {}
    for name in wanted:
        columns[name], bad = cells_from_column(path, name, OUTCOME_COLUMNS[name][0], table[name])
        faults = bad | faults  # the first bad cell of a row names its fault
    for name in OUTCOME_COLUMNS.keys() - set(wanted):
        columns[name], _ = cells_from_values(name, OUTCOME_COLUMNS[name][0], [None] * table.num_rows)

    def raw(positions: Sequence[int]) -> list[Row]:
        return rows_of_table(table.take(pa.array(positions, pa.int64())))

    ordered = pa.table({name: columns[name] for name in OUTCOME_COLUMNS})
    return OutcomeFile(path, ordered, np.arange(1, table.num_rows + 1), faults, raw)


def _read_text(path: Path) -> OutcomeFile:
    rows: list[Row] = []
    numbers: list[int] = []
    unreadable: list[RejectedRow] = []
    names: Row = {}
    for line in raw_rows(path):
        if line.reason is None:
            rows.append(line.row)
            numbers.append(line.number)
            names.update(line.row)
        else:
            unreadable.append(RejectedRow(str(path), line.number, line.reason, line.raw))
    if rows:
        _require_columns(path, list(names))
    faults: dict[int, str] = {}
    columns = {}
    for name, (kind, _) in OUTCOME_COLUMNS.items():
        columns[name], bad = cells_from_values(name, kind, [row.get(name) for row in rows])
        faults = bad | faults
    return OutcomeFile(
        path,
        pa.table(columns),
        np.array(numbers, dtype=np.intp),
        faults,
        lambda positions: [rows[i] for i in positions],
        tuple(unreadable),
    )


def _require_columns(path: Path, found: Sequence[str]) -> None:
    required = [name for name, (_, needed) in OUTCOME_COLUMNS.items() if needed]
    missing = [name for name in required if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(found) or 'none'}; an outcome table needs {', '.join(required)}: rename or add them"
        )
