"""What becomes known of a request after it was logged: its outcome, how good the answer was, and signs of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import ARROW_TYPES
from beast_ml.logs.schema import MAX_ID_CHARACTERS, QUALITY_SOURCES, REQUEST_COLUMNS, STATUSES

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FEEDBACK_SCHEMA",
    "LATE_SCHEMAS",
    "LATE_TIMES",
    "OUTCOME_SCHEMA",
    "SIGNAL_KINDS",
    "SIGNAL_SCHEMA",
    "checked_late_table",
    "late_faults",
]

_KNOWN_LATER: Final = ("status", "error_kind", "served_model", "ttft_s", "latency_s", "output_tokens", "cost_usd")
_SHARES: Final = ("quality", "weak_quality")

SIGNAL_KINDS: Final = ("retry", "regeneration", "abandonment")
"""What users do that hints at how good the answer was."""

_ALLOWED: Final = {"status": STATUSES, "quality_source": QUALITY_SOURCES, "kind": SIGNAL_KINDS}

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

SIGNAL_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("observed_at", ARROW_TYPES["time"], nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("weak_quality", pa.float64()),
    ]
)
"""Weak feedback: what the user did next. It is never taken for a quality label."""

LATE_SCHEMAS: Final = {"outcomes": OUTCOME_SCHEMA, "feedback": FEEDBACK_SCHEMA, "signals": SIGNAL_SCHEMA}
"""The tables of what becomes known later, by name."""

LATE_TIMES: Final = {"outcomes": "observed_at", "feedback": "feedback_at", "signals": "observed_at"}
"""Which column of each says when."""


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


def late_faults(schema: pa.Schema, table: pa.Table) -> dict[int, str]:
    """Return row -> the first reason why it breaks the contract, for rows in the columns of a late table's schema."""
    faults: dict[int, str] = {}
    for field in schema:
        column = table[field.name]
        checks = [(pc.is_valid(column), f"{field.name} is missing")] if not field.nullable else []
        if field.name == "request_id":
            checks += [
                (pc.not_equal(pc.utf8_trim_whitespace(column), ""), "request_id is empty"),
                (
                    pc.less_equal(pc.utf8_length(column), MAX_ID_CHARACTERS),
                    f"request_id is longer than {MAX_ID_CHARACTERS} characters",
                ),
            ]
        if (rule := _range(field, column)) is not None:
            checks.append((rule[0], f"{field.name} is not {rule[1]}"))
        for good, reason in checks:
            for row in np.flatnonzero(~pc.fill_null(good, True).to_numpy()).tolist():
                faults.setdefault(row, reason)
    return faults


def _range(field: pa.Field, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str] | None:
    """Return which values are allowed, and what is, in words."""
    if field.name in _ALLOWED:
        good = pc.or_(pc.is_null(column), pc.is_in(column, pa.array(_ALLOWED[field.name])))
        return good, f"one of {', '.join(_ALLOWED[field.name])}"
    if field.name in _SHARES:
        return pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1)), "in 0..1"
    if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
        return pc.and_(pc.greater_equal(column, 0), pc.is_finite(column)), "a finite number >= 0"
    return None


def _check_range(kind: str, field: pa.Field, column: pa.ChunkedArray) -> None:
    if (rule := _range(field, column)) is None:
        return
    good, allowed = rule
    bad = column.filter(pc.and_(pc.is_valid(column), pc.invert(good)))
    if len(bad):
        raise DataError(f"`{field.name}` of {kind} == {bad[0].as_py()!r} in some row, must be {allowed}")
