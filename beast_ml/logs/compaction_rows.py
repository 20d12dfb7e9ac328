"""The rows of log segments, by table, typed and checked one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.ingest_requests import request_faults
from beast_ml.logs.late_tables import LATE_SCHEMAS, LATE_TIMES, late_faults
from beast_ml.logs.quarantine import RejectedRow
from beast_ml.logs.schema import REQUEST_COLUMNS, ColumnType
from beast_ml.logs.secrets import without_secrets
from beast_ml.logs.sources.cells import cells_from_values
from beast_ml.logs.sources.lines import JsonLine, read_json_lines
from beast_ml.logs.sources.raw_rows import RawRow
from beast_ml.logs.sources.request_chunks import chunk_from_rows

__all__ = ["TABLES", "SegmentRows", "segment_rows"]

TABLES: Final = ("requests", *LATE_SCHEMAS)
"""What the ``table`` of a row may be."""

_CHUNK_ROWS: Final = 16_384
_CHUNK_BYTES: Final = 16 * 2**20
_CUT_OFF: Final = "row was cut off: its writer died, or its disk refused, before it was acknowledged"
_UNKNOWN: Final = f"table is none of {', '.join(TABLES)}"


@dataclass(frozen=True)
class SegmentRows:
    """Consecutive rows of consecutive segments.

    Parameters
    ----------
    requests
        The good ones in the columns of `REQUEST_SCHEMA`.
    late
        Table -> the good ones in the columns of its schema.
    rejected
        The others, each with its reason, in the order of the segments.
    n_read, n_bytes
        How many lines they were, and how long.
    """

    requests: pa.Table
    late: dict[str, pa.Table]
    rejected: list[RejectedRow]
    n_read: int
    n_bytes: int


class _Line(NamedTuple):
    segment: int
    line: JsonLine


def segment_rows(segments: Sequence[Path]) -> Iterator[SegmentRows]:
    """Yield segments in chunks of at most 65,536 rows or about 64 MiB; nothing in them stops the reading."""
    gathered: list[_Line] = []
    n_bytes = 0
    for i, segment in enumerate(segments):
        end, size, is_whole = 0, segment.stat().st_size, _ends_a_line(segment)
        for line in read_json_lines(segment, refuse_array=False):
            if line.reason is not None and line.end == size and not is_whole:
                line = JsonLine(line.number, line.end, {}, _CUT_OFF, line.raw)
            gathered.append(_Line(i, line))
            n_bytes += line.end - end
            end = line.end
            if len(gathered) == _CHUNK_ROWS or n_bytes > _CHUNK_BYTES:
                yield _checked(segments, gathered, n_bytes)
                gathered, n_bytes = [], 0
    if gathered:
        yield _checked(segments, gathered, n_bytes)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


def _checked(segments: Sequence[Path], lines: Sequence[_Line], n_bytes: int) -> SegmentRows:
    by_table: dict[str, list[_Line]] = {table: [] for table in TABLES}
    refused: list[tuple[_Line, str]] = []
    for each in lines:
        table = each.line.row.get("table")
        if each.line.reason is not None:
            refused.append((each, each.line.reason))
        elif isinstance(table, str) and table in by_table:
            by_table[table].append(each)
        else:
            refused.append((each, _UNKNOWN))
    requests, faults = _requests(by_table["requests"])
    refused += [(by_table["requests"][i], reason) for i, reason in faults.items()]
    late = {}
    for table in LATE_SCHEMAS:
        late[table], faults = _late(table, by_table[table])
        refused += [(by_table[table][i], reason) for i, reason in faults.items()]
    rejected = [
        RejectedRow(
            str(segments[segment]),
            line.number,
            reason,
            without_secrets(line.raw if line.reason is not None else line.row),
        )
        for (segment, line), reason in sorted(refused, key=lambda found: (found[0].segment, found[0].line.number))
    ]
    return SegmentRows(requests, late, rejected, len(lines), n_bytes)


def _requests(lines: Sequence[_Line]) -> tuple[pa.Table, dict[int, str]]:
    if not lines:
        return REQUEST_SCHEMA.empty_table(), {}
    rows = [RawRow(line.number, line.end, line.row) for _, line in lines]
    chunk = chunk_from_rows("", rows, lambda row: row)
    faults = request_faults(chunk.table) | chunk.faults
    return _without(chunk.table, faults).cast(REQUEST_SCHEMA), faults


def _late(table: str, lines: Sequence[_Line]) -> tuple[pa.Table, dict[int, str]]:
    schema = LATE_SCHEMAS[table]
    if not lines:
        return schema.empty_table(), {}
    columns: dict[str, pa.Array] = {}
    faults: dict[int, str] = {}
    for field in schema:
        cells, bad = cells_from_values(
            field.name, _kind(table, field.name), [line.row.get(field.name) for _, line in lines]
        )
        columns[field.name] = cells.cast(field.type)
        faults = bad | faults  # the first bad cell of a row names its fault
    # Until the faulty rows are out, a cell that must be known may be null.
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    typed = pa.table(columns, schema=nullable)
    faults = late_faults(schema, typed) | faults
    return _without(typed, faults).cast(schema), faults


def _kind(table: str, name: str) -> ColumnType:
    if name == LATE_TIMES[table]:
        return "time"
    if name in REQUEST_COLUMNS:
        return REQUEST_COLUMNS[name][0]
    return "float" if pa.types.is_floating(LATE_SCHEMAS[table].field(name).type) else "string"


def _without(table: pa.Table, faults: dict[int, str]) -> pa.Table:
    if not faults:
        return table
    kept = np.ones(table.num_rows, dtype=bool)
    kept[list(faults)] = False
    return table.filter(pa.array(kept))
