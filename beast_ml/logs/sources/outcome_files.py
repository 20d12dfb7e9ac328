"""Outcome tables as they come: Parquet, JSON lines or CSV, read into typed columns with the bad cells named."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import ARROW_TYPES
from beast_ml.logs.quarantine import RejectedRow
from beast_ml.logs.schema import OUTCOME_COLUMNS
from beast_ml.logs.sources.lines import read_json_lines

__all__ = ["OutcomeFile", "read_outcome_file"]

_FORMATS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
}

Row = dict[str, Any]
Cells = tuple[pa.Array, dict[int, str]]


@dataclass(frozen=True)
class OutcomeFile:
    """A file's rows in typed columns.

    Parameters
    ----------
    path
        The file.
    columns
        All of `OUTCOME_COLUMNS`, as string and float64; null where a cell is unknown or bad.
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
    if not path.exists():
        raise DataError(f"no file {path}: check the path")
    if path.is_dir():
        raise DataError(f"{path} is a folder, must be a Parquet, JSONL or CSV file: name the file in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: an outcome table has one row per query and model")
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    kind = "parquet" if is_parquet else _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path} is of unknown format {path.suffix!r}, must be one of {', '.join(sorted(_FORMATS))}")
    outcome_file = {"parquet": _read_parquet, "jsonl": _read_jsonl, "csv": _read_csv}[kind](path)
    if outcome_file.columns.num_rows == 0 and not outcome_file.unreadable:
        raise DataError(f"{path} has no rows: an outcome table has one row per query and model")
    return outcome_file


def _read_parquet(path: Path) -> OutcomeFile:
    try:
        with pq.ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names)
            wanted = [name for name in OUTCOME_COLUMNS if name in file.schema_arrow.names]
            table = file.read(columns=wanted).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: it is truncated or damaged ({error})") from error
    faults: dict[int, str] = {}
    columns = {}
    for name in wanted:
        columns[name], bad = _typed_column(path, name, table[name])
        faults = bad | faults

    def raw(positions: Sequence[int]) -> list[Row]:
        part = table.take(pa.array(positions, pa.int64()))
        fields = [pa.field(field.name, _bytes_of(field.type)) for field in part.schema]
        rows: list[Row] = part.cast(pa.schema(fields)).to_pylist()
        return rows

    numbers = np.arange(1, table.num_rows + 1)
    return OutcomeFile(path, _complete(columns, table.num_rows), numbers, faults, raw)


def _bytes_of(kind: pa.DataType) -> pa.DataType:
    """Return the binary type under a text type, since reading invalid text as text would stop everything."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.large_binary()
    return kind


def _typed_column(path: Path, name: str, column: pa.ChunkedArray) -> Cells:
    """Cast a Parquet column; text that is not valid UTF-8 is a fault of its row, a wrong type one of the file."""
    target = ARROW_TYPES[OUTCOME_COLUMNS[name][0]]
    array = column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    types = pa.types
    is_text = types.is_string(array.type) or types.is_large_string(array.type)
    if is_text or types.is_binary(array.type) or types.is_large_binary(array.type):
        if target != pa.string():
            raise DataError(f"column `{name}` of {path} is text, must be numbers: convert it where the file is written")
        binary = array.cast(pa.large_binary())
        try:
            return binary.cast(pa.large_string()), {}
        except pa.ArrowInvalid:
            return _typed_cells(name, [_decoded(value) for value in binary.to_pylist()])
    try:
        return array.cast(pa.large_string() if target == pa.string() else target, safe=False), {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        expected = "text" if target == pa.string() else "numbers"
        raise DataError(f"column `{name}` of {path} is {array.type}, must be {expected}") from error


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _read_jsonl(path: Path) -> OutcomeFile:
    rows: list[Row] = []
    numbers: list[int] = []
    unreadable: list[RejectedRow] = []
    for line in read_json_lines(path):
        if line.reason is None:
            rows.append(line.row)
            numbers.append(line.number)
        else:
            unreadable.append(RejectedRow(str(path), line.number, line.reason, line.raw))
    if rows:
        names: Row = {}
        for row in rows:
            names.update(row)
        _require_columns(path, list(names))
    return _from_rows(path, rows, numbers, unreadable)


def _read_csv(path: Path) -> OutcomeFile:
    rows: list[Row] = []
    numbers: list[int] = []
    unreadable: list[RejectedRow] = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file, _long_fields():
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            _require_columns(path, header)
            for cells in reader:
                if len(cells) == len(header):
                    rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
                    numbers.append(reader.line_num)
                elif cells:
                    raw = dict(zip(header, cells, strict=False)) | {"_cells": cells}
                    reason = "row has not as many cells as the header"
                    unreadable.append(RejectedRow(str(path), reader.line_num, reason, raw))
        except csv.Error as error:
            raise DataError(f"{path} cannot be read as CSV: {error} (line {reader.line_num})") from error
    return _from_rows(path, rows, numbers, unreadable)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let CSV fields be of any length; the standard library stops at 128 KiB, and keeps its limit globally."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _from_rows(path: Path, rows: list[Row], numbers: list[int], unreadable: list[RejectedRow]) -> OutcomeFile:
    faults: dict[int, str] = {}
    columns = {}
    for name in OUTCOME_COLUMNS:
        columns[name], bad = _typed_cells(name, [row.get(name) for row in rows])
        faults = bad | faults
    table = _complete(columns, len(rows))
    return OutcomeFile(
        path,
        table,
        np.array(numbers, dtype=np.intp),
        faults,
        lambda positions: [rows[i] for i in positions],
        tuple(unreadable),
    )


def _typed_cells(name: str, values: list[Any]) -> Cells:
    """Return the values as an Arrow array, and the positions of those that do not fit with what is wrong."""
    target = pa.large_string() if OUTCOME_COLUMNS[name][0] == "string" else pa.float64()
    try:
        return pa.array(values, target), {}
    except (pa.ArrowException, UnicodeEncodeError):
        pass  # some value does not fit as it is: look at each
    convert = _text if target == pa.large_string() else _number
    cells: list[Any] = []
    faults: dict[int, str] = {}
    for i, value in enumerate(values):
        try:
            cells.append(None if value is None else convert(value))
        except UnicodeEncodeError:
            cells.append(None)
            faults[i] = f"{name} is not valid UTF-8"
        except (TypeError, ValueError, OverflowError):
            cells.append(None)
            faults[i] = f"{name} is not {'text' if convert is _text else 'a number'}"
    return pa.array(cells, target), faults


def _text(value: Any) -> str:
    if isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids and labels are often numbers
    raise TypeError


def _number(value: Any) -> float:
    if isinstance(value, int | float | str):
        return float(value)
    raise TypeError


def _complete(columns: dict[str, pa.Array], n_rows: int) -> pa.Table:
    nulls = {
        name: pa.nulls(n_rows, pa.large_string() if kind == "string" else pa.float64())
        for name, (kind, _) in OUTCOME_COLUMNS.items()
        if name not in columns
    }
    return pa.table({name: (columns | nulls)[name] for name in OUTCOME_COLUMNS})


def _require_columns(path: Path, found: Sequence[str]) -> None:
    required = [name for name, (_, needed) in OUTCOME_COLUMNS.items() if needed]
    missing = [name for name in required if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(found) or 'none'}; an outcome table needs {', '.join(required)}: rename or add them"
        )
