"""The rows of a file as dictionaries, whatever its format; what is no row is named, and never stops the reading."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from beast_ml.errors import DataError
from beast_ml.logs.sources.lines import read_json_lines

__all__ = ["FileFormat", "RawRow", "batch_rows", "check_names", "damaged", "detect_format", "raw_rows", "rows_of_table"]

FileFormat = Literal["parquet", "jsonl", "csv"]
"""How rows are written in a file."""

_SUFFIXES: Final[dict[str, FileFormat]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
}
_BATCH_BYTES: Final = 64 * 2**20
_BATCH_ROWS: Final = 65_536


class RawRow(msgspec.Struct, frozen=True):
    """A row as it was read, or why there is none.

    Parameters
    ----------
    number
        Its line (text) or row (Parquet), from 1.
    end
        How far into the file its reader has come, in bytes; in Parquet, in proportion to the rows.
    row
        Column -> value; empty when there is a reason.
    reason
        Why it is no row, or None.
    raw
        What was read when there is a reason.
    """

    number: int
    end: int
    row: dict[str, Any]
    reason: str | None = None
    raw: Any = None


def detect_format(path: Path) -> FileFormat:
    """Return a file's format: Parquet is known by its content, text by its suffix.

    Raises
    ------
    DataError
        If the file is missing, a folder, empty, or its suffix is unknown.
    """
    if not path.exists():
        raise DataError(f"no file {path}: check the path")
    if path.is_dir():
        raise DataError(f"{path} is a folder, must be a Parquet, JSONL or CSV file: name the file in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: it must hold at least one row")
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path} is of unknown format {path.suffix!r}, must be one of {', '.join(sorted(_SUFFIXES))}")
    return _SUFFIXES[path.suffix.lower()]


def raw_rows(path: Path, n_at_once: int | None = None) -> Iterator[RawRow]:
    """Yield the rows of a file in any known format; of Parquet, at most so many are decoded at once.

    Raises
    ------
    DataError
        If the file is missing, empty, or cannot be read as what it is.
    """
    kind = detect_format(path)
    if kind == "jsonl":
        for line in read_json_lines(path):
            yield RawRow(line.number, line.end, line.row, line.reason, line.raw)
    elif kind == "csv":
        yield from _csv_rows(path)
    else:
        yield from _parquet_rows(path, n_at_once)


def batch_rows(file: pq.ParquetFile) -> int:
    """Return how many rows of a Parquet file to read at once, so that a batch takes some 64 MiB."""
    metadata = file.metadata
    n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    per_row: int = max(1, n_bytes // max(1, metadata.num_rows))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // per_row))


def rows_of_table(table: pa.Table) -> list[dict[str, Any]]:
    """Return an Arrow table's rows; text comes as bytes, since invalid text would stop everything."""
    fields = [pa.field(field.name, _bytes_of(field.type)) for field in table.schema]
    rows: list[dict[str, Any]] = table.cast(pa.schema(fields)).to_pylist(maps_as_pydicts="lossy")
    return rows


def check_names(path: Path, names: Sequence[str]) -> None:
    """Check the column names of a table.

    Raises
    ------
    DataError
        If a name occurs twice, or is no text (as when a file is not UTF-8).
    """
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(f"{path} has {names.count(twice[0])} columns named {twice[0]!r}: keep one of them")
    if any(not name.isprintable() for name in names):
        raise DataError(f"{path} is no UTF-8 text, as its column names show: save it as UTF-8")


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a Parquet file that cannot be read."""
    return DataError(f"{path} cannot be read as Parquet: it is truncated or damaged ({error})")


def _bytes_of(kind: pa.DataType) -> pa.DataType:
    return pa.large_binary() if pa.types.is_string(kind) or pa.types.is_large_string(kind) else kind


def _parquet_rows(path: Path, n_at_once: int | None) -> Iterator[RawRow]:
    size, number = path.stat().st_size, 0
    try:
        with pq.ParquetFile(path) as file:
            total = max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=n_at_once or batch_rows(file)):
                for row in rows_of_table(pa.Table.from_batches([batch])):
                    number += 1
                    text = {key: _decoded(value) for key, value in row.items()}
                    yield RawRow(number, size * number // total, text)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _csv_rows(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as binary, _long_fields():
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)  # else a quote that is never closed swallows the rest as one cell
        try:
            header = next(reader, [])
            check_names(path, header)
            for cells in reader:
                if cells:
                    yield _csv_row(header, cells, reader.line_num, binary.tell())
        except csv.Error as error:
            raise DataError(
                f"{path} cannot be read as CSV: {error} (line {reader.line_num}): mend its quotes"
            ) from error


def _csv_row(header: Sequence[str], cells: list[str], number: int, end: int) -> RawRow:
    if len(cells) != len(header):
        return RawRow(number, end, {}, "row has not as many cells as the header", {"header": header, "cells": cells})
    return RawRow(number, end, {name: cell or None for name, cell in zip(header, cells, strict=True)})


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let CSV fields be of any length; the standard library stops at 128 KiB, and keeps its limit globally."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
