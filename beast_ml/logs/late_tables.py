"""What becomes known of a request after it was logged: its outcome, and how good the answer was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import ARROW_TYPES
from beast_ml.logs.schema import QUALITY_SOURCES, REQUEST_COLUMNS, STATUSES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEEDBACK_SCHEMA", "OUTCOME_SCHEMA", "checked_late_table"]

_KNOWN_LATER: Final = ("status", "error_kind", "served_model", "ttft_s", "latency_s", "output_tokens", "cost_usd")
_ALLOWED: Final = {"status": STATUSES, "quality_source": QUALITY_SOURCES}

OUTCOME_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("observed_at", ARROW_TYPES["time"], nullable=False),
        *(pa.field(name, ARROW_TYPES[REQUEST_COLUMNS[name][0]]) for name in _KNOWN_LATER),
    ]
)
"""Outcomes that arrive after the request was logged."""

FEEDBACK_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("feedback_at", ARROW_TYPES["time"], nullable=False),
        pa.field("quality", pa.float64(), nullable=False),
        pa.field("quality_source", pa.string()),
    ]
)
"""Quality labels that arrive after the request was logged."""


def checked_late_table(kind: str, schema: pa.Schema, frame: pd.DataFrame | pa.Table) -> pa.Table:
    """Return late rows in their schema; columns that are not given are null.

    Raises
    ------
    DataError
        If a column is missing or unknown, of a wrong type, or a value is missing, out of range or not finite.
    """
    table = frame if isinstance(frame, pa.Table) else _from_pandas(frame)
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise DataError(f"{kind} have no column {unknown[0]!r}, only {', '.join(schema.names)}")
    for field in schema:
        if not field.nullable and (field.name not in table.column_names or table[field.name].null_count):
            raise DataError(f"`{field.name}` of {kind} is missing in some row, must be given in every one")
    columns = {}
    for field in schema:
        if field.name not in table.column_names:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
            continue
        try:
            columns[field.name] = table[field.name].cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"`{field.name}` of {kind} must be {field.type}: {error}") from error
        _check_range(kind, field, columns[field.name])
    return pa.table(columns, schema=schema)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    for name, dtype in frame.dtypes.items():
        if getattr(dtype, "tz", None) is not None:  # pyarrow 25 asks pandas 3.1 for zoned times in a deprecated way
            frame = frame.assign(**{str(name): frame[name].dt.tz_convert(None)})
    return pa.Table.from_pandas(frame, preserve_index=False)


def _check_range(kind: str, field: pa.Field, column: pa.ChunkedArray) -> None:
    if field.name in _ALLOWED:
        good, allowed = pc.is_in(column, pa.array(_ALLOWED[field.name])), f"one of {', '.join(_ALLOWED[field.name])}"
    elif field.name == "quality":
        good, allowed = pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1)), "in 0..1"
    elif pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
        good, allowed = pc.and_(pc.greater_equal(column, 0), pc.is_finite(column)), "a finite number >= 0"
    else:
        return
    bad = column.filter(pc.and_(pc.is_valid(column), pc.invert(good)))
    if len(bad):
        raise DataError(f"`{field.name}` of {kind} == {bad[0].as_py()!r} in some row, must be {allowed}")
